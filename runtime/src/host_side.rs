//! The host's side of a set-up: what takes the host's rights, files and /proc.
//!
//! The order: ids first, because the inside can do nothing without; limits before anything of the container's runs; the
//! mounts' sources while the host's file tree is still there; hooks last.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;

use ashlar_sys::{mounts, terminal};

use crate::bundle::Bundle;
use crate::channel::{Channel, Topic};
use crate::error::{Failure, InStep, Step};
use crate::hooks::run_hooks;
use crate::request::Request;
use crate::spec::NamespaceKind;
use crate::{cgroup, limits, sources};

/// Does all of it for the process `inside`, whose limits are those of `group`.
pub(crate) fn run(request: &Request<'_>, group: Option<&Path>, channel: &Channel, inside: u32) -> Result<(), Failure> {
    let bundle = request.bundle;
    let users = map_ids(bundle, inside)?;
    if bundle.makes(NamespaceKind::User) {
        send(channel, Topic::Mapped, 0, None)?;
    }
    restrict(bundle, group, inside)?;
    if request.terminal {
        // The inside cannot take it from others. If it cannot be had at all, the inside says so.
        let _ = terminal::free(&request.stdio[0]);
    }
    pass_namespaces(bundle, channel)?;
    if bundle.makes(NamespaceKind::Mount) {
        if sources::are_for_the_host(bundle) {
            pass_sources(bundle, users.as_ref(), channel)?;
        }
        pass_console(request, channel)?;
    }
    if bundle.has_runtime_hooks() {
        // What they look at must be there.
        let born = channel.receive().step(Step::Prepare, "the container")?;
        born.ok_or_else(|| Failure::because(Step::Prepare, "the container", "it ended meanwhile"))?;
    }
    let hooks = &bundle.spec.hooks;
    // Those that came first are from when there was no `creating`, and are told what they have been told since.
    run_hooks(&hooks.prestart, bundle, request.id, "created", inside)?;
    run_hooks(&hooks.create_runtime, bundle, request.id, "creating", inside)?;
    send(channel, Topic::Go, inside, None)
}

fn pass_sources(bundle: &Bundle, users: Option<&OwnedFd>, channel: &Channel) -> Result<(), Failure> {
    if bundle.spec.root.is_some() {
        send(channel, Topic::Root, 0, Some(&sources::root(bundle, users)?))?;
    }
    for (number, mount) in bundle.spec.mounts.iter().enumerate() {
        if let Some(tree) = sources::bound(bundle, mount, users)? {
            send(channel, Topic::Mount, number as u32, Some(&tree))?;
        }
    }
    Ok(())
}

fn send(channel: &Channel, topic: Topic, number: u32, descriptor: Option<&OwnedFd>) -> Result<(), Failure> {
    channel.send(topic, number, descriptor).step(Step::Prepare, "a container that ended meanwhile")
}

/// Writes the mappings of the inside's user namespace, if it is a new one, and opens the one that it has.
fn map_ids(bundle: &Bundle, inside: u32) -> Result<Option<OwnedFd>, Failure> {
    if !bundle.owns(NamespaceKind::User) {
        return Ok(None);
    }
    let linux = &bundle.spec.linux;
    if bundle.makes(NamespaceKind::User) {
        let written = sources::write_maps(inside, &linux.uid_mappings, &linux.gid_mappings);
        written.step(Step::MapIds, "the user namespace")?;
    }
    let file = File::open(format!("/proc/{inside}/ns/user")).step(Step::MapIds, "the user namespace")?;
    Ok(Some(file.into()))
}

/// Limits of the group and of the process.
fn restrict(bundle: &Bundle, group: Option<&Path>, inside: u32) -> Result<(), Failure> {
    if let Some(group) = group {
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

/// Namespaces of others that the inside enters; those of users and processes it is born in.
fn pass_namespaces(bundle: &Bundle, channel: &Channel) -> Result<(), Failure> {
    for (number, namespace) in bundle.spec.linux.namespaces.iter().enumerate() {
        let Some(path) = &namespace.path else { continue };
        if matches!(namespace.kind, NamespaceKind::User | NamespaceKind::Pid) {
            continue;
        }
        let file = OwnedFd::from(File::open(path).step(Step::Namespace, path)?);
        send(channel, Topic::Namespace, number as u32, Some(&file))?;
    }
    Ok(())
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
