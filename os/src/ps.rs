//! `os ps`: what runs.

use std::process::ExitCode;

use ashlar_control::client::Client;
use ashlar_control::status::Unit;
use serde_json::json;

use crate::{print, table};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Every unit: sockets, timers and targets too, and what does not run
    #[arg(long, short)]
    all: bool,
}

/// The verb.
pub fn main(options: &Options, json: bool) -> anyhow::Result<ExitCode> {
    let mut units = Client::connect()?.units()?;
    units.retain(|unit| options.all || is_shown(unit));
    match json {
        true => print::json(&json!({ "units": units }))?,
        false => print::text(&render(&units))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn is_shown(unit: &Unit) -> bool {
    unit.name.ends_with(".service") && unit.active != "inactive" || unit.active == "failed"
}

fn render(units: &[Unit]) -> String {
    let dash = || "-".to_owned();
    let row = |unit: &Unit| {
        vec![
            unit.name.clone(),
            format!("{} ({})", unit.active, unit.sub),
            if unit.main_pid == 0 { dash() } else { unit.main_pid.to_string() },
            unit.memory.map_or_else(dash, print::size),
            unit.cpu_nsec.map_or_else(dash, |nsec| print::duration(nsec / 1000)),
            unit.restarts.to_string(),
            if unit.reason.is_empty() { unit.description.clone() } else { unit.reason.clone() },
        ]
    };
    let head = ["UNIT", "STATE", "PID", "MEMORY", "CPU", "RESTARTS", "WHAT"];
    table::render(&head, &units.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let unit = |name: &str, active: &str| Unit {
            name: name.into(),
            active: active.into(),
            sub: "running".into(),
            description: "what it is".into(),
            main_pid: 42,
            memory: Some(3 << 20),
            cpu_nsec: Some(250_000_000),
            ..Unit::default()
        };
        let check = |name: &str, active: &str, expect| assert_eq!(is_shown(&unit(name, active)), expect, "{name}");
        check("a.service", "active", true);
        check("a.service", "inactive", false);
        check("a.socket", "active", false);
        check("a.socket", "failed", true);
        let text = render(&[unit("a.service", "active")]);
        let expect = "UNIT       STATE             PID  MEMORY  CPU     RESTARTS  WHAT\n\
                      a.service  active (running)  42   3M      250 ms  0         what it is\n";
        assert_eq!(text, expect);
    }
}
