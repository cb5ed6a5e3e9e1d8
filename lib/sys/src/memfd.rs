//! Memory with a descriptor: what one instance of a program leaves to the next.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// A new, empty memory file, closed on exec. `name` shows in /proc/PID/fd.
pub fn create(name: &CStr) -> io::Result<File> {
    // SAFETY: `name` is NUL-terminated; the result is a new descriptor or -1.
    let fd = crate::result(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}
