#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| guardian_probes::fuzzing::filter(bytes));
