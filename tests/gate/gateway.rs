//! A gateway that writes down every byte that reaches it, and answers as it is asked to.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// One connection's bytes, as they came.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

pub(crate) struct Gateway {
    pub(crate) at: SocketAddr,
    heard: Heard,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let heard = Heard::default();
        let hearing = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let hearing = Arc::clone(&hearing);
                thread::spawn(move || serve(stream, &hearing));
            }
        });
        Self { at, heard }
    }

    /// Everything that came, all connections together.
    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap().concat()).into_owned()
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    pub(crate) fn forget(&self) {
        self.heard.lock().unwrap().iter_mut().for_each(Vec::clear);
    }
}

/// Reads a request: its head, and its body by its length or its chunks.
fn request(stream: &mut TcpStream, note: &mut impl FnMut(&[u8])) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut part = vec![0; 64 * 1024];
    loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let lower = head.to_ascii_lowercase();
            let length = lower
                .lines()
                .find_map(|line| line.strip_prefix("content-length:"))
                .map(|length| length.trim().parse::<usize>().unwrap());
            let there = bytes.len() - end - 4;
            let over = match length {
                Some(length) => there >= length,
                None if lower.contains("transfer-encoding: chunked") => bytes.ends_with(b"0\r\n\r\n"),
                None => true,
            };
            if over {
                return Some((head, bytes[end + 4..].to_vec()));
            }
        }
        match stream.read(&mut part) {
            Ok(count @ 1..) => {
                note(&part[..count]);
                bytes.extend_from_slice(&part[..count]);
            }
            _ => return None,
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn serve(mut stream: TcpStream, heard: &Heard) {
    let index = {
        let mut heard = heard.lock().unwrap();
        heard.push(Vec::new());
        heard.len() - 1
    };
    let mut note = |bytes: &[u8]| heard.lock().unwrap()[index].extend_from_slice(bytes);
    let _ = stream.set_nodelay(true);
    while let Some((head, body)) = request(&mut stream, &mut note) {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let answered = match path.as_str() {
            "/ws" => {
                let _ = stream.write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x02hi",
                );
                // Answers whatever comes with one frame.
                let mut part = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut part) {
                    note(&part[..count]);
                    if stream.write_all(b"\x81\x02ok").is_err() {
                        return;
                    }
                }
                return;
            }
            "/ws-refused" => stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno"),
            "/sneaky" => stream.write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            ),
            "/events" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
                for number in 0.. {
                    thread::sleep(Duration::from_millis(100));
                    // In one piece, as a chunk of its own.
                    if stream.write_all(format!("data: {number}\n\n").as_bytes()).is_err() {
                        return;
                    }
                }
                return;
            }
            "/stalls" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
                thread::sleep(Duration::from_secs(30));
                return;
            }
            "/last" => {
                // It does not say that it closes the connection, and does a moment later.
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                thread::sleep(Duration::from_millis(50));
                return;
            }
            // A head, and a moment later a body of so many bytes, or of none in spite of what it said.
            "/parted/10" | "/parted/5000" | "/parted/0" => {
                let length: usize = path.rsplit('/').next().unwrap_or_default().parse().unwrap();
                let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", length.max(1));
                thread::sleep(Duration::from_millis(300));
                if length == 0 {
                    return;
                }
                stream.write_all(&vec![b'x'; length])
            }
            "/slow" => {
                thread::sleep(Duration::from_secs(5));
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            }
            "/echo" => {
                let mut answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
                answer.extend(body);
                stream.write_all(&answer)
            }
            _ => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nok")
            }
        };
        if answered.is_err() {
            return;
        }
    }
}
