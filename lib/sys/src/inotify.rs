//! Changed files and new entries of folders. PID 1 uses it for cgroup.events and memory.events, which raise IN_MODIFY, and
//! for devices that come.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Room for one batch of events without names.
const BUFFER: usize = 4096;

/// An inotify instance.
#[derive(Debug)]
pub struct Inotify(OwnedFd);

impl Inotify {
    /// A new one, not blocking, closed on exec.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes flags, returns a new descriptor or -1.
        let fd = crate::result(unsafe { libc::inotify_init1(libc::IN_CLOEXEC | libc::IN_NONBLOCK) })?;
        // SAFETY: the descriptor is new and owned by nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches one file for changes; the number comes back from [`Self::read`].
    pub fn watch(&self, path: &Path) -> io::Result<i32> {
        self.add(path, libc::IN_MODIFY)
    }

    /// Watches a folder for new entries; the number comes back from [`Self::read`].
    pub fn watch_folder(&self, path: &Path) -> io::Result<i32> {
        self.add(path, libc::IN_CREATE | libc::IN_ONLYDIR)
    }

    /// Watches a path for whatever happens to it or in it; the number comes back from [`Self::read_kinds`].
    pub fn watch_all(&self, path: &Path) -> io::Result<i32> {
        let entries = libc::IN_CREATE | libc::IN_DELETE | libc::IN_MOVED_TO | libc::IN_MOVED_FROM;
        let own = libc::IN_MODIFY | libc::IN_CLOSE_WRITE | libc::IN_ATTRIB | libc::IN_DELETE_SELF | libc::IN_MOVE_SELF;
        self.add(path, entries | own)
    }

    fn add(&self, path: &Path, mask: u32) -> io::Result<i32> {
        let path = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: the path is NUL-terminated, the descriptor open.
        crate::result(unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr(), mask) })
    }

    /// Stops watching; a file that is gone has stopped by itself.
    pub fn unwatch(&self, watch: i32) {
        // SAFETY: takes numbers only.
        unsafe { libc::inotify_rm_watch(self.0.as_raw_fd(), watch) };
    }

    /// Which watched files or folders changed since the last call, without repeats.
    pub fn read(&self) -> Vec<i32> {
        let mut watches: Vec<i32> = self.read_kinds().into_iter().map(|(watch, _)| watch).collect();
        watches.dedup();
        watches
    }

    /// The same, with whether something was only written, and by somebody who has not closed it yet.
    pub fn read_kinds(&self) -> Vec<(i32, bool)> {
        let mut watches = Vec::new();
        let mut buffer = [0u8; BUFFER];
        loop {
            // SAFETY: the buffer is BUFFER bytes long and writable.
            let count = unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), BUFFER) };
            let Some(mut rest) = usize::try_from(count).ok().filter(|n| *n > 0).map(|n| &buffer[..n]) else { break };
            // struct inotify_event: watch, mask, cookie, length of the name, name.
            while let Some((head, tail)) = rest.split_at_checked(16) {
                let word = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
                let mask = u32::from_ne_bytes(word(4));
                if mask & libc::IN_IGNORED == 0 {
                    watches.push((i32::from_ne_bytes(word(0)), mask & libc::IN_MODIFY != 0));
                }
                rest = tail.get(u32::from_ne_bytes(word(12)) as usize..).unwrap_or_default();
            }
        }
        watches.sort_unstable();
        watches.dedup();
        watches
    }
}

impl AsFd for Inotify {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once() {
        let path = std::env::temp_dir().join(format!("ashlar-inotify-{}", std::process::id()));
        std::fs::write(&path, "a").unwrap();
        let inotify = Inotify::new().unwrap();
        let watch = inotify.watch(&path).unwrap();
        assert_eq!(inotify.read(), []);
        std::fs::write(&path, "b").unwrap();
        assert_eq!(inotify.read(), [watch]);
        assert_eq!(inotify.read(), []);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_new_entry_is_told() {
        let folder = std::env::temp_dir().join(format!("ashlar-inotify-folder-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let inotify = Inotify::new().unwrap();
        let watch = inotify.watch_folder(&folder).unwrap();
        std::fs::write(folder.join("new"), "").unwrap();
        assert_eq!(inotify.read(), [watch]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
