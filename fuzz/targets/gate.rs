//! What the gate takes for a request, against the parser that reads it next: whatever the gate lets
//! through, both must read in the same way, to the byte.
#![no_main]

/// The gate's readers, which are in a binary, by their files.
#[allow(dead_code, unreachable_pub, reason = "they are written for the gate, which uses all of them")]
#[path = "../../src/gate"]
mod gate {
    pub(crate) mod chunk;
    pub(crate) mod fault;
    pub(crate) mod frames;
    pub(crate) mod head;
    pub(crate) mod identity;
    pub(crate) mod octet;
}

use gate::chunk::Chunks;
use gate::frames::Frames;
use gate::head::{Body, Extent, Said, extent, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut frames = Frames::Between;
    frames.advance(bytes);
    let Ok(Extent::Whole(length)) = extent(bytes, 0) else {
        chunks(bytes);
        return;
    };
    let (head, rest) = bytes.split_at(length);
    let Ok(plain) = read(head) else { return };
    let mut room = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut room);
    assert_eq!(request.parse(bytes), Ok(httparse::Status::Complete(length)));
    let all = |name: &str| {
        request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).collect::<Vec<_>>()
    };
    assert_eq!(all("host").len(), 1);
    assert_eq!(request.method, Some(plain.method));
    assert_said(&plain.said, &request);
    match plain.framing.body {
        Body::Chunked => {
            assert!(all("content-length").is_empty());
            assert_eq!(all("transfer-encoding").len(), 1);
            chunks(rest);
        }
        Body::Length(length) => {
            assert!(all("transfer-encoding").is_empty());
            match all("content-length").as_slice() {
                [] => assert_eq!(length, 0),
                [field] => assert_eq!(std::str::from_utf8(field.value).unwrap().trim().parse(), Ok(length)),
                _ => panic!("two lengths"),
            }
        }
    }
});

/// Admission goes by what the gate read, and the gateway by what the library did.
fn assert_said(said: &Said<'_>, request: &httparse::Request<'_, '_>) {
    let first = |name: &str| {
        let field = request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        Some(std::str::from_utf8(field.value).ok().filter(|text| text.is_ascii()))
    };
    assert_eq!(Some(said.host), first("host").map(Option::unwrap_or_default));
    assert_eq!(said.origin, first("origin").map(|text| text.unwrap_or("?")));
    assert_eq!(said.authorization, first("authorization").flatten());
    assert_eq!(said.token, first("guardian-token").flatten());
    assert_eq!(said.cookie, first("cookie").flatten());
    assert_eq!(said.worker, first("service-worker").is_some());
    let identity = |field: &httparse::Header<'_>| gate::identity::is_identity(field.name.as_bytes());
    assert_eq!(said.proxied, request.headers.iter().any(identity));
}

/// A body in chunks that ends is one to another reader of chunks, and ends there, too.
fn chunks(bytes: &[u8]) {
    let mut reader = Chunks::new();
    let whole = reader.advance(bytes);
    let mut piecewise = Chunks::new();
    let mut taken = 0;
    let mut outcome = Ok(false);
    for byte in bytes {
        match piecewise.advance(std::slice::from_ref(byte)) {
            Ok(step) => {
                taken += step.taken;
                if step.over {
                    outcome = Ok(true);
                    break;
                }
            }
            Err(fault) => {
                outcome = Err(fault);
                break;
            }
        }
    }
    assert_eq!(whole.map(|step| step.over), outcome);
    let Ok(step) = whole else { return };
    if !step.over {
        return;
    }
    assert_eq!(step.taken, taken);
    let mut rest = &bytes[..step.taken];
    let mut data = 0;
    loop {
        let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(rest) else {
            panic!("no chunk to the other reader: {rest:?}");
        };
        rest = &rest[start..];
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).unwrap();
        data += size;
        assert_eq!(&rest[size..size + 2], b"\r\n");
        rest = &rest[size + 2..];
    }
    assert_eq!(data as u64, step.data);
    assert!(rest.ends_with(b"\r\n"));
}
