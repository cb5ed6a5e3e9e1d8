//! Descriptors that services leave with PID 1 (sd_pid_notify_with_fds(3)): kept over restarts of the service, given
//! back behind its sockets.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use ashlar_control::message::StoredDescriptor;

/// The name of one that has none.
pub const NAMELESS: &str = "stored";

/// One descriptor.
#[derive(Debug)]
pub struct Stored {
    pub name: String,
    pub fd: OwnedFd,
    /// It stays when its other side hangs up.
    pub keep: bool,
    /// Its place among the events; never used twice for one unit in a row.
    pub place: u16,
}

/// What the C library adds to every open file's flags, and nobody asked for.
const LARGE_FILE: u32 = if cfg!(target_arch = "aarch64") { 0o400_000 } else { 0o100_000 };

impl Stored {
    /// As others are told of it.
    pub fn told(&self) -> io::Result<StoredDescriptor> {
        let number = self.fd.as_raw_fd();
        let file = fs::metadata(format!("/proc/self/fd/{number}"))?;
        let path = fs::read_link(format!("/proc/self/fd/{number}"))?;
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
        let flags = info.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("flags:")?.trim(), 8).ok());
        Ok(StoredDescriptor {
            name: self.name.clone(),
            mode: file.mode(),
            device: numbers(file.dev()),
            inode: file.ino(),
            special: numbers(file.rdev()),
            path: path.to_string_lossy().into_owned(),
            flags: flags.unwrap_or_default() & !(LARGE_FILE | CLOSED_ON_EXEC),
        })
    }
}

/// PID 1's own affair.
const CLOSED_ON_EXEC: u32 = 0o2_000_000;

/// Major and minor (makedev(3)).
fn numbers(device: u64) -> (u32, u32) {
    let major = device >> 8 & 0xfff | device >> 32 & !0xfff;
    let minor = device & 0xff | device >> 12 & !0xff;
    (major as u32, minor as u32)
}

/// A place that no other stored descriptor of the unit has.
pub fn free_place(stored: &[Stored]) -> Option<u16> {
    let last = stored.iter().map(|s| s.place).max();
    match last {
        None => Some(0),
        Some(last) if last < u16::MAX => Some(last + 1),
        Some(_) => (0..u16::MAX).find(|place| stored.iter().all(|s| s.place != *place)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_as_others_are_told_of_it() {
        let fd = fs::OpenOptions::new().append(true).open("/dev/null").unwrap().into();
        let told = Stored { name: "x".to_owned(), fd, keep: false, place: 0 }.told().unwrap();
        let file = fs::metadata("/dev/null").unwrap();
        assert_eq!((told.mode, told.inode, told.special), (file.mode(), file.ino(), (1, 3)));
        // O_WRONLY | O_APPEND.
        assert_eq!((told.path.as_str(), told.flags), ("/dev/null", 0o2001));
    }

    #[test]
    fn numbers_of_devices() {
        let check = |device, expect| assert_eq!(numbers(device), expect);
        check(0x103, (1, 3));
        check(0xfe10, (254, 16));
        check(0x0000_1000_0010_0801, (0x1_008, 0x101));
    }
}
