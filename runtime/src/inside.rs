//! The inside of a new container: from its birth in the namespaces to its program.

use std::convert::Infallible;
use std::fs;
use std::os::fd::OwnedFd;

use ashlar_sys::namespace::{self, Kind};
use ashlar_sys::{credentials, filesystem, mounts, network, terminal};

use crate::bundle::{self, Bundle};
use crate::channel::{Channel, Topic};
use crate::console::Console;
use crate::error::{Failure, InStep, Step};
use crate::files::Given;
use crate::finish::Prepared;
use crate::hooks::{run_hooks, run_last_hooks};
use crate::request::Request;
use crate::setup::Reporter;
use crate::spec::NamespaceKind;
use crate::{files, finish, gate, sources};

/// What the host's side passed.
#[derive(Debug, Default)]
struct Parts {
    files: Given,
    namespaces: Vec<(usize, OwnedFd)>,
    /// This process, as the host sees it.
    pid: u32,
}

/// Sets up and executes.
pub(crate) fn run(request: &Request<'_>, channel: &Channel, reporter: &Reporter) -> Result<Infallible, Failure> {
    let bundle = request.bundle;
    // A view of the groups is made where the process is in the end; a clock's offset comes before anybody uses it.
    let kinds = [NamespaceKind::Mount, NamespaceKind::Network, NamespaceKind::Ipc, NamespaceKind::Uts];
    let kinds: Vec<Kind> = kinds.into_iter().filter(|kind| bundle.makes(*kind)).map(bundle::kind).collect();
    namespace::unshare(&kinds).step(Step::Namespace, "new namespaces")?;
    if bundle.has_runtime_hooks() {
        channel.send(Topic::Born, 0, None).step(Step::Prepare, "the container")?;
    }
    if bundle.makes(NamespaceKind::User) {
        await_mapping(channel)?;
    }
    let own_users = bundle.owns(NamespaceKind::User);
    if own_users {
        credentials::become_user(0, 0, &[]).step(Step::Identity, "root of the user namespace")?;
    }
    set_clocks(bundle)?;
    // From here on others may be in the namespaces; what this process still holds of the host is not for them.
    credentials::hide().step(Step::Identity, "invisible")?;
    let mut parts = receive(bundle, channel)?;
    // The host's /proc is still there, and nothing of the container's is.
    let prepared = Prepared::new(request, parts.pid)?;
    // Whether the host's side does it is a matter of rights that it alone knows.
    let passed = parts.files.root.is_some() || own_users && bundle.spec.root.is_none();
    if bundle.makes(NamespaceKind::Mount) && !passed {
        clone_sources(bundle, &mut parts.files)?;
    }
    enter_namespaces(bundle, &parts)?;
    name_host(bundle)?;
    if bundle.makes(NamespaceKind::Network) {
        network::loopback_up().step(Step::Loopback, "lo")?;
    }
    for (name, value) in &bundle.spec.linux.sysctl {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        fs::write(path, value).step(Step::Sysctl, format!("{name} to {value}"))?;
    }
    let console = change_root(request, &mut parts)?;
    terminal::new_session();
    let terminal = match (console, request.console) {
        (Some(console), Some(socket)) => {
            terminal::take(&console.terminal, false).step(Step::Terminal, "of its own")?;
            Some(console.send(socket)?)
        }
        _ => None,
    };
    if request.terminal {
        // Nobody else has it any more; only the host's root could take it from others.
        terminal::take(&request.stdio[0], !own_users).step(Step::Terminal, "on standard input")?;
    }
    let program = finish::locate(request)?;
    finish::prepare(request, &prepared)?;
    let finish = |reporter: &Reporter| {
        finish::prepare_late(request, &prepared)?;
        run_last_hooks(bundle, request.id, parts.pid)?;
        finish::execute(request, &program, terminal.as_ref(), &prepared, reporter)
    };
    let Some(gate) = request.gate else { return finish(reporter) };
    let visitor = gate::wait(gate, reporter, request.passed().len())?;
    finish(&visitor).inspect_err(|failure| visitor.failed(failure))
}

/// Lays the container's files out and makes them the only ones; gives its terminal, if it has one of its own.
fn change_root(request: &Request<'_>, parts: &mut Parts) -> Result<Option<Console>, Failure> {
    let bundle = request.bundle;
    let hooks = &bundle.spec.hooks.create_container;
    let wanted = request.console.is_some();
    if !bundle.makes(NamespaceKind::Mount) {
        run_hooks(hooks, bundle, request.id, "creating", parts.pid)?;
        finish::change_root(bundle)?;
        let root = OwnedFd::from(fs::File::open("/").step(Step::Root, "/")?);
        return wanted.then(|| Console::new(&root, bundle.process())).transpose();
    }
    let (root, console) = files::lay_out(bundle, &mut parts.files, wanted)?;
    run_hooks(hooks, bundle, request.id, "creating", parts.pid)?;
    files::seal(bundle, &root)?;
    if bundle.spec.root.is_some() {
        let changed = if request.no_pivot { mounts::cover_root(&root) } else { mounts::pivot(&root) };
        changed.step(Step::Pivot, bundle.root().display().to_string())?;
    }
    files::spread(bundle)?;
    Ok(console)
}

/// Before anything about the mounts is changed: what is bound spreads as it does on the host.
fn clone_sources(bundle: &Bundle, given: &mut Given) -> Result<(), Failure> {
    if bundle.spec.root.is_some() {
        given.root = Some(sources::root(bundle, None)?);
    }
    for (mount, place) in bundle.spec.mounts.iter().zip(&mut given.mounts) {
        *place = sources::bound(bundle, mount, None)?;
    }
    Ok(())
}

fn await_mapping(channel: &Channel) -> Result<(), Failure> {
    let message = channel.receive().step(Step::Prepare, "the container")?;
    message.map(drop).ok_or_else(host_side_ended)
}

/// It has said why, and before us.
fn host_side_ended() -> Failure {
    Failure::because(Step::Prepare, "the container", "the process that does it was killed")
}

fn receive(bundle: &Bundle, channel: &Channel) -> Result<Parts, Failure> {
    let mut parts = Parts::default();
    parts.files.mounts.extend(bundle.spec.mounts.iter().map(|_| None));
    loop {
        let message = channel.receive().step(Step::Prepare, "the container")?.ok_or_else(host_side_ended)?;
        let number = message.number as usize;
        match (message.topic, message.descriptor) {
            (Topic::Go, _) => {
                parts.pid = message.number;
                return Ok(parts);
            }
            (Topic::Root, root) => parts.files.root = root,
            (Topic::Console, console) => parts.files.console = console,
            (Topic::Mount, mount) => parts.files.mounts[number] = mount,
            (Topic::Namespace, Some(namespace)) => parts.namespaces.push((number, namespace)),
            (Topic::Namespace | Topic::Mapped | Topic::Born, _) => {}
        }
    }
}

/// A time namespace is for the next program. Its offsets cannot be changed once somebody is in it.
fn set_clocks(bundle: &Bundle) -> Result<(), Failure> {
    if !bundle.makes(NamespaceKind::Time) {
        return Ok(());
    }
    namespace::unshare(&[Kind::Time]).step(Step::Namespace, "a new time namespace")?;
    credentials::reveal().step(Step::Identity, "visible")?;
    for (clock, offset) in &bundle.spec.linux.time_offsets {
        let line = format!("{clock} {} {}\n", offset.secs, offset.nanosecs);
        fs::write("/proc/self/timens_offsets", line).step(Step::Namespace, format!("time offset of {clock}"))?;
    }
    Ok(())
}

fn enter_namespaces(bundle: &Bundle, parts: &Parts) -> Result<(), Failure> {
    for (number, file) in &parts.namespaces {
        let namespace = &bundle.spec.linux.namespaces[*number];
        let path = namespace.path.as_deref().unwrap_or_default();
        namespace::enter(file, &[bundle::kind(namespace.kind)]).step(Step::Namespace, path)?;
    }
    if bundle.makes(NamespaceKind::Cgroup) {
        namespace::unshare(&[Kind::Cgroup]).step(Step::Namespace, "a new cgroup namespace")?;
    }
    Ok(())
}

fn name_host(bundle: &Bundle) -> Result<(), Failure> {
    if let Some(name) = &bundle.spec.hostname {
        filesystem::set_host_name(name).step(Step::HostName, name)?;
    }
    match &bundle.spec.domainname {
        Some(name) => credentials::set_domain_name(name).step(Step::HostName, name),
        None => Ok(()),
    }
}
