//! Descriptors that services leave with PID 1 (sd_pid_notify_with_fds(3)): kept over restarts of the service, given
//! back behind its sockets.

use std::os::fd::OwnedFd;

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

/// A place that no other stored descriptor of the unit has.
pub fn free_place(stored: &[Stored]) -> Option<u16> {
    let last = stored.iter().map(|s| s.place).max();
    match last {
        None => Some(0),
        Some(last) if last < u16::MAX => Some(last + 1),
        Some(_) => (0..u16::MAX).find(|place| stored.iter().all(|s| s.place != *place)),
    }
}
