//! From one root to another while everything runs: what is mounted on the old one moves over to the new one, which takes
//! its place. Processes in other mount namespaces keep the old one as long as they live; those in this one that had it as
//! their root have the new one from now on.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ashlar_sys::filesystem as fsys;

use crate::mount_table::{self, Mount};

/// Where the next root is mounted until it is the root: on the root itself, since all that is mounted on that moves.
pub const NEXT: &str = "/usr/lib/ashlar/next";
/// They belong to the kernel that runs.
const MODULES: &str = "/usr/lib/modules";
const RELEASE: &str = "/proc/sys/kernel/osrelease";

/// Mounts the next root.
pub fn mount(device: &str) -> io::Result<()> {
    // Neither it nor what moves there is to be seen elsewhere, and the kernel moves nothing that is on a shared mount.
    fsys::mount("", Path::new("/"), "", fsys::PRIVATE_ALONE, "")?;
    let mounted = fsys::mount(device, Path::new(NEXT), "erofs", fsys::READ_ONLY, "");
    let mounted = mounted.map_err(|error| said(Path::new(device), error));
    mounted.inspect_err(|_| drop(fsys::mount("", Path::new("/"), "", fsys::SHARED_ALONE, "")))
}

/// Takes it away again.
pub fn unmount() {
    let _ = fsys::unmount(Path::new(NEXT), true);
    let _ = fsys::mount("", Path::new("/"), "", fsys::SHARED_ALONE, "");
}

/// The device that the root is on.
pub fn device() -> io::Result<PathBuf> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "nothing is mounted as root");
    mount_table::root(&mount_table::read()?).map(|root| root.source.clone()).ok_or_else(none)
}

/// Makes it the root. What fails leaves all as it was.
pub fn switch() -> io::Result<()> {
    let mounts = mount_table::read()?;
    let movable = movable(&mounts);
    let places: Vec<(&Path, PathBuf)> =
        movable.iter().map(|mount| (mount.target.as_path(), next(&mount.target))).collect();
    if let Some((_, missing)) = places.iter().find(|(_, place)| !place.exists()) {
        return Err(said(missing, io::ErrorKind::NotFound.into()));
    }
    show_modules()?;
    for (count, (from, to)) in places.iter().enumerate() {
        if let Err(error) = move_mount(from, to) {
            // Backwards: a mount may lie on another one's place.
            places[..count].iter().rev().for_each(|(from, to)| drop(move_mount(to, from)));
            return Err(error);
        }
    }
    env::set_current_dir(NEXT)?;
    if let Err(error) = fsys::pivot_root() {
        places.iter().rev().for_each(|(from, to)| drop(move_mount(to, from)));
        env::set_current_dir("/")?;
        return Err(error);
    }
    // It is the root now, whatever follows. The old one lies on top.
    let _ = fsys::unmount(Path::new("."), true);
    let _ = env::set_current_dir("/");
    let _ = fsys::mount("", Path::new("/"), "", fsys::SHARED_ALONE, "");
    Ok(())
}

fn movable(mounts: &[Mount]) -> Vec<&Mount> {
    let Some(root) = mount_table::root(mounts) else { return Vec::new() };
    let stays = |mount: &Mount| [NEXT, MODULES].iter().any(|path| mount.target == Path::new(path));
    mount_table::children(mounts, root).filter(|mount| !stays(mount)).collect()
}

/// The kernel that runs needs its modules, and the next root may have those of another.
fn show_modules() -> io::Result<()> {
    let release = fs::read_to_string(RELEASE)?;
    let place = next(Path::new(MODULES));
    let is_there = place.join(release.trim()).exists();
    let is_here = Path::new(MODULES).join(release.trim()).exists();
    if is_here && !is_there { fsys::bind(Path::new(MODULES), &place) } else { Ok(()) }
}

fn next(path: &Path) -> PathBuf {
    Path::new(NEXT).join(path.strip_prefix("/").unwrap_or(path))
}

fn move_mount(from: &Path, to: &Path) -> io::Result<()> {
    fsys::mount(&from.to_string_lossy(), to, "", fsys::MOVE, "").map_err(|error| said(from, error))
}

fn said(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves() {
        let mut mounts = mount_table::tests::mounts();
        let mut more = mounts[3].clone();
        more.target = MODULES.into();
        mounts.push(more);
        let targets: Vec<&Path> = movable(&mounts).iter().map(|mount| mount.target.as_path()).collect();
        assert_eq!(targets, ["/proc", "/var", "/dev/shm", "/run"].map(Path::new));
        assert_eq!(next(Path::new("/dev/shm")), Path::new("/usr/lib/ashlar/next/dev/shm"));
    }
}
