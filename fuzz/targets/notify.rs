//! What services say of themselves (sd_notify(3)).
#![no_main]
#![allow(dead_code)]

#[path = "../../init/src/notify.rs"]
mod notify;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = notify::parse(bytes);
});
