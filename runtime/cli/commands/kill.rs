//! `kill`: a signal for a container.

use ashlar_runtime::spec::NamespaceKind;

use super::Command;
use crate::containers::{Container, KILL, Status};
use crate::flags::{Grammar, Said, switch};
use crate::{About, Failed, Globals, group, signals};

pub const COMMAND: Command = Command {
    grammar: Grammar {
        name: "kill",
        operands: "ID [SIGNAL]",
        count: (1, 2),
        strict: false,
        help: "send a signal, TERM if none is named, to a container's process",
        flags: &[switch("all", "to all of its processes").or('a')],
    },
    run,
};

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    let id = &said.operands[0];
    let number = signals::number(said.operands.get(1).map_or("TERM", String::as_str))?;
    let container = Container::open(&globals.root, id)?;
    let status = container.status();
    if let Some(group) = container.group().filter(|_| said.has("all")) {
        group::signal_all(&group, number);
        return Ok(0);
    }
    if !matches!(status, Status::Created | Status::Running | Status::Paused) {
        return Err(Failed::new(format!(
            "cannot kill container `{id}`: container not running, it is {}",
            status.word()
        )));
    }
    // Without a process namespace the others would live on.
    let group =
        container.group().filter(|_| number == KILL && !container.bundle().is_ok_and(|b| b.owns(NamespaceKind::Pid)));
    match group {
        Some(group) => group::signal_all(&group, KILL),
        // It may have ended just now, which is what most signals are for.
        None => drop(container.signal(number).about(format!("kill container `{id}`"))?),
    }
    Ok(0)
}
