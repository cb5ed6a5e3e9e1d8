//! Files below a directory that is known by descriptor, without ever leaving it: `..` and symbolic links, absolute ones
//! too, end inside (openat2 with RESOLVE_IN_ROOT).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

fn open_how(root: &impl AsFd, path: &Path, flags: i32, resolve: u64) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let how = OpenHow { flags: (flags | libc::O_CLOEXEC) as u64, mode: 0, resolve };
    let root = root.as_fd().as_raw_fd();
    let size = size_of::<OpenHow>();
    // SAFETY: the path is NUL-terminated, `how` is an open_how of that size; returns a new descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_openat2, root, path.as_ptr(), &raw const how, size) };
    let fd = crate::result(fd as i32)?;
    // SAFETY: new, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What is at `path` below `root`, as a place only: neither read nor written.
pub fn locate(root: &impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    const NO_MAGIC_LINKS: u64 = 0x02;
    const IN_ROOT: u64 = 0x10;
    // An absolute path means the same below a root.
    open_how(root, path, libc::O_PATH, IN_ROOT | NO_MAGIC_LINKS)
}

/// As [`locate`], but a link at the end of `path` is the place itself.
pub fn locate_itself(root: &impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    const NO_MAGIC_LINKS: u64 = 0x02;
    const IN_ROOT: u64 = 0x10;
    open_how(root, path, libc::O_PATH | libc::O_NOFOLLOW, IN_ROOT | NO_MAGIC_LINKS)
}

/// Opens what is at `path` below `root` for reading and writing; a terminal does not become the session's.
pub fn open(root: &impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    const NO_MAGIC_LINKS: u64 = 0x02;
    const IN_ROOT: u64 = 0x10;
    open_how(root, path, libc::O_RDWR | libc::O_NOCTTY, IN_ROOT | NO_MAGIC_LINKS)
}

/// What kind of device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node {
    /// Of a device that reads and writes bytes.
    Character(u32, u32),
    /// Of a disk.
    Block(u32, u32),
    /// A named pipe.
    Pipe,
}

/// Makes a device node with exactly this mode and owner.
pub fn make_node(parent: &impl AsFd, name: &Path, node: Node, mode: u32, uid: u32, gid: u32) -> io::Result<()> {
    let name = CString::new(name.as_os_str().as_bytes())?;
    let (kind, number) = match node {
        Node::Character(major, minor) => (libc::S_IFCHR, libc::makedev(major, minor)),
        Node::Block(major, minor) => (libc::S_IFBLK, libc::makedev(major, minor)),
        Node::Pipe => (libc::S_IFIFO, 0),
    };
    let parent = parent.as_fd().as_raw_fd();
    // SAFETY: the name is NUL-terminated; the other arguments are numbers. The mode is set again without the umask.
    unsafe {
        crate::result(libc::mknodat(parent, name.as_ptr(), kind | mode, number))?;
        crate::result(libc::fchmodat(parent, name.as_ptr(), mode, 0))?;
        if uid != 0 || gid != 0 {
            crate::result(libc::fchownat(parent, name.as_ptr(), uid, gid, libc::AT_SYMLINK_NOFOLLOW))?;
        }
    }
    Ok(())
}

/// Makes a directory; one that is there already will do.
pub fn make_directory(parent: &impl AsFd, name: &Path, mode: u32) -> io::Result<()> {
    let name = CString::new(name.as_os_str().as_bytes())?;
    // SAFETY: the name is NUL-terminated.
    match crate::result(unsafe { libc::mkdirat(parent.as_fd().as_raw_fd(), name.as_ptr(), mode) }) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Makes an empty file; one that is there already will do.
pub fn make_file(parent: &impl AsFd, name: &Path, mode: u32) -> io::Result<()> {
    let name = CString::new(name.as_os_str().as_bytes())?;
    // SAFETY: the name is NUL-terminated; the node is a plain file.
    match crate::result(unsafe { libc::mknodat(parent.as_fd().as_raw_fd(), name.as_ptr(), libc::S_IFREG | mode, 0) }) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Makes a symbolic link; whatever is there already will do.
pub fn make_link(parent: &impl AsFd, name: &Path, target: &str) -> io::Result<()> {
    let (name, target) = (CString::new(name.as_os_str().as_bytes())?, CString::new(target)?);
    // SAFETY: both strings are NUL-terminated.
    match crate::result(unsafe { libc::symlinkat(target.as_ptr(), parent.as_fd().as_raw_fd(), name.as_ptr()) }) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
