//! Memory with a descriptor: what one instance of a program leaves to the next.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// A new, empty memory file, closed on exec. `name` shows in /proc/PID/fd.
pub fn create(name: &CStr) -> io::Result<File> {
    // SAFETY: `name` is NUL-terminated; the result is a new descriptor or -1.
    let fd = crate::result(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// A new, empty memory file that can be [`seal`]ed.
pub fn create_sealable(name: &CStr) -> io::Result<File> {
    // SAFETY: as in `create`.
    let fd = crate::result(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) })?;
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Nobody can change what is in it any more.
pub fn seal(file: &File) -> io::Result<()> {
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: takes numbers; the descriptor is open for the length of the call.
    crate::result(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(())
}

/// Whether nobody can change what is in it.
pub fn is_sealed(file: &File) -> bool {
    // SAFETY: as above; a file that has no seals is refused.
    let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
    seals > 0 && seals & libc::F_SEAL_WRITE != 0
}

/// Makes `target`'s descriptor mean what `source` means, at once and for good. The number stays.
pub fn replace(target: &File, source: &File) -> io::Result<()> {
    // SAFETY: both descriptors are open; `target` goes on owning its number, which now refers to `source`'s file.
    crate::result(unsafe { libc::dup3(source.as_raw_fd(), target.as_raw_fd(), libc::O_CLOEXEC) })?;
    Ok(())
}
