//! The host's files that a container is made of: its root and what is bound into it, cloned as detached mounts.
//!
//! The host's side does this for a container with users of its own, which could not open them. Everybody else's inside
//! does it itself, before it changes anything about the mounts that it was born with.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};

use ashlar_sys::mounts::{self, Change, Propagation};
use ashlar_sys::namespace::Kind;
use ashlar_sys::{credentials, process};

use crate::bundle::Bundle;
use crate::error::{Failure, InStep, Step};
use crate::mounts::{Options, Origin, origin, propagation};
use crate::spec::{IdMapping, Mount, NamespaceKind, ROOTFS_IDMAP};

/// Whether the host's side clones them: what users of the container's own could not open. Without the host's rights only
/// who is in the new user namespace may clone at all.
pub(crate) fn are_for_the_host(bundle: &Bundle) -> bool {
    bundle.owns(NamespaceKind::User) && credentials::may_administer()
}

/// The root, as a tree of its own.
pub(crate) fn root(bundle: &Bundle, users: Option<&OwnedFd>) -> Result<OwnedFd, Failure> {
    let path = bundle.root();
    let subject = path.display().to_string();
    let idmap = users.filter(|_| bundle.annotation(ROOTFS_IDMAP) == Some("true"));
    // Of the machine's own root only the root itself is meant, not what is mounted in it.
    let recursive = idmap.is_none() && path != Path::new("/");
    let tree = mounts::clone_tree(None, &path, recursive).step(Step::Root, &subject)?;
    private(&tree, &subject)?;
    if let Some(users) = idmap {
        shift(&tree, users, false, &subject)?;
    }
    Ok(tree)
}

fn private(tree: &OwnedFd, subject: &str) -> Result<(), Failure> {
    let change = Change { propagation: Some(Propagation::Private), ..Change::default() };
    mounts::change(tree, &change, true).step(Step::Mount, subject)
}

fn shift(tree: &OwnedFd, users: &OwnedFd, recursive: bool, subject: &str) -> Result<(), Failure> {
    let change = Change { idmap: Some(users.as_fd()), ..Change::default() };
    mounts::change(tree, &change, recursive).step(Step::ShiftIds, subject)
}

/// What `mount` binds; `None`: it is made by the inside, or is not there and need not be.
pub(crate) fn bound(bundle: &Bundle, mount: &Mount, users: Option<&OwnedFd>) -> Result<Option<OwnedFd>, Failure> {
    let options = Options::parse(&mount.options);
    let Origin::Host { path, recursive } = origin(mount, &options, &bundle.directory, |kind| bundle.owns(kind)) else {
        return Ok(None);
    };
    let subject = format!("{} at {}", path.display(), mount.destination);
    match mounts::clone_tree(None, &path, recursive) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && options.optional => Ok(None),
        tree => {
            let tree = tree.step(Step::Mount, &subject)?;
            prepare(&tree, mount, &options, bundle, users, &subject)?;
            Ok(Some(tree))
        }
    }
}

/// Makes a clone what its options say.
fn prepare(
    tree: &OwnedFd,
    mount: &Mount,
    options: &Options,
    bundle: &Bundle,
    users: Option<&OwnedFd>,
    subject: &str,
) -> Result<(), Failure> {
    let (spread, all) = options.propagation.unwrap_or_else(|| (inherited_propagation(bundle), true));
    let spread = Change { propagation: Some(spread), ..Change::default() };
    mounts::change(tree, &spread, all).step(Step::Mount, subject)?;
    // What stands in for a file system of the container's own is as restricted as that would be, with all in it.
    let is_view = mount.kind.as_deref().is_some_and(|kind| !["", "none", "bind"].contains(&kind)) && !options.bind;
    for (change, recursive) in [(options.change(), is_view), (options.change_below(), true)] {
        if !change.is_none() {
            mounts::change(tree, &change, recursive).step(Step::Mount, subject)?;
        }
    }
    if !options.idmap && mount.uid_mappings.is_empty() {
        return Ok(());
    }
    let linux = &bundle.spec.linux;
    let same = mount.uid_mappings.is_empty()
        || (&mount.uid_mappings, &mount.gid_mappings) == (&linux.uid_mappings, &linux.gid_mappings);
    match users.filter(|_| same) {
        Some(users) => shift(tree, users, options.idmap_below, subject),
        None => shift(tree, &mapping(mount, subject)?, options.idmap_below, subject),
    }
}

/// Without a word of its own a mount spreads as the root does, but never to the host.
fn inherited_propagation(bundle: &Bundle) -> Propagation {
    let root = bundle.spec.linux.rootfs_propagation.as_deref().and_then(propagation);
    match root {
        Some((Propagation::Slave | Propagation::Shared, _)) => Propagation::Slave,
        _ => Propagation::Private,
    }
}

/// A user namespace for the sake of its mapping: of a process that only waits to be killed.
fn mapping(mount: &Mount, subject: &str) -> Result<OwnedFd, Failure> {
    let (wait, hold) = io::pipe().step(Step::ShiftIds, subject)?;
    let child = process::fork(&[Kind::User], None, || {
        let _ = process::readable(&[wait.as_fd()], -1);
        0
    })
    .step(Step::ShiftIds, subject)?;
    let opened = write_maps(child.pid, &mount.uid_mappings, &mount.gid_mappings)
        .and_then(|()| File::open(format!("/proc/{}/ns/user", child.pid)));
    let _ = process::signal(&child.pidfd, 9);
    let _ = process::wait(child.pid);
    drop(hold);
    opened.map(OwnedFd::from).step(Step::ShiftIds, subject)
}

/// Writes the mappings of a process's user namespace.
pub(crate) fn write_maps(pid: u32, uids: &[IdMapping], gids: &[IdMapping]) -> io::Result<()> {
    write_map(pid, "uid_map", "newuidmap", uids)?;
    match write_map(pid, "gid_map", "newgidmap", gids) {
        // Without the host's rights only a process that gives up setting groups may map its own.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
            write_map(pid, "gid_map", "newgidmap", gids)
        }
        other => other,
    }
}

/// The ids of others are given by a program that looks into /etc/subuid and /etc/subgid (newuidmap(1)).
fn write_map(pid: u32, file: &str, program: &str, map: &[IdMapping]) -> io::Result<()> {
    let text: String = map.iter().map(|map| format!("{} {} {}\n", map.container, map.host, map.size)).collect();
    let written = fs::write(format!("/proc/{pid}/{file}"), text);
    let others = map.iter().map(|map| u64::from(map.size)).sum::<u64>() > 1;
    match written {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && others && !credentials::may_administer() => {
            let numbers = map.iter().flat_map(|map| [map.container, map.host, map.size]);
            let mut command = Command::new(program);
            command.arg(pid.to_string()).args(numbers.map(|number| number.to_string()));
            let output = command.stdin(Stdio::null()).output();
            let output = output.map_err(|error| io::Error::other(format!("{program}: {error}")))?;
            match output.status.success() {
                true => Ok(()),
                false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
            }
        }
        other => other,
    }
}
