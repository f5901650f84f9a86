//! UCI files: what `properties.rs` says holds for every input.

#![no_main]

#[path = "../properties.rs"]
mod properties;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    // A record separator stands in no real file: it cuts an input into a file and what it's to become.
    match data.iter().position(|b| *b == 0x1e) {
        Some(at) => properties::of_two_files(&data[..at], &data[at + 1..]),
        None => properties::of_a_file(data),
    }
});
