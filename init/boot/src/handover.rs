//! From the initramfs into the root: what is left behind is deleted, so that its memory is free again.

use std::convert::Infallible;
use std::env;
use std::fs;
use std::os::unix::fs::{MetadataExt, chroot};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ashlar_sys::filesystem as fsys;

use crate::error::Error;
use crate::mounts;

/// Where the root is mounted until it is the root.
pub const ROOT: &str = "/sysroot";
const INIT: &str = "/usr/lib/ashlar/init";

/// Mounts the verified device. The kernel refuses to write to it, too.
pub fn mount_root(device: &str) -> Result<(), Error> {
    let root = Path::new(ROOT);
    let _ = fs::create_dir(root);
    fsys::mount(device, root, "erofs", fsys::READ_ONLY, "").map_err(Error::at(device))?;
    let init = root.join(INIT.trim_start_matches('/'));
    if init.exists() { Ok(()) } else { Err(Error::NoInit(PathBuf::from(INIT))) }
}

/// Makes the root the root and becomes PID 1's program. Returns only with the reason why not.
pub fn switch() -> Result<Infallible, Error> {
    let root = Path::new(ROOT);
    mounts::move_all(root)?;
    empty_initramfs();
    env::set_current_dir(root).map_err(Error::at(root))?;
    fsys::mount(".", Path::new("/"), "", fsys::MOVE, "").map_err(Error::at(root))?;
    chroot(".").and_then(|()| env::set_current_dir("/")).map_err(Error::at(root))?;
    Err(Error::at(INIT)(Command::new(INIT).exec()))
}

/// Deletes what is on the initramfs itself; mounts on it, the new root above all, are other devices and stay.
fn empty_initramfs() {
    let root = Path::new("/");
    if let Ok(metadata) = fs::symlink_metadata(root) {
        empty(root, metadata.dev());
    }
}

fn empty(folder: &Path, device: u64) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.dev() != device {
            continue;
        }
        // What cannot be deleted costs memory and nothing else.
        if metadata.is_dir() {
            empty(&path, device);
            let _ = fs::remove_dir(&path);
        } else {
            let _ = fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empties_only_its_own_device() {
        let folder = env::temp_dir().join(format!("ashlar-handover-{}", std::process::id()));
        fs::create_dir_all(folder.join("modules/deep")).unwrap();
        fs::write(folder.join("modules/deep/file"), "x").unwrap();
        std::os::unix::fs::symlink("/", folder.join("link")).unwrap();
        let device = fs::symlink_metadata(&folder).unwrap().dev();
        empty(&folder, device + 1);
        assert!(folder.join("modules/deep/file").exists());
        empty(&folder, device);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir(folder).unwrap();
    }
}
