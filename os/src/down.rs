//! `os reboot`, `os soft-reboot` and `os poweroff`.

use std::process::ExitCode;

use ashlar_control::client::Client;
use ashlar_control::message::{Method, Shutdown};
use serde_json::json;

use crate::print;

/// The verbs. PID 1 answers before it begins.
pub fn main(how: Shutdown, json: bool) -> anyhow::Result<ExitCode> {
    Client::connect()?.call(&Method::Shutdown { how })?;
    if json {
        print::json(&json!({}))?;
    }
    Ok(ExitCode::SUCCESS)
}
