//! What has to be there before a process starts: its folders, the owner of its group, its standard input.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};

use ashlar_config::unit::Service;
use ashlar_sys::descriptor;

use crate::cgroup;
use crate::small_file::NONBLOCK_NOCTTY;

/// A service's standard input.
pub(super) fn open_input(service: &Service) -> Result<OwnedFd, String> {
    // PID 1 must neither wait for a line's carrier nor become the terminal's owner.
    let path = service.tty.as_deref().unwrap_or("/dev/null");
    let mut options = fs::OpenOptions::new();
    options.read(true).write(service.tty.is_some()).custom_flags(NONBLOCK_NOCTTY);
    let opened = options.open(path).and_then(|file| descriptor::set_blocking(&file, true).map(|()| file));
    opened.map(OwnedFd::from).map_err(|error| format!("cannot open {path}: {error}"))
}

/// State folders are as the service sees them, their mounts are shifted; runtime folders on the host are shifted.
pub(super) fn make_folders(service: &Service) -> Result<(), String> {
    let shift = service.first_id.unwrap_or(0);
    for name in &service.state_directory {
        make_folder(&format!("/var/lib/{name}"), 0o755, service.uid, service.gid)?;
    }
    for name in &service.runtime_directory {
        make_folder(&format!("/run/{name}"), 0o755, service.uid + shift, service.gid + shift)?;
    }
    Ok(())
}

/// A folder of somebody's.
pub(super) fn make_folder(path: &str, mode: u32, uid: u32, gid: u32) -> Result<(), String> {
    let make = || {
        fs::create_dir_all(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        chown(path, Some(uid), Some(gid))
    };
    make().map_err(|error| format!("cannot make {path}: {error}"))
}

/// Below its own group a delegated unit does as it likes.
pub(super) fn delegate(service: &Service, group: &str) -> Result<(), String> {
    if !service.delegate {
        return Ok(());
    }
    let shift = service.first_id.unwrap_or(0);
    give_group(group, service.uid + shift, service.gid + shift)
}

/// Has somebody own a control group.
pub(super) fn give_group(group: &str, uid: u32, gid: u32) -> Result<(), String> {
    let (uid, gid) = (Some(uid), Some(gid));
    let directory = cgroup::path(group);
    for name in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
        chown(directory.join(name), uid, gid).map_err(|error| format!("cannot delegate {group}: {error}"))?;
    }
    Ok(())
}
