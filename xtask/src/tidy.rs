//! `tidy`: what can be seen without running anything. Each check is a row: its name, and a function that lists what
//! it found.

mod absences;
mod imports;
mod licences;
mod sources;
mod workspace;

use anyhow::{Result, bail};

use crate::step::cargo;
use crate::tally::Tally;
use workspace::Workspace;

/// Finds faults, a sentence each.
type Check = fn(&Workspace) -> Result<Vec<String>>;

const CHECKS: [(&str, Check); 8] = [
    ("imports stay within their walls", imports::check),
    ("PID 1 and the first stage link nothing they must not", absences::closures),
    ("unsafe is only in lib/sys", absences::unsafety),
    ("sources are in order", sources::check),
    ("nothing names a machine", sources::machines),
    ("licences are among the allowed", licences::check),
    ("rustfmt", |_| command(&["fmt", "--all", "--check"])),
    ("clippy", |_| {
        let lints = ["-D", "warnings", "-D", "clippy::undocumented_unsafe_blocks"];
        command(&[&["clippy", "--quiet", "--workspace", "--all-targets", "--all-features", "--"], &lints[..]].concat())
    }),
];

/// The verb.
pub fn main() -> Result<()> {
    let tally = run();
    println!("{tally}");
    match tally.failed {
        0 => Ok(()),
        failed => bail!("{failed} checks failed"),
    }
}

/// Runs every check and says what each one found.
pub fn run() -> Tally {
    let mut tally = Tally::default();
    let workspace = Workspace::read();
    for (name, check) in CHECKS {
        let found = match &workspace {
            Ok(workspace) => check(workspace).unwrap_or_else(|error| vec![format!("{error:#}")]),
            Err(error) => vec![format!("{error:#}")],
        };
        match found.is_empty() {
            true => {
                println!("ok      {name}");
                tally.passed += 1;
            }
            false => {
                println!("FAILED  {name}");
                found.iter().for_each(|fault| println!("        {fault}"));
                tally.failed += 1;
            }
        }
    }
    tally
}

/// A command of Cargo's that says itself what it finds.
fn command(arguments: &[&str]) -> Result<Vec<String>> {
    let status = cargo().args(arguments).status()?;
    Ok(if status.success() { Vec::new() } else { vec![format!("cargo {}: {status}", arguments.join(" "))] })
}
