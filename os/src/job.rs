//! `os start`, `stop`, `restart` and `reload`: jobs, each waited for.

use std::process::ExitCode;

use ashlar_control::client::{Client, Outcome};
use ashlar_control::message::JobKind;
use serde_json::json;

use crate::{exit, print};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Full names, or those of services without suffix
    #[arg(required = true, value_name = "UNIT")]
    units: Vec<String>,
}

/// The verbs.
pub fn main(options: &Options, kind: JobKind, json: bool) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect()?;
    let mut outcomes = Vec::new();
    for unit in &options.units {
        // Who asks by hand is not held back by how often it failed by itself.
        if matches!(kind, JobKind::Start | JobKind::Restart) {
            client.reset_failed(unit)?;
        }
        outcomes.push(client.enqueue(unit, kind)?);
    }
    if json {
        let rows = outcomes
            .iter()
            .map(|outcome| json!({ "job": outcome.job, "result": outcome.result, "reason": outcome.reason }));
        print::json(&json!({ "jobs": rows.collect::<Vec<_>>() }))?;
    }
    let failures: Vec<String> = outcomes.iter().filter_map(|outcome| failure(kind, outcome)).collect();
    if failures.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    failures.iter().for_each(|failure| eprintln!("os: {failure}"));
    Ok(ExitCode::from(exit::FAILED))
}

fn failure(kind: JobKind, outcome: &Outcome) -> Option<String> {
    let result = outcome.result.as_deref().unwrap_or("done");
    // A condition that does not hold is no failure (systemctl(1)).
    if ["done", "skipped"].contains(&result) {
        return None;
    }
    let verb = match kind {
        JobKind::Start => "start",
        JobKind::Stop => "stop",
        JobKind::Restart | JobKind::TryRestart => "restart",
        JobKind::Reload | JobKind::ReloadOrRestart | JobKind::TryReloadOrRestart => "reload",
    };
    let unit = &outcome.job.unit;
    let why = if outcome.reason.is_empty() { "" } else { ": " };
    Some(format!("cannot {verb} {unit} ({result}){why}{}; see `os explain {unit}`", outcome.reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_control::status::Job;

    #[test]
    fn rows() {
        let check = |result: Option<&str>, reason: &str, expect: Option<&str>| {
            let job = Job { unit: "a.service".into(), ..Job::default() };
            let outcome = Outcome { job, result: result.map(Into::into), reason: reason.into() };
            assert_eq!(failure(JobKind::Start, &outcome).as_deref(), expect, "{result:?}");
        };
        check(None, "", None);
        check(Some("done"), "", None);
        check(Some("skipped"), "no such path", None);
        let expect = "cannot start a.service (failed): it ended with 1; see `os explain a.service`";
        check(Some("failed"), "it ended with 1", Some(expect));
        check(Some("timeout"), "", Some("cannot start a.service (timeout); see `os explain a.service`"));
    }
}
