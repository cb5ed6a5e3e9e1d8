//! A process that joins a container. It already is one of the container's processes by number; everything else it does
//! here, and what takes the host's rights first.

use std::convert::Infallible;
use std::fs;
use std::os::fd::OwnedFd;

use ashlar_sys::namespace::{self, Kind};
use ashlar_sys::{credentials, terminal};

use crate::bundle::{self, Bundle};
use crate::console::Console;
use crate::error::{Failure, InStep, Step};
use crate::finish::{self, Prepared};
use crate::request::Request;
use crate::setup::Reporter;
use crate::spec::NamespaceKind;
use crate::{host_side, limits, scheduling};

/// Sets up and executes. `target` is a process of the container.
pub(crate) fn run(request: &Request<'_>, target: &OwnedFd, reporter: &Reporter) -> Result<Infallible, Failure> {
    let bundle = request.bundle;
    let process = bundle.process();
    scheduling::pin(process.exec_cpu_affinity.as_ref().and_then(|affinity| affinity.initial.as_ref()))?;
    host_side::adjust_out_of_memory(process.oom_score_adj, "self")?;
    limits::set(0, &limits::raised(&process.rlimits))?;
    // Nobody in the container may look at what this process still holds of the host.
    credentials::hide().step(Step::Identity, "invisible")?;
    // The host's /proc says who it is there; the container's may be anything.
    let own = fs::read_link("/proc/self").step(Step::Prepare, "/proc")?;
    let own = own.to_str().and_then(|name| name.parse().ok()).unwrap_or(0);
    let prepared = Prepared::new(request, own)?;
    terminal::new_session();
    if request.terminal {
        terminal::take(&request.stdio[0], true).step(Step::Terminal, "on standard input")?;
    }
    let kinds = kinds(bundle, request.join.unwrap_or(0))?;
    if !kinds.is_empty() {
        // All at once: there is no moment with the container's files and the host's users.
        namespace::enter(target, &kinds).step(Step::Namespace, "the namespaces of the container")?;
    }
    if !bundle.owns(NamespaceKind::Mount) {
        finish::change_root(bundle)?;
    }
    let terminal = match request.console {
        Some(socket) => {
            let root = OwnedFd::from(fs::File::open("/").step(Step::Root, "/")?);
            let console = Console::new(&root, process)?;
            terminal::take(&console.terminal, false).step(Step::Terminal, "of its own")?;
            Some(console.send(socket)?)
        }
        None => None,
    };
    let program = finish::locate(request)?;
    finish::prepare(request, &prepared)?;
    finish::prepare_late(request, &prepared)?;
    finish::execute(request, &program, terminal.as_ref(), &prepared, reporter)
}

/// The namespaces to enter. A user namespace that one is in already cannot be entered.
fn kinds(bundle: &Bundle, pid: u32) -> Result<Vec<Kind>, Failure> {
    let id = |who: &str| fs::read_link(format!("/proc/{who}/ns/user")).step(Step::Namespace, "the user namespace");
    let named = bundle.spec.linux.namespaces.iter().map(|namespace| bundle::kind(namespace.kind));
    let mut kinds: Vec<Kind> = named.filter(|kind| *kind != Kind::Pid).collect();
    if kinds.contains(&Kind::User) && id("self")? == id(&pid.to_string())? {
        kinds.retain(|kind| *kind != Kind::User);
    }
    Ok(kinds)
}
