//! Namespaces: the kinds there are, leaving them and entering others'.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// A kind of namespace. The order is the one in which they are entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Users, groups and capabilities.
    User,
    /// Mounts.
    Mount,
    /// Process numbers.
    Pid,
    /// Network devices, addresses, sockets.
    Network,
    /// System V objects and POSIX message queues.
    Ipc,
    /// Host name.
    Uts,
    /// The root of the control groups that is seen.
    Cgroup,
    /// Offsets of the clocks.
    Time,
}

impl Kind {
    /// Its CLONE_NEW flag.
    pub const fn flag(self) -> u64 {
        let flag = match self {
            Self::User => libc::CLONE_NEWUSER,
            Self::Mount => libc::CLONE_NEWNS,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Network => libc::CLONE_NEWNET,
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Uts => libc::CLONE_NEWUTS,
            Self::Cgroup => libc::CLONE_NEWCGROUP,
            Self::Time => 0x80,
        };
        flag as u64
    }

    /// Its name in /proc/PID/ns.
    pub const fn file(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Mount => "mnt",
            Self::Pid => "pid",
            Self::Network => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }
}

/// Makes new namespaces and enters them; a new process or time namespace is for children only.
pub fn unshare(kinds: &[Kind]) -> io::Result<()> {
    let flags = kinds.iter().fold(0, |flags, kind| flags | kind.flag());
    // SAFETY: takes flags.
    crate::result(unsafe { libc::unshare(flags as i32) })?;
    Ok(())
}

/// Enters namespaces: those of a process if `of` is a pidfd, all at once; the one that `of` refers to otherwise.
/// A process namespace is entered by children only.
pub fn enter(of: impl AsFd, kinds: &[Kind]) -> io::Result<()> {
    let flags = kinds.iter().fold(0, |flags, kind| flags | kind.flag());
    // SAFETY: takes numbers; the descriptor is open for the length of the call.
    crate::result(unsafe { libc::setns(of.as_fd().as_raw_fd(), flags as i32) })?;
    Ok(())
}
