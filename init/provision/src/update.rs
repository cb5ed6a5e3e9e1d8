//! Where updates come from, for the updater.

use anyhow::Result;
use ashlar_config::machine::Machine;
use serde::Serialize;

use crate::report::Report;
use crate::write;

const SETTINGS: &str = "/run/ashlar/update.json";

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Settings<'a> {
    source: Option<&'a str>,
    channel: Option<&'a str>,
}

/// Writes what the configuration says.
pub fn set(machine: &Machine, _: &mut Report) -> Result<()> {
    let source = machine.update_source.as_ref().map(|source| source.value.as_str());
    let channel = machine.update_channel.as_ref().map(|channel| channel.value.as_str());
    write::file(SETTINGS, &serde_json::to_vec(&Settings { source, channel })?)
}
