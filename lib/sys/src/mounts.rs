//! Mounts by descriptor (open_tree, move_mount, mount_setattr, fsopen): made detached, changed, and only then attached,
//! so that nobody ever sees one half made.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Read-only.
pub const READ_ONLY: u64 = 0x1;
/// No set-user-id programs.
pub const NO_SUID: u64 = 0x2;
/// No device nodes.
pub const NO_DEVICES: u64 = 0x4;
/// No programs.
pub const NO_EXEC: u64 = 0x8;
/// All bits that say when times of access are written.
pub const TIMES: u64 = 0x70;
/// Times of access are never written.
pub const NO_TIMES: u64 = 0x10;
/// Times of access are written at each one.
pub const STRICT_TIMES: u64 = 0x20;
/// No times of access for directories.
pub const NO_DIRECTORY_TIMES: u64 = 0x80;
/// Symbolic links are not followed.
pub const NO_SYMLINKS: u64 = 0x20_0000;
/// Ids are shifted as a user namespace says.
const IDMAP: u64 = 0x10_0000;

const CLONE: u32 = 1;
const EMPTY_PATH: u32 = 0x1000;
const RECURSIVE: u32 = 0x8000;

fn fd_of(value: libc::c_long) -> io::Result<OwnedFd> {
    let fd = crate::result(value as i32)?;
    // SAFETY: the kernel just returned it, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A path that is seen from a directory, or from where the process is.
fn at(directory: Option<BorrowedFd<'_>>) -> RawFd {
    directory.map_or(libc::AT_FDCWD, |fd| fd.as_raw_fd())
}

/// A detached copy of the mount at `path`, with what is mounted below it if `recursive`. An empty path means the
/// directory itself.
pub fn clone_tree(directory: Option<BorrowedFd<'_>>, path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut flags = CLONE | libc::O_CLOEXEC as u32;
    if path.is_empty() {
        flags |= EMPTY_PATH;
    }
    if recursive {
        flags |= RECURSIVE;
    }
    // SAFETY: the path is NUL-terminated; returns a new descriptor.
    fd_of(unsafe { libc::syscall(libc::SYS_open_tree, at(directory), path.as_ptr(), flags) })
}

/// Attaches a detached mount on what `target` refers to.
pub fn attach(mount: impl AsFd, target: impl AsFd) -> io::Result<()> {
    const FROM_EMPTY: u32 = 0x4;
    const TO_EMPTY: u32 = 0x40;
    let (from, to) = (mount.as_fd().as_raw_fd(), target.as_fd().as_raw_fd());
    let empty = c"".as_ptr();
    // SAFETY: both descriptors are open, both paths NUL-terminated.
    let moved = unsafe { libc::syscall(libc::SYS_move_mount, from, empty, to, empty, FROM_EMPTY | TO_EMPTY) };
    crate::result(moved as i32)?;
    Ok(())
}

/// How mounts and unmounts below one spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// From the original to here.
    Slave,
    /// Both ways.
    Shared,
    /// Not at all, and it cannot be bound.
    Unbindable,
}

/// What to change about a mount.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'a> {
    /// Attributes to set.
    pub set: u64,
    /// Attributes to clear.
    pub clear: u64,
    /// See [`Propagation`].
    pub propagation: Option<Propagation>,
    /// User namespace by whose mapping ids are shifted.
    pub idmap: Option<BorrowedFd<'a>>,
}

impl Change<'_> {
    /// Nothing is to be changed.
    pub fn is_none(&self) -> bool {
        self.set == 0 && self.clear == 0 && self.propagation.is_none() && self.idmap.is_none()
    }
}

#[derive(Default)]
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Changes a mount, and all below it if `recursive`.
pub fn change(mount: impl AsFd, change: &Change<'_>, recursive: bool) -> io::Result<()> {
    let mut attributes = MountAttr { set: change.set, clear: change.clear, ..MountAttr::default() };
    attributes.propagation = match change.propagation {
        None => 0,
        Some(Propagation::Private) => libc::MS_PRIVATE,
        Some(Propagation::Slave) => libc::MS_SLAVE,
        Some(Propagation::Shared) => libc::MS_SHARED,
        Some(Propagation::Unbindable) => libc::MS_UNBINDABLE,
    };
    // The bits of the times are one number: it can only be set when all of it is cleared.
    if change.set & TIMES != 0 {
        attributes.clear |= TIMES;
    }
    if let Some(userns) = change.idmap {
        attributes.set |= IDMAP;
        attributes.userns = userns.as_raw_fd() as u64;
    }
    let flags = EMPTY_PATH | if recursive { RECURSIVE } else { 0 };
    let fd = mount.as_fd().as_raw_fd();
    // SAFETY: the path is empty, `attributes` is a mount_attr of that size, descriptors are open.
    let changed = unsafe {
        let size = size_of::<MountAttr>();
        libc::syscall(libc::SYS_mount_setattr, fd, c"".as_ptr(), flags, &raw const attributes, size)
    };
    crate::result(changed as i32)?;
    Ok(())
}

/// A file system that is being configured (fsopen).
#[derive(Debug)]
pub struct FileSystem(OwnedFd);

impl FileSystem {
    /// A new one of this type.
    pub fn new(kind: &str) -> io::Result<Self> {
        const CLOEXEC: u32 = 1;
        let kind = CString::new(kind)?;
        // SAFETY: the name is NUL-terminated; returns a new descriptor.
        fd_of(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), CLOEXEC) }).map(Self)
    }

    /// Sets `key` to `value`, or just sets it.
    pub fn set(&self, key: &str, value: Option<&str>) -> io::Result<()> {
        const FLAG: u32 = 0;
        const STRING: u32 = 1;
        let key = CString::new(key)?;
        match value.map(CString::new).transpose()? {
            Some(value) => self.configure(STRING, Some(&key), Some(&value)),
            None => self.configure(FLAG, Some(&key), None),
        }
    }

    fn configure(&self, command: u32, key: Option<&CStr>, value: Option<&CStr>) -> io::Result<()> {
        let key = key.map_or(std::ptr::null(), CStr::as_ptr);
        let value = value.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: strings are NUL-terminated or absent, as the command wants them.
        let done = unsafe { libc::syscall(libc::SYS_fsconfig, self.0.as_raw_fd(), command, key, value, 0) };
        crate::result(done as i32).map(drop).map_err(|error| self.explain(error))
    }

    /// The file system may have said more than a number: `e tmpfs: Unknown parameter 'x'`.
    fn explain(&self, error: io::Error) -> io::Error {
        let mut buffer = [0u8; 256];
        // SAFETY: the buffer is as long as is said.
        let length = unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        let text = String::from_utf8_lossy(&buffer[..usize::try_from(length).unwrap_or(0)]).into_owned();
        match text.trim_end().strip_prefix("e ") {
            Some(text) => io::Error::new(error.kind(), text.to_owned()),
            None => error,
        }
    }

    /// Makes it, and a detached mount of it with these attributes.
    pub fn mount(&self, attributes: u64) -> io::Result<OwnedFd> {
        const CREATE: u32 = 6;
        const CLOEXEC: u32 = 1;
        self.configure(CREATE, None, None)?;
        // SAFETY: takes numbers; returns a new descriptor.
        fd_of(unsafe { libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), CLOEXEC, attributes) })
    }
}

/// Makes the mount at `root` the root of this mount namespace and detaches the old one.
pub fn pivot(root: impl AsFd) -> io::Result<()> {
    let old = std::fs::File::open("/")?;
    change_directory(&root)?;
    // SAFETY: both paths are NUL-terminated. The old root comes to lie over the new one.
    crate::result(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) } as i32)?;
    change_directory(&old)?;
    // What is unmounted here must not be unmounted where it came from.
    change(&old, &Change { propagation: Some(Propagation::Slave), ..Change::default() }, true)?;
    // SAFETY: the path is NUL-terminated.
    crate::result(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) })?;
    std::env::set_current_dir("/")
}

/// Moves the mount at `root` over the root of this mount namespace: where that is the initramfs, which cannot be changed
/// for another.
pub fn cover_root(root: impl AsFd) -> io::Result<()> {
    change_directory(&root)?;
    attach(&root, std::fs::File::open("/")?)?;
    change_root(Path::new("."))
}

/// fchdir(2).
pub fn change_directory(directory: &impl AsFd) -> io::Result<()> {
    // SAFETY: takes an open descriptor.
    crate::result(unsafe { libc::fchdir(directory.as_fd().as_raw_fd()) })?;
    Ok(())
}

/// Makes `root` the root directory of this process.
pub fn change_root(root: &Path) -> io::Result<()> {
    let path = CString::new(root.as_os_str().as_bytes())?;
    // SAFETY: the path is NUL-terminated.
    crate::result(unsafe { libc::chroot(path.as_ptr()) })?;
    std::env::set_current_dir("/")
}
