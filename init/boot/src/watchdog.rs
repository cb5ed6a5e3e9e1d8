//! The hardware watchdog, armed from here on: a machine that hangs before PID 1 is there restarts, and the boot loader
//! counts that as a failed try.

use std::fs::{File, OpenOptions};
use std::io::Write;

use ashlar_sys::watchdog;

const DEVICES: [&str; 2] = ["/dev/watchdog0", "/dev/watchdog"];
/// What PID 1 expects, which pets it every ten seconds.
const SECONDS: u32 = 30;

/// The open device, if the machine has one. Opening arms it.
pub fn arm() -> Option<File> {
    let device = DEVICES.iter().find_map(|path| OpenOptions::new().write(true).open(path).ok())?;
    // One that has a fixed time keeps it; PID 1 pets often enough for common hardware.
    let _ = watchdog::set_timeout(&device, SECONDS);
    Some(device)
}

/// Begins its time anew.
pub fn pet(device: &mut File) {
    let _ = device.write_all(b"\0");
}

/// Switches it off (magic close), for a machine that stops to be looked at.
pub fn disarm(mut device: File) {
    let _ = device.write_all(b"V");
}
