//! What a registry says: who lets somebody in, and what a tag names.
#![no_main]

use ashlar_fetch::registry::{Challenge, Manifest};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Challenge::parse(text);
    }
    if let Ok(manifest) = Manifest::parse(bytes) {
        let _ = manifest.only();
        let again = Manifest::parse(&manifest.to_bytes()).expect("what was read can be written and read again");
        assert_eq!(manifest, again);
    }
});
