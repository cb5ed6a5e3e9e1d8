//! What lies under a new file system is copied into it (option `tmpcopyup`).

use std::fs::{self, DirEntry, Metadata, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};

/// Copies directories, files and links; nodes, sockets and pipes are nobody's to copy. The host's /proc must be there.
pub(super) fn copy(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    let path = |fd: &OwnedFd| PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let (from, to) = (path(from), path(to));
    // As a directory, not as the link in /proc.
    own_as(&to.join("."), &fs::metadata(&from)?)?;
    folder(&from, &to)
}

fn folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::read_dir(from)?.try_for_each(|entry| one(&entry?, to))
}

fn one(entry: &DirEntry, to: &Path) -> io::Result<()> {
    let (from, to) = (entry.path(), to.join(entry.file_name()));
    let meta = fs::symlink_metadata(&from)?;
    if meta.is_symlink() {
        symlink(fs::read_link(&from)?, &to)?;
        return lchown(&to, Some(meta.uid()), Some(meta.gid()));
    }
    if meta.is_dir() {
        fs::create_dir(&to)?;
        folder(&from, &to)?;
    } else if meta.is_file() {
        fs::copy(&from, &to)?;
    } else {
        return Ok(());
    }
    own_as(&to, &meta)
}

/// The owner first: a change of it takes bits of the mode away.
fn own_as(path: &Path, meta: &Metadata) -> io::Result<()> {
    chown(path, Some(meta.uid()), Some(meta.gid()))?;
    fs::set_permissions(path, Permissions::from_mode(meta.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn trees() {
        let base = std::env::temp_dir().join(format!("ashlar-copy-up-{}", std::process::id()));
        let (from, to) = (base.join("from"), base.join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::create_dir_all(&to).unwrap();
        fs::write(from.join("a/b/f"), "text").unwrap();
        fs::set_permissions(from.join("a/b/f"), Permissions::from_mode(0o4750)).unwrap();
        fs::set_permissions(from.join("a"), Permissions::from_mode(0o1777)).unwrap();
        symlink("/no/where", from.join("link")).unwrap();
        let open = |path: &Path| OwnedFd::from(File::open(path).unwrap());
        copy(&open(&from), &open(&to)).unwrap();
        let mode = |path: &str| fs::metadata(to.join(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("a"), mode("a/b/f")), (0o1777, 0o4750));
        assert_eq!(fs::read_to_string(to.join("a/b/f")).unwrap(), "text");
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/no/where"));
        fs::remove_dir_all(base).unwrap();
    }
}
