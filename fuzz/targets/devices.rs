//! A gateway's list of devices, and its database with a log that is half of the input.
#![no_main]

use guardian_probes::gateway::devices::{database, list};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = list::parse(bytes);
    let _ = database::read(bytes, None);
    let (main, log) = bytes.split_at(bytes.len() / 2);
    let _ = database::read(main, Some(log));
});
