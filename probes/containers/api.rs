//! One question to an engine: `GET /containers/json` over its socket.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use guardian_rules::blindness::{Blindness, Cause};

use super::list::{self, Published};
use super::place::Place;
use crate::USER_AGENT;
use crate::ask::tls;

/// An engine answers at once, unless it is started for the question.
const PATIENCE: Duration = Duration::from_millis(2500);

/// Bytes of an answer: thousands of containers.
const ANSWER: usize = 4 * 1024 * 1024;

/// What the engine publishes; none if nobody answers at its socket.
pub(super) async fn published(place: &Place) -> Option<Result<Vec<Published>, Blindness>> {
    let found = match socket::find(place) {
        Ok(found) => found,
        Err(why) => return of_io(&why).map(Err),
    };
    match tokio::time::timeout(PATIENCE, ask(found.path())).await {
        Ok(Ok(answer)) => Some(answer.and_then(|answer| list::read(&answer))),
        Ok(Err(why)) => match cause(&why) {
            Some(why) => of_io(why).map(Err),
            None => Some(Err(Blindness::malformed(format!("it does not answer as an engine: {why}")))),
        },
        Err(_) => Some(Err(Blindness::timed_out("it does not answer"))),
    }
}

async fn ask(socket: PathBuf) -> reqwest::Result<Result<Vec<u8>, Blindness>> {
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::config())
        .unix_socket(socket)
        .user_agent(USER_AGENT)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .http1_only()
        .build()?;
    // The name is not looked up: the socket is where it goes.
    let mut response = client.get("http://localhost/containers/json").send().await?;
    let status = response.status().as_u16();
    if status != 200 {
        return Ok(Err(Blindness::new(refusal(status), format!("it answers with status {status}"))));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > ANSWER {
            return Ok(Err(Blindness::new(Cause::TooMuch, "its list of containers is too long")));
        }
    }
    Ok(Ok(body))
}

fn refusal(status: u16) -> Cause {
    if matches!(status, 401 | 403) { Cause::Denied } else { Cause::Malformed }
}

/// The system's own error behind a failed question.
fn cause(failure: &reqwest::Error) -> Option<&io::Error> {
    let mut causes = std::iter::successors(failure.source(), |cause| (*cause).source());
    causes.find_map(|cause| cause.downcast_ref::<io::Error>())
}

/// Why a socket cannot be asked; none if nobody is there.
fn of_io(why: &io::Error) -> Option<Blindness> {
    let cause = match why.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::ConnectionRefused => {
            return None;
        }
        io::ErrorKind::PermissionDenied => Cause::Denied,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Cause::TimedOut,
        _ => Cause::Interrupted,
    };
    Some(Blindness::new(cause, why.to_string()))
}

/// A user's socket is found without following links, and what was found is what is asked.
#[cfg(target_os = "linux")]
mod socket {
    use std::fs::File;
    use std::io;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::FileTypeExt as _;
    use std::path::PathBuf;

    use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};

    use super::Place;

    pub(super) enum Found {
        Path(PathBuf),
        Open(File),
    }

    impl Found {
        pub(super) fn path(&self) -> PathBuf {
            match self {
                Self::Path(path) => path.clone(),
                Self::Open(file) => format!("/proc/self/fd/{}", file.as_raw_fd()).into(),
            }
        }
    }

    pub(super) fn find(place: &Place) -> io::Result<Found> {
        if !place.is_users {
            return Ok(Found::Path(place.socket.clone()));
        }
        let how =
            OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let file = File::from(openat2(AT_FDCWD, &place.socket, how)?);
        if file.metadata()?.file_type().is_socket() {
            Ok(Found::Open(file))
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

/// The system cannot hold a socket without connecting to it: a path without links has to do.
#[cfg(not(target_os = "linux"))]
mod socket {
    use std::io;
    use std::path::PathBuf;

    use super::Place;

    pub(super) struct Found(PathBuf);

    impl Found {
        pub(super) fn path(&self) -> PathBuf {
            self.0.clone()
        }
    }

    pub(super) fn find(place: &Place) -> io::Result<Found> {
        if place.is_users && std::fs::canonicalize(&place.socket)? != place.socket {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Found(place.socket.clone()))
    }
}
