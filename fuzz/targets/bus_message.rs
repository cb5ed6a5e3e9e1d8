//! Messages from clients of the bus.
#![no_main]
#![allow(dead_code)]

#[path = "../../init/dbus/src/wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(Some(length)) = wire::length(bytes) else { return };
    let Some(whole) = bytes.get(..length) else { return };
    let _ = wire::Message::read(whole, &mut Vec::new());
});
