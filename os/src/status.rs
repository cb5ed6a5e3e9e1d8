//! `os status`: the machine on one screen.

use std::process::ExitCode;

use ashlar_control::client::Client;
use ashlar_control::status::Machine;

use crate::{exit, print};

/// Lines of each list, so that all fits a screen of 24.
const LINES: usize = 8;

/// The verb.
pub fn main(json: bool) -> anyhow::Result<ExitCode> {
    let machine = Client::connect()?.machine()?;
    match json {
        true => print::json(&machine)?,
        false => print::text(&render(&machine))?,
    }
    let is_well = machine.state == "running" && machine.problems.is_empty();
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(exit::UNWELL) })
}

fn render(machine: &Machine) -> String {
    let Machine { hostname, version, slot, state, uptime, active, userspace_usec, .. } = machine;
    let ready = match userspace_usec {
        0 => String::new(),
        usec => format!(", started in {}", print::duration(*usec)),
    };
    let active = print::count(*active as usize, "unit", "units");
    let mut text = format!("{hostname}: {state}, up {}{ready}, {active} active\n", print::span(*uptime));
    let commit = match machine.commit.as_str() {
        "trial" => ", on trial: it stays once its services are well",
        "condemned" => ", condemned: see `os explain update`",
        _ => "",
    };
    let root = machine.root_hash.get(..16).unwrap_or("not verified");
    text += &format!("Ashlar {version}, slot {slot}, root {root}{commit}\n");
    if !machine.booted.is_empty() {
        text += &format!("booted with {}, whose kernel runs until the next boot\n", machine.booted);
    }
    let unwell = machine.unwell.iter().map(|unit| {
        let why = if unit.reason.is_empty() { &unit.result } else { &unit.reason };
        format!("{}: {} ({}): {why}", unit.name, unit.active, unit.sub)
    });
    text += &list("Not well", unwell.collect(), "os ps");
    text += &list("As before, until nobody is logged in any more", machine.waiting.clone(), "os status --json");
    text += &list("Wrong in the configuration", machine.problems.clone(), "os status --json");
    text
}

fn list(title: &str, mut lines: Vec<String>, all: &str) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let more = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    let mut text = format!("\n{title}:\n");
    lines.iter().for_each(|line| text += &format!("  {line}\n"));
    if more > 0 {
        text += &format!("  and {more} more: {all}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_control::status::Unit;

    #[test]
    fn screens() {
        let well = Machine {
            version: "1.2".into(),
            slot: "b".into(),
            root_hash: "0123456789abcdef0123".into(),
            state: "running".into(),
            hostname: "web-1".into(),
            uptime: 3_700,
            userspace_usec: 1_230_000,
            active: 31,
            ..Machine::default()
        };
        let expect = "web-1: running, up 1 h 1 min, started in 1.23 s, 31 units active\n\
                      Ashlar 1.2, slot b, root 0123456789abcdef\n";
        assert_eq!(render(&well), expect);
        let sick = Unit {
            name: "a.service".into(),
            active: "failed".into(),
            sub: "failed".into(),
            result: "exit-code".into(),
            ..Unit::default()
        };
        let unwell = Machine { unwell: vec![sick; 10], problems: vec!["x".into(); 20], ..well };
        let text = render(&unwell);
        assert!(text.contains("  a.service: failed (failed): exit-code\n") && text.contains("and 2 more"), "{text}");
        assert!(text.lines().count() <= 24, "{text}");
    }
}
