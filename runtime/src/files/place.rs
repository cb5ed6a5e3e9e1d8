//! Places in a container's file tree: found, or made so that something can be mounted there.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use ashlar_sys::at;

use crate::error::{Failure, InStep, Step};

/// What can be mounted on what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Directory,
    /// Anything but a directory.
    File,
}

impl Shape {
    /// What a descriptor refers to.
    pub(super) fn of(fd: &impl AsFd) -> io::Result<Self> {
        let file = File::from(fd.as_fd().try_clone_to_owned()?);
        Ok(if file.metadata()?.is_dir() { Self::Directory } else { Self::File })
    }
}

/// What is at `path`, if anything is.
pub(super) fn find(root: &OwnedFd, path: &str) -> io::Result<Option<OwnedFd>> {
    match at::locate(root, Path::new(path)) {
        Ok(place) => Ok(Some(place)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the last part of `path` is a symbolic link.
pub(super) fn is_link(root: &OwnedFd, path: &str) -> bool {
    at::locate_itself(root, Path::new(path))
        .map(File::from)
        .and_then(|place| place.metadata())
        .is_ok_and(|meta| meta.file_type().is_symlink())
}

/// What is at `path`; made with all that leads there if nothing is.
pub(super) fn make(root: &OwnedFd, path: &str, shape: Shape) -> Result<OwnedFd, Failure> {
    let made = || match find(root, path)? {
        Some(place) => Ok(place),
        None => make_along(root, Path::new(path), shape),
    };
    made().step(Step::MountPoint, path)
}

/// Each part is looked up from the root anew, so that links on the way stay inside.
fn make_along(root: &OwnedFd, path: &Path, shape: Shape) -> io::Result<OwnedFd> {
    let mut place = root.try_clone()?;
    let mut done = PathBuf::new();
    let mut rest = path.components().filter(|part| *part != Component::RootDir).peekable();
    while let Some(part) = rest.next() {
        let Component::Normal(name) = part else { return Err(io::ErrorKind::InvalidInput.into()) };
        done.push(name);
        if let Some(found) = find(root, done.to_str().unwrap_or_default())? {
            place = found;
            continue;
        }
        match (rest.peek(), shape) {
            (None, Shape::File) => at::make_file(&place, Path::new(name), 0o644)?,
            _ => at::make_directory(&place, Path::new(name), 0o755)?,
        }
        place = at::locate(root, &done)?;
    }
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn places_stay_inside() {
        let folder = std::env::temp_dir().join(format!("ashlar-place-{}", std::process::id()));
        fs::create_dir_all(folder.join("root/real")).unwrap();
        symlink("/real", folder.join("root/absolute")).unwrap();
        symlink("../../..", folder.join("root/up")).unwrap();
        symlink("/nowhere", folder.join("root/dangling")).unwrap();
        let root = OwnedFd::from(File::open(folder.join("root")).unwrap());
        let check = |path: &str, shape, expect: &str| {
            make(&root, path, shape).unwrap();
            let meta = fs::metadata(folder.join("root").join(expect)).unwrap();
            assert_eq!(meta.is_dir(), shape == Shape::Directory, "{path}");
        };
        check("/a/b/c", Shape::Directory, "a/b/c");
        check("/a/b/f", Shape::File, "a/b/f");
        check("/absolute/x", Shape::Directory, "real/x");
        check("/up/y", Shape::File, "y");
        check("/a/b/c", Shape::Directory, "a/b/c");
        for bad in ["/dangling/x", "/a/../b/z/../z"] {
            assert!(make(&root, bad, Shape::File).is_err(), "{bad}");
        }
        assert!(!folder.join("y").exists() && !Path::new("/nowhere").exists());
        fs::remove_dir_all(folder).unwrap();
    }
}
