//! `os`: the operator's program on the machine. One file per verb.
//!
//! It has no privilege of its own: it asks PID 1, which decides by who asks. Not here: the messages (lib/control), and
//! `login`, the program by which people come in (`bin/login.rs`).

mod boots;
mod down;
mod exit;
mod explain;
mod history;
mod job;
mod logs;
mod print;
mod ps;
mod rollback;
mod shell;
mod status;
mod table;
mod terminal;
mod upgrade;
mod version;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Look after this machine.
///
/// Reading is free; whoever changes something has to be root or a member of the group `os`.
#[derive(Debug, Parser)]
#[command(name = "os", after_help = exit::HELP, disable_help_subcommand = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
    /// Print JSON, as PID 1 says it
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The machine on one screen
    Status,
    /// What runs
    Ps(ps::Options),
    /// What the machine and its services say
    Logs(logs::Options),
    /// Start units, and wait until they have started
    Start(job::Options),
    /// Stop units
    Stop(job::Options),
    /// Stop units, and start them again
    Restart(job::Options),
    /// Have units read their configuration again
    Reload(job::Options),
    /// Take a new version: the next boot tries it, and goes back unless all is well
    Upgrade(upgrade::Options),
    /// Go back to the version in the other slot
    Rollback(rollback::Options),
    /// What became of this machine's versions
    History,
    /// Take no new version for a while
    Hold(history::Hold),
    /// Take this version and no other: the one that runs, if none is said
    Pin(history::Pin),
    /// Take any version again
    Unpin,
    /// Why a unit, the last `update`, or the next `boot`, is as it is
    Explain(explain::Options),
    /// A root shell on the host; for members of group `os`, and recorded in the journal
    Shell(shell::Options),
    /// Start the machine again
    Reboot,
    /// Start everything but the kernel again
    SoftReboot,
    /// Switch the machine off
    Poweroff,
    /// Which version runs
    Version,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => exit::say(&error),
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    use ashlar_control::message::{JobKind, Shutdown};
    let json = arguments.json;
    match &arguments.verb {
        Verb::Status => status::main(json),
        Verb::Ps(options) => ps::main(options, json),
        Verb::Logs(options) => logs::main(options, json),
        Verb::Start(options) => job::main(options, JobKind::Start, json),
        Verb::Stop(options) => job::main(options, JobKind::Stop, json),
        Verb::Restart(options) => job::main(options, JobKind::Restart, json),
        Verb::Reload(options) => job::main(options, JobKind::Reload, json),
        Verb::Upgrade(options) => upgrade::main(options, json),
        Verb::Rollback(options) => rollback::main(options, json),
        Verb::History => history::main(json),
        Verb::Hold(options) => history::hold(options, json),
        Verb::Pin(options) => history::pin(options, json),
        Verb::Unpin => history::unpin(json),
        Verb::Explain(options) => explain::main(options, json),
        Verb::Shell(options) => Ok(shell::main(options)),
        Verb::Reboot => down::main(Shutdown::Reboot, json),
        Verb::SoftReboot => down::main(Shutdown::SoftReboot, json),
        Verb::Poweroff => down::main(Shutdown::Poweroff, json),
        Verb::Version => version::main(json),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }
}
