//! `os explain UNIT`: why a unit is as it is: its state, what it needs and how that is, its last words. What there is to
//! say about an update is in `history`, and about the boot entries in `boots`.

use std::process::ExitCode;

use ashlar_control::client::Client;
use ashlar_control::status::Unit;
use serde_json::json;

use crate::{boots, history, logs, print};

/// Services of these names would be `update.service` and `boot.service`.
const UPDATE: &str = "update";
const BOOT: &str = "boot";
const LAST_LINES: u32 = 10;
/// Edges along which a failure spreads.
const NEEDS: [&str; 2] = ["Requires", "BindsTo"];

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Full name, or that of a service without suffix; `update` for the last update, `boot` for the boot entries
    unit: String,
}

/// The verb.
pub fn main(options: &Options, json: bool) -> anyhow::Result<ExitCode> {
    match options.unit.as_str() {
        UPDATE => return history::explain(json),
        BOOT => return boots::explain(json),
        _ => {}
    }
    let mut client = Client::connect()?;
    let unit = client.unit(&options.unit)?;
    let needs: Vec<&String> =
        unit.dependencies.iter().filter(|(kind, _)| NEEDS.contains(&kind.as_str())).map(|(_, name)| name).collect();
    let needed = needs.into_iter().map(|name| client.unit(name)).collect::<Result<Vec<_>, _>>()?;
    if json {
        print::json(&json!({ "unit": unit, "needed": needed }))?;
        return Ok(ExitCode::SUCCESS);
    }
    print::text(&render(&unit, &needed))?;
    let lines = logs::last(&unit.name, LAST_LINES);
    if !lines.is_empty() {
        print::text(&format!("\nIts last words:\n{lines}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn render(unit: &Unit, needed: &[Unit]) -> String {
    let mut text = format!("{}: {}\n{}\n", unit.name, unit.description, state(unit));
    if unit.restarts > 0 {
        text += &format!("started again by itself {}\n", print::count(unit.restarts as usize, "time", "times"));
    }
    if !unit.status_text.is_empty() {
        text += &format!("it says: {}\n", unit.status_text);
    }
    if !needed.is_empty() {
        text += "\nIt needs:\n";
        needed.iter().for_each(|unit| text += &format!("  {}: {}\n", unit.name, state(unit)));
    }
    text
}

fn state(unit: &Unit) -> String {
    let mut text = format!("{} ({})", unit.active, unit.sub);
    if !["", "success"].contains(&unit.result.as_str()) {
        text += &format!(", {}", unit.result);
    }
    if !unit.reason.is_empty() {
        text += &format!(": {}", unit.reason);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_named() {
        let unit = |name: &str, active: &str, result: &str, reason: &str| Unit {
            name: name.into(),
            description: "what it is".into(),
            active: active.into(),
            sub: "failed".into(),
            result: result.into(),
            reason: reason.into(),
            ..Unit::default()
        };
        let failed = unit("a.service", "failed", "exit-code", "it ended with 1");
        let waits = Unit { restarts: 2, ..unit("b.service", "inactive", "success", "a.service failed") };
        let expect = "b.service: what it is\ninactive (failed): a.service failed\nstarted again by itself 2 times\n\n\
                      It needs:\n  a.service: failed (failed), exit-code: it ended with 1\n";
        assert_eq!(render(&waits, &[failed]), expect);
    }
}
