//! mount(2) and umount2(2) for the host's own file systems. Containers' mounts are made with the newer calls.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Read-only.
pub const READ_ONLY: u64 = libc::MS_RDONLY;
/// No set-user-id programs.
pub const NO_SUID: u64 = libc::MS_NOSUID;
/// No device nodes.
pub const NO_DEVICES: u64 = libc::MS_NODEV;
/// No programs.
pub const NO_EXEC: u64 = libc::MS_NOEXEC;
/// Change the flags of what is mounted.
pub const REMOUNT: u64 = libc::MS_REMOUNT;
/// Moves what is mounted at the source.
pub const MOVE: u64 = libc::MS_MOVE;
/// Times of access are rarely written.
pub const RELATIVE_TIME: u64 = libc::MS_RELATIME;
/// Times of access are written only when strict.
pub const STRICT_TIME: u64 = libc::MS_STRICTATIME;
/// This mount and all below it: what is mounted there is seen in other namespaces, too.
pub const SHARED: u64 = libc::MS_SHARED | libc::MS_REC;
/// The same of one mount alone.
pub const SHARED_ALONE: u64 = libc::MS_SHARED;
/// One mount is no longer shared; those below it stay as they are.
pub const PRIVATE_ALONE: u64 = libc::MS_PRIVATE;

/// Mounts a file system, or changes a mount, by mount(2).
pub fn mount(source: &str, target: &Path, kind: &str, flags: u64, data: &str) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    let (source, kind, data) = (CString::new(source)?, CString::new(kind)?, CString::new(data)?);
    // SAFETY: all strings are NUL-terminated and live over the call.
    crate::result(unsafe {
        libc::mount(source.as_ptr(), target.as_ptr(), kind.as_ptr(), flags as _, data.as_ptr().cast())
    })?;
    Ok(())
}

/// Which file system a path is in, by its magic number (statfs(2)).
pub fn kind(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut status = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the path is NUL-terminated, `status` may be written to and is whole when the call succeeds.
    let status = unsafe {
        crate::result(libc::statfs(path.as_ptr(), status.as_mut_ptr()))?;
        status.assume_init()
    };
    Ok(status.f_type as u64)
}

/// Whether nothing can be written to the mount that an open file was found in.
pub fn is_read_only(file: &impl AsFd) -> io::Result<bool> {
    let mut status = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: `status` may be written to and is whole when the call succeeds.
    let status = unsafe {
        crate::result(libc::fstatvfs(file.as_fd().as_raw_fd(), status.as_mut_ptr()))?;
        status.assume_init()
    };
    Ok(status.f_flag & libc::ST_RDONLY != 0)
}

/// Writes all that a file's file system has in memory (syncfs(2)).
pub fn sync(file: &impl AsFd) -> io::Result<()> {
    // SAFETY: no memory is passed.
    crate::result(unsafe { libc::syncfs(file.as_fd().as_raw_fd()) })?;
    Ok(())
}

/// Shows a folder in a second place.
pub fn bind(source: &Path, target: &Path) -> io::Result<()> {
    mount(&source.to_string_lossy(), target, "", libc::MS_BIND, "")
}

/// Unmounts. `lazy`: at once out of sight, for good when the last user is gone.
pub fn unmount(target: &Path, lazy: bool) -> io::Result<()> {
    let target = CString::new(target.as_os_str().as_bytes())?;
    let flags = libc::UMOUNT_NOFOLLOW | if lazy { libc::MNT_DETACH } else { 0 };
    // SAFETY: the path is NUL-terminated.
    crate::result(unsafe { libc::umount2(target.as_ptr(), flags) })?;
    Ok(())
}

/// Makes the working folder, a mount, the root of this namespace and of everybody in it who had the old one as root. The old
/// root lies on top of it from then on (pivot_root(2), the form without a place for the old root).
pub fn pivot_root() -> io::Result<()> {
    // SAFETY: both strings are NUL-terminated.
    crate::result(unsafe { libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()) } as i32)?;
    Ok(())
}

/// Sets the host name of this UTS namespace.
pub fn set_host_name(name: &str) -> io::Result<()> {
    // SAFETY: the pointer is valid for `len` bytes.
    crate::result(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })?;
    Ok(())
}
