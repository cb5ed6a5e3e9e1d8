//! Descriptors that outlived an execve: known by number only, owned by nobody yet.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Takes ownership of an open descriptor and closes it on the next exec. One that is not open is an error.
///
/// Meant for a program that was executed anew and reads its descriptors' numbers from a snapshot: each number may be
/// adopted once.
pub fn adopt(fd: RawFd) -> io::Result<OwnedFd> {
    close_on_exec(fd)?;
    // SAFETY: the descriptor is open (fcntl said so). Numbers come from a snapshot that names each one once, and nothing
    // else in a fresh program owns them.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets the flag that closes it on the next exec.
pub fn close_on_exec(fd: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers; a descriptor that is not open is refused.
    crate::result(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    Ok(())
}

/// Leaves it open over the next exec; returns the number that the next program finds it under.
pub fn keep_on_exec(fd: &impl AsFd) -> io::Result<RawFd> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: takes numbers; the descriptor is open for the length of the call.
    crate::result(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) })?;
    Ok(fd)
}

/// Makes reads and writes wait (or not) on this open file, for everybody who shares it.
pub fn set_blocking(fd: &impl AsFd, blocking: bool) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: takes numbers; the descriptor is open for the length of the call.
    let flags = crate::result(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    let flags = if blocking { flags & !libc::O_NONBLOCK } else { flags | libc::O_NONBLOCK };
    // SAFETY: as above.
    crate::result(unsafe { libc::fcntl(fd, libc::F_SETFL, flags) })?;
    Ok(())
}

/// Closes a descriptor that nobody owns, as left over from before an exec.
pub fn close(fd: RawFd) {
    // SAFETY: the caller names one that no object owns; one that is not open is refused.
    unsafe { libc::close(fd) };
}

/// Raises the limit of open descriptors to `limit`, or to the most that is allowed.
pub fn raise_limit(limit: u64) -> io::Result<()> {
    let wanted = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: `wanted` is a valid rlimit.
    crate::result(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) })?;
    Ok(())
}
