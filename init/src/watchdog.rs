//! The hardware watchdog: petted twice within its time for as long as the loop turns.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use ashlar_sys::descriptor;

/// Shortest time that hardware is commonly set to; asking the driver is not worth a system call per kind of driver.
const TIMEOUT: u64 = 30_000_000;

/// /dev/watchdog, if there is one.
#[derive(Debug, Default)]
pub struct Watchdog {
    device: Option<File>,
    next: u64,
}

impl Watchdog {
    /// Goes on with the one that an earlier instance or init/boot had opened.
    pub fn adopt(fd: Option<OwnedFd>) -> Self {
        Self { device: fd.map(File::from), next: 0 }
    }

    /// Opens it, unless it is open. From now on a loop that hangs ends in a reset.
    pub fn open(&mut self) {
        if self.device.is_none() {
            let open = |path| OpenOptions::new().write(true).open(path).ok();
            self.device = open("/dev/watchdog0").or_else(|| open("/dev/watchdog"));
        }
    }

    pub fn descriptor(&self) -> Option<RawFd> {
        self.device.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Leaves it open for the program that is executed next; its number there.
    pub fn hand_over(&self) -> Option<RawFd> {
        self.device.as_ref().and_then(|device| descriptor::keep_on_exec(device).ok())
    }

    /// When it has to be petted again.
    pub fn next(&self) -> Option<u64> {
        self.device.as_ref().map(|_| self.next)
    }

    /// Pets it when it is time.
    pub fn pet(&mut self, now: u64) {
        if now >= self.next
            && let Some(device) = &mut self.device
        {
            let _ = device.write_all(b"\0");
            self.next = now + TIMEOUT / 3;
        }
    }

    /// Switches it off (magic close): for a machine that halts on purpose.
    pub fn disarm(&mut self) {
        if let Some(mut device) = self.device.take() {
            let _ = device.write_all(b"V");
        }
    }
}
