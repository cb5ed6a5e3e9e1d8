//! `start`: the container's process becomes its program.

use ashlar_runtime::{Bundle, run_hooks};

use super::{Command, on_container};
use crate::containers::{Container, Status};
use crate::flags::Said;
use crate::{Failed, Globals};

pub const COMMAND: Command = on_container("start", "start a container that was created", &[], run);

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    let id = &said.operands[0];
    let container = Container::lock(&globals.root, id)?;
    match container.status() {
        Status::Created => {}
        status => return Err(Failed::new(format!("cannot start container `{id}`: it is {}", status.word()))),
    }
    let started = ashlar_runtime::start(&container.gate(), id);
    container.close_gate()?;
    started?;
    if !container.state.hookless {
        poststart(&container, &container.bundle()?)?;
    }
    Ok(0)
}

/// Runs the hooks that come after the start; a container whose hooks fail is stopped.
pub fn poststart(container: &Container, bundle: &Bundle) -> Result<(), Failed> {
    let state = &container.state;
    let hooks = &bundle.spec.hooks.poststart;
    run_hooks(hooks, bundle, &state.id, "running", state.pid).map_err(|failure| match container.stop() {
        Ok(()) => failure.into(),
        Err(left) => Failed::new(format!("{failure}; and then: {left}")),
    })
}
