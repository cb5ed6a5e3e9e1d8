//! `ashlar-runtime`: the OCI runtime that engines call. A command is one file below `commands`.

mod bus;
mod commands;
mod console;
mod containers;
mod flags;
mod foreground;
mod group;
mod launch;
mod log;
mod placement;
mod protect;
mod signals;
mod time;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use commands::COMMANDS;
use flags::{Flag, Grammar, Said, switch, value};

/// Why a command failed, in words for people.
#[derive(Debug)]
pub struct Failed(String);

impl Failed {
    /// Says it.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<ashlar_runtime::Error> for Failed {
    fn from(error: ashlar_runtime::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<ashlar_runtime::Failure> for Failed {
    fn from(failure: ashlar_runtime::Failure) -> Self {
        Self(failure.to_string())
    }
}

/// Says what an error of the system is about.
pub trait About<T> {
    /// `what` completes "cannot …".
    fn about(self, what: impl fmt::Display) -> Result<T, Failed>;
}

impl<T> About<T> for std::io::Result<T> {
    fn about(self, what: impl fmt::Display) -> Result<T, Failed> {
        self.map_err(|error| Failed(format!("cannot {what}: {}", ashlar_runtime::reason(&error))))
    }
}

const GLOBAL: &[Flag] = &[
    value("root", "DIR", "where the state of containers is kept"),
    value("log", "FILE", "append what goes wrong to this file as well"),
    value("log-format", "text|json", "how that is written"),
    switch("debug", "taken for the sake of engines that say it; errors are told in full always"),
    switch("systemd-cgroup", "ask systemd for control groups: the same as --cgroup-manager systemd"),
    value("cgroup-manager", "cgroupfs|systemd|disabled", "who makes control groups"),
    value("rootless", "true|false|auto", "taken for the sake of engines that say it; what may be done is found out"),
    switch("help", "print this").or('h'),
    switch("version", "print the version").or('v'),
];

const PROGRAM: Grammar = Grammar {
    name: "ashlar-runtime",
    operands: "COMMAND …",
    count: (0, usize::MAX),
    strict: true,
    help: "run containers as the Open Container Initiative describes them",
    flags: GLOBAL,
};

/// What holds for every command.
#[derive(Debug)]
pub struct Globals {
    /// Where the state of containers is kept.
    pub root: PathBuf,
    /// Who makes control groups.
    pub manager: placement::Manager,
    /// What the command line said, to be passed on.
    pub said: Said,
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).collect::<Vec<_>>().into_iter();
    let said = match PROGRAM.read(&mut words, true) {
        Ok(said) => said,
        Err(failed) => return log::Log::default().fail(&failed),
    };
    let log = log::Log::from(&said);
    match run(said, words) {
        Ok(code) => ExitCode::from(code),
        Err(failed) => log.fail(&failed),
    }
}

fn run(said: Said, mut words: std::vec::IntoIter<String>) -> Result<u8, Failed> {
    if said.has("version") {
        println!("ashlar-runtime version {}\nspec: {}", env!("CARGO_PKG_VERSION"), commands::SPEC_VERSION);
        return Ok(0);
    }
    let Some(name) = words.next().filter(|_| !said.has("help")) else {
        print!("{}", commands::help(&PROGRAM));
        return Ok(0);
    };
    let command = COMMANDS.iter().find(|command| command.grammar.name == name).ok_or_else(|| {
        Failed::new(format!("there is no command `{name}`: `ashlar-runtime --help` lists those that there are"))
    })?;
    let grammar = &command.grammar;
    if words.as_slice().first().is_some_and(|word| word == "--help" || word == "-h") {
        print!(
            "usage: ashlar-runtime {} [FLAGS] {}\n\n{}\n\n{}",
            name,
            grammar.operands,
            grammar.help,
            grammar.options()
        );
        return Ok(0);
    }
    let own = grammar.read(&mut words, false)?;
    grammar.check(&own)?;
    let globals =
        Globals { root: containers::root(said.value("root"))?, manager: placement::Manager::from(&said)?, said };
    (command.run)(&globals, &own)
}
