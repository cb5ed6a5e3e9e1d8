//! `os history` and `os explain update`: what became of this machine's versions, and `os hold`.

use std::process::ExitCode;

use ashlar_control::client::Updater;
use ashlar_control::update::{Event, State, What};
use serde_json::json;

use crate::print;

/// Arguments of `hold`.
#[derive(Debug, clap::Args)]
pub struct Hold {
    /// Why, for whoever wonders
    #[arg(required_unless_present = "off", conflicts_with = "off")]
    reason: Option<String>,
    /// Take new versions again
    #[arg(long)]
    off: bool,
}

/// Arguments of `pin`.
#[derive(Debug, clap::Args)]
pub struct Pin {
    /// The version
    version: Option<String>,
}

/// `os history`
pub fn main(json: bool) -> anyhow::Result<ExitCode> {
    let state = Updater::connect()?.state()?;
    if json {
        print::json(&json!({ "history": state.history }))?;
    } else {
        print::text(&state.history.iter().map(line).collect::<String>())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `os hold`
pub fn hold(options: &Hold, json: bool) -> anyhow::Result<ExitCode> {
    let state = Updater::connect()?.hold(options.reason.as_deref().filter(|_| !options.off))?;
    if json {
        print::json(&json!({ "hold": state.hold }))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `os pin`
pub fn pin(options: &Pin, json: bool) -> anyhow::Result<ExitCode> {
    told_pin(&Updater::connect()?.pin(options.version.as_deref())?, json)
}

/// `os unpin`
pub fn unpin(json: bool) -> anyhow::Result<ExitCode> {
    told_pin(&Updater::connect()?.unpin()?, json)
}

fn told_pin(state: &State, json: bool) -> anyhow::Result<ExitCode> {
    if json {
        print::json(&json!({ "pin": state.pin }))?;
    } else if let Some(pin) = &state.pin {
        print::text(&format!("this machine takes Ashlar {pin} and no other version; `os unpin` ends that\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `os explain update`
pub fn explain(json: bool) -> anyhow::Result<ExitCode> {
    let state = Updater::connect()?.state()?;
    if json {
        print::json(&state)?;
    } else {
        print::text(&render(&state))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn render(state: &State) -> String {
    let mut text = match state.history.last() {
        Some(last) => format!("last: {}", line(last)),
        None => "nothing was upgraded on this machine yet\n".to_owned(),
    };
    if let Some(pending) = &state.pending {
        text += &format!("the next boot tries {}\n", pending.version);
    }
    for condemned in &state.condemned {
        let (version, reason) = (&condemned.version.version, &condemned.reason);
        text += &format!("{version} is not taken again by itself: {reason}\n");
    }
    if let Some(reason) = &state.hold {
        text += &format!("on hold: {reason}\n");
    }
    if let Some(pin) = &state.pin {
        text += &format!("pinned to {pin}\n");
    }
    if let Some(round) = &state.automatic {
        text += &format!("\nby itself, at {}:\n", round.time.replacen('T', " ", 1));
        for gate in &round.gates {
            text += &format!("  {:6}  {}: {}\n", if gate.open { "open" } else { "closed" }, gate.name, gate.why);
        }
    }
    text
}

/// `2026-11-25 09:30:00Z  0.2.0 did not stay: a.service failed`.
fn line(event: &Event) -> String {
    let what = match event.what {
        What::Installed => "was written, for the next boot to try",
        What::Live => "was gone over to without a reboot",
        What::Committed => "was well, and stays",
        What::Condemned => "did not stay",
        What::RolledBack => "was gone back to",
        What::Failed => "could not be written",
    };
    let from = if event.from.is_empty() { String::new() } else { format!(" (from {})", event.from) };
    let reason = if event.reason.is_empty() { String::new() } else { format!(": {}", event.reason) };
    format!("{}  {} {what}{from}{reason}\n", event.time.replacen('T', " ", 1), event.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_control::update::{Automatic, Condemned, Gate, Version};

    #[test]
    fn the_reason_is_shown() {
        let (version, reason) = ("0.2.0".to_owned(), "a.service failed".to_owned());
        let event = Event {
            time: "2026-11-25T09:30:00Z".into(),
            what: What::Condemned,
            version,
            from: String::new(),
            reason: reason.clone(),
        };
        let version = Version { version: "0.2.0".into(), root_hash: String::new() };
        let gate = Gate { name: "hold".into(), open: false, why: "holidays".into() };
        let state = State {
            history: vec![event],
            condemned: vec![Condemned { version, reason }],
            hold: Some("holidays".into()),
            pin: Some("0.1.0".into()),
            automatic: Some(Automatic { time: "2026-11-25T10:00:00Z".into(), gates: vec![gate] }),
            ..State::default()
        };
        let expect = "last: 2026-11-25 09:30:00Z  0.2.0 did not stay: a.service failed\n\
                      0.2.0 is not taken again by itself: a.service failed\non hold: holidays\npinned to 0.1.0\n\n\
                      by itself, at 2026-11-25 10:00:00Z:\n  closed  hold: holidays\n";
        assert_eq!(render(&state), expect);
    }
}
