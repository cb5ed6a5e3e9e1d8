//! Where updates come from and when they are taken, for the updater.

use anyhow::Result;
use ashlar_config::machine::{Machine, Placed};
use serde::Serialize;

use crate::report::Report;
use crate::write;

const SETTINGS: &str = "/run/ashlar/update.json";

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Settings<'a> {
    source: Option<&'a str>,
    channel: Option<&'a str>,
    automatic: bool,
    delay: Option<&'a str>,
    windows: Vec<&'a str>,
    reboot: Option<&'a str>,
    /// The updater holds everything back then.
    damaged: bool,
}

/// Writes what the configuration says.
pub fn set(machine: &Machine, _: &mut Report) -> Result<()> {
    fn text(text: &Option<Placed<String>>) -> Option<&str> {
        text.as_ref().map(|text| text.value.as_str())
    }
    let update = &machine.update;
    let settings = Settings {
        source: text(&update.source),
        channel: text(&update.channel),
        automatic: text(&update.automatic) == Some("yes"),
        delay: text(&update.delay),
        windows: update.windows.iter().map(|window| window.value.as_str()).collect(),
        reboot: text(&update.reboot),
        damaged: update.is_damaged,
    };
    write::file(SETTINGS, &serde_json::to_vec(&settings)?)
}
