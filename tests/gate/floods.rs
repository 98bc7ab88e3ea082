//! More than anybody needs: of heads, bodies, connections and time.

use std::io::{Read as _, Write as _};

use crate::house::House;

#[test]
fn heads_and_bodies_beyond_all_bounds_are_refused_with_the_right_status() {
    let house = House::new();
    let wide = format!("X: {}\r\n", "x".repeat(1024 * 1024));
    let many: String = "X: y\r\n".repeat(100_000);
    for (request, status) in [
        (house.head(&format!("GET /{}", "x".repeat(20 * 1024)), ""), 414),
        (house.head("GET /", &wide), 431),
        (house.head("GET /", &many), 431),
        (house.head("GET /", &"X: y\r\n".repeat(150)), 431),
        (house.head("POST /", "Content-Length: 104857600\r\n"), 413),
        (house.head("GET /", "Expect: something\r\n"), 417),
    ] {
        assert_eq!(house.statuses(request.as_bytes()), [status], "{}", &request[..60]);
    }
    assert_eq!(house.gateway.heard(), "");
    // A client that sends on after the refusal still gets to read it.
    let mut stream = house.connect();
    stream.write_all(house.head("POST /", "Content-Length: 104857600\r\n").as_bytes()).unwrap();
    let _ = stream.write_all(&vec![b'x'; 512 * 1024]);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[test]
fn a_body_without_a_length_ends_at_the_same_bound() {
    let house = House::new();
    let mut stream = house.connect();
    stream.write_all(house.head("POST /", "Transfer-Encoding: chunked\r\n").as_bytes()).unwrap();
    let chunk = [b"100000\r\n".to_vec(), vec![b'x'; 1024 * 1024], b"\r\n".to_vec()].concat();
    let mut sent = 0_u64;
    while sent < 100 && stream.write_all(&chunk).is_ok() {
        sent += 1;
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!((64..=80).contains(&sent), "{sent} MiB were taken");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
}

/// Two thousand connections that say a byte now and then, and good clients beside them.
#[cfg(target_os = "linux")]
#[test]
fn two_thousand_slow_clients_are_sent_away_and_good_ones_are_served_meanwhile() {
    use std::net::TcpStream;
    use std::time::{Duration, Instant};

    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(8192).max(soft), hard).unwrap();
    let house = House::new();
    let before = house.memory();
    let mut slow: Vec<TcpStream> = (0..2000)
        .map(|_| {
            let mut stream = house.connect();
            stream.write_all(b"GET / HTTP/1.1\r\nX-").unwrap();
            stream
        })
        .collect();
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < Duration::from_secs(9) {
        for stream in &mut slow {
            let _ = stream.write_all(b"a");
        }
        let asked = Instant::now();
        assert_eq!(house.status(), 200, "a good client is served");
        slowest = slowest.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(500));
    }
    let grown = house.memory().saturating_sub(before);
    println!(
        "measured: 2,000 slow clients cost {} KiB each; a good one waited {slowest:?} at most",
        grown / 2000 / 1024
    );
    assert!(grown < 64 * 1024 * 1024, "{grown} bytes");
    let sent_away = |stream: &mut TcpStream| {
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 408")
    };
    assert!(slow.iter_mut().all(sent_away));
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}
