//! `delete`: nothing of a container is left.

use std::os::fd::AsFd;
use std::time::Duration;

use ashlar_runtime::{Bundle, run_hooks};
use ashlar_sys::{child, process};

use super::Command;
use crate::containers::{Container, KILL, Status};
use crate::flags::{Grammar, Said, switch};
use crate::{About, Failed, Globals, placement};

pub const COMMAND: Command = Command {
    grammar: Grammar {
        name: "delete",
        operands: "ID",
        count: (1, 1),
        strict: false,
        help: "remove a container that has stopped",
        flags: &[switch("force", "kill it first; one that does not exist will do").or('f')],
    },
    run,
};

/// How long a killed process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    let id = &said.operands[0];
    let force = said.has("force");
    if force && Container::find(&globals.root, id)?.is_none() {
        return Ok(0);
    }
    let container = Container::lock(&globals.root, id)?;
    match container.status() {
        Status::Stopped => {}
        // It has not done anything yet that could be lost.
        Status::Created => end(&container)?,
        _ if force => end(&container)?,
        status => {
            return Err(Failed::new(format!(
                "cannot delete container `{id}`: it is {}; --force kills it first",
                status.word()
            )));
        }
    }
    match (!container.state.hookless).then(|| container.bundle()) {
        Some(Ok(bundle)) => clear(&container, &bundle)?,
        // It is read for its hooks alone. Or whoever made it was killed before the copy was there: nothing else was.
        None | Some(Err(_)) => {
            placement::clear(&container.state)?;
            container.remove()?;
        }
    }
    Ok(0)
}

fn end(container: &Container) -> Result<(), Failed> {
    let pid = container.state.pid;
    let Ok(ended) = child::watch(pid) else { return Ok(()) };
    container.signal(KILL).about(format!("kill container `{}`", container.state.id))?;
    let patience = i32::try_from(PATIENCE.as_millis()).unwrap_or(i32::MAX);
    // A frozen process ends when it thaws, which the removal of its group sees to.
    let frozen = container.status() == Status::Paused;
    match frozen || process::readable(&[ended.as_fd()], patience).unwrap_or(true) {
        true => Ok(()),
        false => Err(Failed::new(format!("container `{}` did not end when it was killed", container.state.id))),
    }
}

/// Removes what there is, and runs the hooks that come last.
pub fn clear(container: &Container, bundle: &Bundle) -> Result<(), Failed> {
    placement::clear(&container.state)?;
    let state = &container.state;
    let hooks = run_hooks(&bundle.spec.hooks.poststop, bundle, &state.id, "stopped", 0);
    // The container is gone all the same.
    container.remove()?;
    Ok(hooks?)
}
