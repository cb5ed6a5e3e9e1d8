//! `os logs`: journalctl, with the arguments that one would have to look up.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::Context;
use ashlar_control::client::{Client, Error};

/// Arguments.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Full name, or that of a service without suffix; everything, if absent
    unit: Option<String>,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    /// The last so many lines only
    #[arg(long, short = 'n', value_name = "COUNT")]
    lines: Option<u32>,
    /// Of earlier boots, too
    #[arg(long, short)]
    all: bool,
}

/// The verb.
pub fn main(options: &Options, json: bool) -> anyhow::Result<ExitCode> {
    let unit = options.unit.as_deref().map(full_name).transpose()?;
    let error = Command::new("journalctl").args(arguments(options, unit.as_deref(), json)).exec();
    Err(error).context("execute journalctl")
}

/// The unit's own name: aliases are not in the journal, and a name that is nobody's would show nothing and say nothing.
fn full_name(name: &str) -> Result<String, Error> {
    Ok(Client::connect()?.unit(name)?.name)
}

fn arguments(options: &Options, unit: Option<&str>, json: bool) -> Vec<String> {
    let mut arguments = vec!["--no-hostname".to_owned()];
    if !options.all {
        arguments.push("--boot".to_owned());
    }
    arguments.extend(unit.map(|unit| format!("--unit={unit}")));
    if options.follow {
        arguments.push("--follow".to_owned());
    }
    arguments.extend(options.lines.map(|count| format!("--lines={count}")));
    if json {
        arguments.push("--output=json".to_owned());
    }
    arguments
}

/// The last lines of a unit, as text; empty if they cannot be had.
pub fn last(unit: &str, count: u32) -> String {
    let options = Options { lines: Some(count), ..Options::default() };
    let mut journalctl = Command::new("journalctl");
    journalctl.args(arguments(&options, Some(unit), false)).args(["--no-pager", "--quiet"]);
    journalctl.output().map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let check = |options: Options, unit: Option<&str>, json, expect: &str| {
            assert_eq!(arguments(&options, unit, json).join(" "), expect);
        };
        check(Options::default(), None, false, "--no-hostname --boot");
        let follow = Options { follow: true, lines: Some(5), ..Options::default() };
        check(
            follow,
            Some("ssh.service"),
            true,
            "--no-hostname --boot --unit=ssh.service --follow --lines=5 --output=json",
        );
        check(Options { all: true, ..Options::default() }, None, false, "--no-hostname");
    }
}
