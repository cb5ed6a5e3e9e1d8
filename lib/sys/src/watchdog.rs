//! A hardware watchdog's settings (Linux `uapi/linux/watchdog.h`). Petting it is a plain write.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// _IOWR('W', 6, int)
const WDIOC_SETTIMEOUT: libc::c_ulong = 0xc004_5706;

/// Asks for a time-out; returns the one that the hardware took.
pub fn set_timeout(device: &impl AsFd, seconds: u32) -> io::Result<u32> {
    let mut value = i32::try_from(seconds).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel reads and writes one int.
    crate::result(unsafe { libc::ioctl(device.as_fd().as_raw_fd(), WDIOC_SETTIMEOUT as _, &raw mut value) })?;
    Ok(value.unsigned_abs())
}
