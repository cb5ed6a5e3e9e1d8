//! A process that joins a container. It already is one of the container's processes by number; everything else it does
//! here, and what takes the host's rights first.

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use ashlar_sys::namespace::{self, Kind};
use ashlar_sys::{credentials, terminal};

use crate::begin::Request;
use crate::bundle;
use crate::error::{Failure, InStep, Step};
use crate::setup::Reporter;
use crate::spec::NamespaceKind;
use crate::{finish, host_side, limits};

/// Sets up and executes. `target` is a process of the container.
pub(crate) fn run(request: &Request<'_>, target: &OwnedFd, reporter: &Reporter) -> Result<Infallible, Failure> {
    let bundle = request.bundle;
    let process = bundle.process();
    host_side::adjust_out_of_memory(process.oom_score_adj, "self")?;
    limits::set(0, &limits::raised(&process.rlimits))?;
    // Nobody in the container may look at what this process still holds of the host.
    credentials::hide().step(Step::Identity, "invisible")?;
    terminal::new_session();
    if request.terminal {
        terminal::take(&request.stdio[0], true).step(Step::Terminal, "on standard input")?;
    }
    let kinds: Vec<Kind> =
        bundle.spec.linux.namespaces.iter().map(|n| bundle::kind(n.kind)).filter(|kind| *kind != Kind::Pid).collect();
    if !kinds.is_empty() {
        // All at once: there is no moment with the container's files and the host's users.
        namespace::enter(target, &kinds).step(Step::Namespace, "the namespaces of the container")?;
    }
    if !bundle.owns(NamespaceKind::Mount) {
        finish::change_root(bundle)?;
    }
    finish::execute(request, reporter)
}
