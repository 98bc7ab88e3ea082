//! A whole answer of the kernel's socket table, or the reason why there is none.

use std::io;
use std::time::{Duration, Instant};

use guardian_rules::blindness::{Blindness, Cause};

use super::sock_diag::{Fault, Progress, States, read_batch, request};
use super::socket::Socket;

/// What carries questions to the kernel and its answers back.
pub trait Transport {
    /// Sends one request.
    fn send(&mut self, request: &[u8]) -> io::Result<()>;

    /// Receives one batch and returns its true length, which is larger than the buffer's when it
    /// did not fit.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
}

/// The kernel hands out batches of up to 32 KiB to those who have room for them.
const BATCH: usize = 64 * 1024;

/// More sockets than any host that this is made for has.
const MAX_SOCKETS: usize = 200_000;

/// Time for one answer, all batches together.
const BUDGET: Duration = Duration::from_secs(1);

/// A table that changes while it is read is read again, this often.
const ATTEMPTS: u32 = 3;

/// Reads the socket table over one transport, which it keeps between looks.
pub struct Reader<T> {
    open: fn() -> io::Result<T>,
    transport: Option<T>,
    buffer: Vec<u8>,
    sequence: u32,
}

impl<T: Transport> Reader<T> {
    /// A reader that opens its transport when it first needs it, and anew after every failure, so
    /// that the rest of a failed answer is never taken for the next one.
    pub fn new(open: fn() -> io::Result<T>) -> Self {
        Self { open, transport: None, buffer: vec![0; BATCH], sequence: 0 }
    }

    /// The sockets of both families in these states that pass the filter and that `keep` wants.
    pub fn dump(
        &mut self,
        states: States,
        filter: &[u8],
        mut keep: impl FnMut(&Socket) -> bool,
    ) -> Result<Vec<Socket>, Blindness> {
        let started = Instant::now();
        let mut attempt = 1;
        loop {
            let mut sockets = Vec::new();
            let read = self.read(states, filter, started, &mut |socket| {
                if keep(&socket) {
                    sockets.push(socket);
                }
                sockets.len()
            });
            match read {
                Ok(()) => return Ok(sockets),
                Err(failure) => {
                    self.transport = None;
                    match failure {
                        Failure::Answer(Fault::Interrupted) if attempt < ATTEMPTS => attempt += 1,
                        failure => return Err(failure.into()),
                    }
                }
            }
        }
    }

    fn read(
        &mut self,
        states: States,
        filter: &[u8],
        started: Instant,
        take: &mut dyn FnMut(Socket) -> usize,
    ) -> Result<(), Failure> {
        let transport = match &mut self.transport {
            Some(transport) => transport,
            none => none.insert((self.open)().map_err(Failure::Open)?),
        };
        self.sequence = self.sequence.wrapping_add(1);
        transport.send(&request(states, filter, self.sequence)).map_err(Failure::Talk)?;
        let mut taken = 0;
        loop {
            if started.elapsed() > BUDGET {
                return Err(Failure::Slow);
            }
            let length = transport.receive(&mut self.buffer).map_err(Failure::Talk)?;
            let batch = self.buffer.get(..length).ok_or(Failure::Answer(Fault::Interrupted))?;
            let progress = read_batch(batch, self.sequence, |socket| taken = take(socket));
            if taken > MAX_SOCKETS {
                return Err(Failure::TooMany);
            }
            if progress.map_err(Failure::Answer)? == Progress::Done {
                return Ok(());
            }
        }
    }
}

/// Why a dump failed.
enum Failure {
    Open(io::Error),
    Talk(io::Error),
    Answer(Fault),
    Slow,
    TooMany,
}

impl From<Failure> for Blindness {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Open(error) => {
                Self::new(cause(&error), format!("the kernel's socket table cannot be opened: {error}"))
            }
            Failure::Talk(error) => {
                Self::new(cause(&error), format!("the kernel's socket table cannot be read: {error}"))
            }
            Failure::Answer(Fault::Refused(number)) => {
                let error = io::Error::from_raw_os_error(number);
                Self::new(cause(&error), format!("the kernel refuses to list its sockets: {error}"))
            }
            Failure::Answer(Fault::Interrupted) => Self::new(
                Cause::Interrupted,
                format!("the kernel's list of sockets changed or was cut short {ATTEMPTS} times in a row"),
            ),
            Failure::Answer(Fault::Malformed(what)) => {
                Self::malformed(format!("the kernel's list of sockets has {what}"))
            }
            Failure::Slow => Self::timed_out(format!("the kernel's list of sockets took over {BUDGET:?}")),
            Failure::TooMany => {
                Self::new(Cause::TooMuch, format!("the kernel lists more than {MAX_SOCKETS} sockets"))
            }
        }
    }
}

fn cause(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Cause::Denied,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Cause::TimedOut,
        // No such protocol or message: the kernel is built without it, or a sandbox lacks it.
        io::ErrorKind::NotFound | io::ErrorKind::Unsupported => Cause::ToolMissing,
        _ if error.raw_os_error() == Some(nix::errno::Errno::EPROTONOSUPPORT as i32) => Cause::ToolMissing,
        _ => Cause::Interrupted,
    }
}

#[cfg(test)]
#[path = "dump/tests.rs"]
mod tests;
