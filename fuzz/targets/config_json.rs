//! A container's configuration (runtime specification, config.json).
#![no_main]

use std::path::Path;

use ashlar_runtime::Bundle;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = Bundle::parse(Path::new("/bundle"), Path::new("/bundle/config.json"), bytes);
});
