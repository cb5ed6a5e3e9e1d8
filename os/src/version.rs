//! `os version`: which version runs.

use std::process::ExitCode;

use ashlar_control::client::Client;
use serde_json::json;

use crate::print;

/// The verb.
pub fn main(json: bool) -> anyhow::Result<ExitCode> {
    let machine = Client::connect()?.machine()?;
    let (version, slot, root) = (&machine.version, &machine.slot, &machine.root_hash);
    match json {
        true => print::json(&json!({ "version": version, "slot": slot, "rootHash": root }))?,
        false => print::text(&format!("Ashlar {version}\nslot {slot}\nroot hash {root}\n"))?,
    }
    Ok(ExitCode::SUCCESS)
}
