//! `ps`: the processes of a container, by their numbers on the host.

use std::fs;

use super::{Command, print_json};
use crate::containers::Container;
use crate::flags::{Grammar, Said, value};
use crate::{Failed, Globals, group};

pub const COMMAND: Command = Command {
    grammar: Grammar {
        name: "ps",
        operands: "ID",
        count: (1, usize::MAX),
        // Some say what ps(1) shall show behind the name; here that is one thing always.
        strict: true,
        help: "list a container's processes",
        flags: &[value("format", "table|json", "how").or('f')],
    },
    run,
};

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    let container = Container::open(&globals.root, &said.operands[0])?;
    let mut processes = match container.group() {
        Some(group) => group::processes(&group),
        None => Some(container.state.pid).filter(|_| container.lives()).into_iter().collect(),
    };
    processes.sort_unstable();
    if said.value("format") == Some("json") {
        print_json(&processes)?;
        return Ok(0);
    }
    println!("{:>7}  COMMAND", "PID");
    for pid in processes {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        println!("{pid:>7}  {}", command.trim_end());
    }
    Ok(0)
}
