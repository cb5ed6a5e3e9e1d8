//! The host's side of a set-up: what takes the host's rights, files and /proc.
//!
//! The order: ids first, because the inside can do nothing without; limits before anything of the container's runs; the
//! mounts' sources while the host's file tree is still there; hooks last.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use ashlar_sys::mounts::{self, Change, Propagation};
use ashlar_sys::namespace::Kind;
use ashlar_sys::{process, terminal};

use crate::begin::Request;
use crate::bundle::Bundle;
use crate::channel::{Channel, Topic};
use crate::error::{Failure, InStep, Step};
use crate::hooks::run_hooks;
use crate::mounts::{Options, Origin, origin, propagation};
use crate::spec::{IdMapping, Mount, NamespaceKind, ROOTFS_IDMAP};
use crate::{cgroup, limits};

/// Does all of it for the process `inside`.
pub(crate) fn run(request: &Request<'_>, channel: &Channel, inside: u32) -> Result<(), Failure> {
    let bundle = request.bundle;
    let users = map_ids(bundle, inside)?;
    send(channel, Topic::Mapped, 0, None)?;
    restrict(request, inside)?;
    if request.terminal {
        // The inside cannot take it from others. If it cannot be had at all, the inside says so.
        let _ = terminal::free(&request.stdio[0]);
    }
    pass_namespaces(bundle, channel)?;
    if bundle.makes(NamespaceKind::Mount) {
        if bundle.spec.root.is_some() {
            pass_root(bundle, users.as_ref(), channel)?;
        }
        pass_mounts(bundle, users.as_ref(), channel)?;
        pass_console(request, channel)?;
    }
    // What hooks look at must be there.
    let born = channel.receive().step(Step::Prepare, "the container")?;
    born.ok_or_else(|| Failure::because(Step::Prepare, "the container", "it ended meanwhile"))?;
    let hooks = &bundle.spec.hooks;
    for hooks in [&hooks.prestart, &hooks.create_runtime] {
        run_hooks(hooks, bundle, request.id, "creating", inside)?;
    }
    send(channel, Topic::Go, inside, None)
}

fn send(channel: &Channel, topic: Topic, number: u32, descriptor: Option<&OwnedFd>) -> Result<(), Failure> {
    channel.send(topic, number, descriptor).step(Step::Prepare, "a container that ended meanwhile")
}

/// Writes the mappings of the inside's user namespace, if it has one of its own, and opens that.
fn map_ids(bundle: &Bundle, inside: u32) -> Result<Option<OwnedFd>, Failure> {
    if !bundle.makes(NamespaceKind::User) {
        return Ok(None);
    }
    let linux = &bundle.spec.linux;
    write_maps(inside, &linux.uid_mappings, &linux.gid_mappings).step(Step::MapIds, "the user namespace")?;
    let file = File::open(format!("/proc/{inside}/ns/user")).step(Step::MapIds, "the user namespace")?;
    Ok(Some(file.into()))
}

fn write_maps(pid: u32, uids: &[IdMapping], gids: &[IdMapping]) -> io::Result<()> {
    let text = |list: &[IdMapping]| {
        list.iter().map(|map| format!("{} {} {}\n", map.container, map.host, map.size)).collect::<String>()
    };
    let groups = format!("/proc/{pid}/gid_map");
    fs::write(format!("/proc/{pid}/uid_map"), text(uids))?;
    match fs::write(&groups, text(gids)) {
        // Without the host's rights only a process that gives up setting groups may map its own.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
            fs::write(&groups, text(gids))
        }
        other => other,
    }
}

/// Limits of the group and of the process.
fn restrict(request: &Request<'_>, inside: u32) -> Result<(), Failure> {
    let bundle = request.bundle;
    if let Some(group) = request.group {
        cgroup::limit(group, &bundle.spec.linux.resources)?;
    }
    let process = bundle.process();
    // Only here may they be raised; the inside lowers what holds when it has done its own work.
    limits::set(inside, &limits::raised(&process.rlimits))?;
    adjust_out_of_memory(process.oom_score_adj, &inside.to_string())
}

/// How likely a process is killed for lack of memory. `who` is its name in /proc.
pub(crate) fn adjust_out_of_memory(score: Option<i32>, who: &str) -> Result<(), Failure> {
    let Some(score) = score else { return Ok(()) };
    let path = format!("/proc/{who}/oom_score_adj");
    fs::write(&path, score.to_string()).step(Step::ProcessLimit, format!("oom_score_adj to {score}"))
}

/// Namespaces of others that the inside enters.
fn pass_namespaces(bundle: &Bundle, channel: &Channel) -> Result<(), Failure> {
    for (number, namespace) in bundle.spec.linux.namespaces.iter().enumerate() {
        let Some(path) = &namespace.path else { continue };
        let file = OwnedFd::from(File::open(path).step(Step::Namespace, path)?);
        send(channel, Topic::Namespace, number as u32, Some(&file))?;
    }
    Ok(())
}

fn pass_root(bundle: &Bundle, users: Option<&OwnedFd>, channel: &Channel) -> Result<(), Failure> {
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
    send(channel, Topic::Root, 0, Some(&tree))
}

fn private(tree: &OwnedFd, subject: &str) -> Result<(), Failure> {
    let change = Change { propagation: Some(Propagation::Private), ..Change::default() };
    mounts::change(tree, &change, true).step(Step::Mount, subject)
}

fn shift(tree: &OwnedFd, users: &OwnedFd, recursive: bool, subject: &str) -> Result<(), Failure> {
    let change = Change { idmap: Some(users.as_fd()), ..Change::default() };
    mounts::change(tree, &change, recursive).step(Step::ShiftIds, subject)
}

/// Clones those of the host's files that are mounted.
fn pass_mounts(bundle: &Bundle, users: Option<&OwnedFd>, channel: &Channel) -> Result<(), Failure> {
    for (number, mount) in bundle.spec.mounts.iter().enumerate() {
        let options = Options::parse(&mount.options);
        let Origin::Host { path, recursive } = origin(mount, &options, &bundle.directory, |kind| bundle.owns(kind))
        else {
            continue;
        };
        let subject = format!("{} at {}", path.display(), mount.destination);
        match mounts::clone_tree(None, &path, recursive) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && options.optional => {}
            tree => {
                let tree = tree.step(Step::Mount, &subject)?;
                prepare(&tree, mount, &options, bundle, users, &subject)?;
                send(channel, Topic::Mount, number as u32, Some(&tree))?;
            }
        }
    }
    Ok(())
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

/// The terminal is the container's console. One that is mounted nowhere here cannot be.
fn pass_console(request: &Request<'_>, channel: &Channel) -> Result<(), Failure> {
    if !request.terminal {
        return Ok(());
    }
    match mounts::clone_tree(Some(request.stdio[0]), Path::new(""), false) {
        Ok(console) => send(channel, Topic::Console, 0, Some(&console)),
        Err(_) => Ok(()),
    }
}
