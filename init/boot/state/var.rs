//! /var: mounted, and with the folders that everybody expects there.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use ashlar_sys::filesystem as fsys;

use crate::error::Error;

const VAR: &str = "/var";
const FLAGS: u64 = fsys::NO_SUID | fsys::NO_DEVICES | fsys::RELATIVE_TIME;
/// Enough for what a machine without state writes before somebody comes to help.
const TMPFS_OPTIONS: &str = "mode=0755,size=25%";
/// Folder and mode, parents before children.
const FOLDERS: [(&str, u32); 6] =
    [("lib", 0o755), ("lib/ashlar", 0o755), ("log", 0o755), ("cache", 0o755), ("home", 0o755), ("tmp", 0o1777)];

/// Where it is.
pub fn path() -> &'static Path {
    Path::new(VAR)
}

/// What is mounted there already, if the program was started before.
pub fn mounted() -> Option<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut fields = mounts.lines().map(|line| line.split(' ')).map(|mut fields| (fields.next(), fields.next()));
    // The last one lies on top.
    fields.rfind(|(_, target)| *target == Some(VAR)).and_then(|(source, _)| source.map(str::to_owned))
}

/// Mounts the state partition.
pub fn mount(device: &str) -> Result<(), Error> {
    fsys::mount(device, Path::new(VAR), "ext4", FLAGS, "")
        .map_err(|error| Error::Damaged { device: device.to_owned(), why: format!("it cannot be mounted: {error}") })
}

/// Mounts memory in its place.
pub fn mount_tmpfs() -> Result<(), Error> {
    if mounted().is_some() {
        return Ok(());
    }
    fsys::mount("tmpfs", Path::new(VAR), "tmpfs", FLAGS, TMPFS_OPTIONS).map_err(Error::at("mount a tmpfs on", VAR))
}

/// Makes what is missing. The mode of a folder that is there is its owner's business.
pub fn make_folders() -> Result<(), Error> {
    for (name, mode) in FOLDERS {
        let path = Path::new(VAR).join(name);
        if path.is_dir() {
            continue;
        }
        DirBuilder::new().mode(mode).create(&path).map_err(Error::at("make", &path))?;
        // The mode of a new folder is cut by the umask.
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(Error::at("make", &path))?;
    }
    Ok(())
}
