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

/// Makes `target`'s descriptor mean what `source` means, at once and for good. The number stays.
pub fn replace(target: &File, source: &File) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // SAFETY: both descriptors are open; `target` goes on owning its number, which now refers to `source`'s file.
    crate::result(unsafe { libc::dup3(source.as_raw_fd(), target.as_raw_fd(), libc::O_CLOEXEC) })?;
    Ok(())
}
