//! Terminals: whose they are (sessions), and new ones.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Starts a session of its own, without a terminal. Whoever leads one already keeps it.
pub fn new_session() {
    // SAFETY: takes nothing.
    unsafe { libc::setsid() };
}

/// Makes a terminal the session's own. `steal` takes it from the session that has it, which only the host's root may.
pub fn take(terminal: &impl AsFd, steal: bool) -> io::Result<()> {
    // SAFETY: takes numbers.
    crate::result(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY as _, i32::from(steal)) })?;
    Ok(())
}

/// Takes a terminal from whoever has it and lets go of it, so that any session can take it.
///
/// For a process that leads no session with a terminal: it starts one for this.
pub fn free(terminal: &impl AsFd) -> io::Result<()> {
    new_session();
    take(terminal, true)?;
    // The kernel sends SIGHUP to those in the foreground of a terminal that is given up: to us.
    // SAFETY: SIG_IGN and SIG_DFL are valid actions; the call in between takes numbers.
    crate::result(unsafe {
        libc::signal(libc::SIGHUP, libc::SIG_IGN);
        let left = libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCNOTTY as _);
        libc::signal(libc::SIGHUP, libc::SIG_DFL);
        left
    })?;
    Ok(())
}

/// A new terminal: the end that shows it, and the terminal.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    // SAFETY: takes flags, returns a new descriptor.
    let controller = crate::result(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC) })?;
    // SAFETY: new, and owned by nobody else.
    let controller = unsafe { OwnedFd::from_raw_fd(controller) };
    let unlocked = 0i32;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCSPTLCK reads an integer; TIOCGPTPEER takes flags and returns a new descriptor.
    let terminal = unsafe {
        crate::result(libc::ioctl(controller.as_raw_fd(), libc::TIOCSPTLCK as _, &raw const unlocked))?;
        OwnedFd::from_raw_fd(crate::result(libc::ioctl(controller.as_raw_fd(), libc::TIOCGPTPEER as _, flags))?)
    };
    Ok((controller, terminal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};

    #[test]
    fn a_pair_is_connected() {
        let (controller, terminal) = pair().unwrap();
        File::from(terminal).write_all(b"x").unwrap();
        let mut byte = [0];
        File::from(controller).read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
}
