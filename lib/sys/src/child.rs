//! Ends of children: looked at first, reaped later.
//!
//! Two steps, so that a caller can record an end before it forgets it: a caller that dies in between finds the same
//! zombie again.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Who.
    pub pid: u32,
    /// 1 exited, 2 killed, 3 dumped core (CLD_EXITED, CLD_KILLED, CLD_DUMPED).
    pub code: i32,
    /// Exit code, or the signal.
    pub status: i32,
}

/// The next child that has ended and was not reaped, `None` when there is none.
pub fn peek() -> io::Result<Option<Ended>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a valid, zeroed siginfo that the kernel may write to.
    let result = unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) };
    if let Err(error) = crate::result(result) {
        return if error.raw_os_error() == Some(libc::ECHILD) { Ok(None) } else { Err(error) };
    }
    // SAFETY: zeroed before; for WEXITED the kernel fills pid and status. A zero pid says that nobody has ended.
    let ended = unsafe {
        let info = info.assume_init();
        Ended { pid: info.si_pid() as u32, code: info.si_code, status: info.si_status() }
    };
    Ok((ended.pid != 0).then_some(ended))
}

/// Forgets a child that [`peek`] told of.
pub fn reap(pid: u32) {
    // SAFETY: no information is asked for; a child that is not there is only refused.
    unsafe { libc::waitid(libc::P_PID, pid, std::ptr::null_mut(), libc::WEXITED | libc::WNOHANG) };
}

/// A descriptor that becomes readable when the process ends, whoever its parent is (pidfd_open(2)).
pub fn watch(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers, returns a new descriptor (closed on exec) or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    let fd = crate::result(fd as i32)?;
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_seen_until_reaped() {
        let mut child = std::process::Command::new("/bin/sh").args(["-c", "exit 3"]).spawn().unwrap();
        let ended = loop {
            if let Some(ended) = peek().unwrap() {
                break ended;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        assert_eq!(ended, Ended { pid: child.id(), code: libc::CLD_EXITED, status: 3 });
        assert_eq!(peek().unwrap(), Some(ended));
        reap(child.id());
        assert_eq!(peek().unwrap(), None);
        assert!(child.wait().is_err(), "it was reaped already");
    }
}
