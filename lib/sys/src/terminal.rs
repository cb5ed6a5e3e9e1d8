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
    let terminal = peer(&controller)?;
    Ok((controller, terminal))
}

/// The terminal that a controller (an open `ptmx`) is the other end of. No path is looked up for it.
pub fn peer(controller: &OwnedFd) -> io::Result<OwnedFd> {
    let unlocked = 0i32;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCSPTLCK reads an integer; TIOCGPTPEER takes flags and returns a new descriptor.
    Ok(unsafe {
        crate::result(libc::ioctl(controller.as_raw_fd(), libc::TIOCSPTLCK as _, &raw const unlocked))?;
        OwnedFd::from_raw_fd(crate::result(libc::ioctl(controller.as_raw_fd(), libc::TIOCGPTPEER as _, flags))?)
    })
}

/// Rows and columns of a terminal.
pub fn size(terminal: &impl AsFd) -> io::Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is a winsize that the call may write to.
    crate::result(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ as _, &raw mut size) })?;
    Ok((size.ws_row, size.ws_col))
}

/// Sets rows and columns.
pub fn set_size(terminal: &impl AsFd, (rows, columns): (u16, u16)) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is a valid winsize.
    crate::result(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ as _, &raw const size) })?;
    Ok(())
}

/// Hands a terminal to a user.
pub fn give(terminal: &impl AsFd, uid: u32) -> io::Result<()> {
    // SAFETY: takes numbers; the group stays.
    crate::result(unsafe { libc::fchown(terminal.as_fd().as_raw_fd(), uid, libc::gid_t::MAX) })?;
    Ok(())
}

/// A terminal whose keys all go through unread, until this is dropped.
#[derive(Debug)]
pub struct Raw<T: AsFd> {
    terminal: T,
    before: libc::termios,
}

impl<T: AsFd> Raw<T> {
    /// Lets everything through.
    pub fn new(terminal: T) -> io::Result<Self> {
        let fd = terminal.as_fd().as_raw_fd();
        let mut before = std::mem::MaybeUninit::<libc::termios>::uninit();
        // SAFETY: `before` may be written to, and is whole when the call succeeds.
        let before = unsafe {
            crate::result(libc::tcgetattr(fd, before.as_mut_ptr()))?;
            before.assume_init()
        };
        let mut raw = before;
        // SAFETY: both are whole termios structures.
        unsafe {
            libc::cfmakeraw(&raw mut raw);
            crate::result(libc::tcsetattr(fd, libc::TCSANOW, &raw const raw))?;
        }
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for Raw<T> {
    fn drop(&mut self) {
        // SAFETY: `before` is what the terminal had.
        unsafe { libc::tcsetattr(self.terminal.as_fd().as_raw_fd(), libc::TCSANOW, &raw const self.before) };
    }
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
