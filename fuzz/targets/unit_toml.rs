//! `unit.toml` and an image's definition, as the builder reads them.
#![no_main]

use ashlar_config::{image, unit};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = unit::UnitFile::parse("unit.toml", text);
    let _ = image::ImageFile::parse("image.toml", text);
});
