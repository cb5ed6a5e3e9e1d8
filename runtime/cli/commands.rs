//! All commands, a file each.

mod completion;
mod create;
mod delete;
mod events;
mod exec;
mod features;
mod kill;
mod list;
mod pause;
mod ps;
mod run;
mod spec;
mod start;
mod state;
mod update;

use crate::flags::{Grammar, Said};
use crate::{Failed, Globals};

/// Version of the runtime specification that is followed.
pub const SPEC_VERSION: &str = "1.2.1";

/// A command.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// What may be said to it.
    pub grammar: Grammar,
    /// Does it; gives the exit code.
    pub run: fn(&Globals, &Said) -> Result<u8, Failed>,
}

/// A command on one container.
const fn on_container(
    name: &'static str,
    help: &'static str,
    flags: &'static [crate::flags::Flag],
    run: fn(&Globals, &Said) -> Result<u8, Failed>,
) -> Command {
    Command { grammar: Grammar { name, operands: "ID", count: (1, 1), strict: false, help, flags }, run }
}

/// In the order of a container's life.
pub const COMMANDS: [Command; 17] = [
    create::COMMAND,
    start::COMMAND,
    run::COMMAND,
    exec::COMMAND,
    state::COMMAND,
    list::COMMAND,
    ps::COMMAND,
    events::COMMAND,
    update::COMMAND,
    pause::PAUSE,
    pause::RESUME,
    kill::COMMAND,
    delete::COMMAND,
    spec::COMMAND,
    features::COMMAND,
    completion::COMPLETION,
    completion::MAN,
];

/// What the program can do.
pub fn help(program: &Grammar) -> String {
    let width = COMMANDS.iter().map(|command| command.grammar.name.len()).max().unwrap_or(0);
    let line = |command: &Command| format!("  {:width$}  {}\n", command.grammar.name, command.grammar.help);
    let commands: String = COMMANDS.iter().map(line).collect();
    format!(
        "{}: {}\n\nusage: {} [FLAGS] {}\n\ncommands (each with --help):\n{commands}\nflags:\n{}",
        program.name,
        program.help,
        program.name,
        program.operands,
        program.options()
    )
}

/// Writes a line of JSON to standard output.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failed> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failed::new(error.to_string()))?;
    println!("{text}");
    Ok(())
}
