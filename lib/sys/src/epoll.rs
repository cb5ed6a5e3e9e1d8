//! One epoll instance: what a single-threaded loop sleeps on.
//!
//! The token that comes back with an event is the caller's own number; nothing here knows what it means.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Readable, or the other side hung up.
pub const READ: u32 = libc::EPOLLIN as u32;
/// Writable.
pub const WRITE: u32 = libc::EPOLLOUT as u32;
/// An exceptional state, such as a changed cgroup file.
pub const PRIORITY: u32 = libc::EPOLLPRI as u32;
/// The other side hung up; always reported.
pub const HANGUP: u32 = libc::EPOLLHUP as u32;
/// The other side will send no more.
pub const READ_HANGUP: u32 = libc::EPOLLRDHUP as u32;

/// How many events one [`Epoll::wait`] brings at most.
const BATCH: usize = 64;

/// An epoll instance.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

/// What happened to one registered descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// The caller's number for it.
    pub token: u64,
    /// [`READ`], [`WRITE`], [`HANGUP`]… as a bit set.
    pub events: u32,
}

impl Epoll {
    /// A new, empty instance, closed on exec.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes a flag, returns a new descriptor or -1.
        let fd = crate::result(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `fd` was just returned by the kernel and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches `fd` for `events`.
    pub fn add(&self, fd: impl AsFd, token: u64, events: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, events)
    }

    /// Changes what `fd` is watched for.
    pub fn modify(&self, fd: impl AsFd, token: u64, events: u32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, events)
    }

    /// Stops watching `fd`. Closing the last duplicate of it does the same.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, 0)
    }

    fn control(&self, operation: i32, fd: impl AsFd, token: u64, events: u32) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token };
        let (epoll, fd) = (self.0.as_raw_fd(), fd.as_fd().as_raw_fd());
        // SAFETY: both descriptors are open for the length of the call, `event` is a valid epoll_event.
        crate::result(unsafe { libc::epoll_ctl(epoll, operation, fd, &raw mut event) })?;
        Ok(())
    }

    /// Sleeps until something happens or `timeout` is over (`None`: for ever); adds what happened to `ready`.
    ///
    /// A time-out is rounded up to a millisecond, so that a caller never wakes just before its deadline.
    pub fn wait(&self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; BATCH];
        let millis = timeout.map_or(-1, |t| i32::try_from(t.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
        // SAFETY: the array has room for BATCH events; the kernel writes at most as many.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), BATCH as i32, millis) };
        match crate::result(count) {
            Ok(count) => {
                let count = usize::try_from(count).unwrap_or(0);
                ready.extend(events[..count].iter().map(|e| Ready { token: e.u64, events: e.events }));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_who_is_ready() {
        let (reader, writer) = io::pipe().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(&reader, 7, READ).unwrap();
        let mut ready = Vec::new();
        epoll.wait(Some(Duration::ZERO), &mut ready).unwrap();
        assert!(ready.is_empty());
        io::Write::write_all(&mut &writer, b"x").unwrap();
        epoll.wait(None, &mut ready).unwrap();
        assert_eq!(ready, [Ready { token: 7, events: READ }]);
    }
}
