//! `os upgrade`: a new version for this machine, tried at its next boot.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ashlar_control::client::{Client, Updater};
use ashlar_control::message::{Method, Shutdown};
use ashlar_control::update::{Change, Live, Outcome, Plan, Request, Stage, Until};

use crate::{exit, print};

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only say whether there is a new version; ends with 7 if there is none
    #[arg(long, conflicts_with_all = ["plan", "download", "now"])]
    check: bool,
    /// Only say what it would cost
    #[arg(long, conflicts_with_all = ["download", "now"])]
    plan: bool,
    /// Write the new version, but do not have the next boot try it
    #[arg(long, conflicts_with = "now")]
    download: bool,
    /// Reboot into it at once
    #[arg(long)]
    now: bool,
    /// Go over to it without a reboot: units that are not the same in both are started anew
    #[arg(long, conflicts_with_all = ["check", "plan", "download", "now"])]
    live: bool,
    /// A published folder, a tar of one, or its address (https, http or oci), instead of the machine's own source
    #[arg(long, value_name = "FOLDER|TAR|URL")]
    from: Option<String>,
    /// This version, instead of the newest
    #[arg(long)]
    version: Option<String>,
    /// Another channel than the machine's
    #[arg(long)]
    channel: Option<String>,
    /// Also a version that did not stay on this machine before
    #[arg(long)]
    retry: bool,
}

/// The verb.
pub fn main(options: &Options, json: bool) -> anyhow::Result<ExitCode> {
    let (source, folder) = options.from.as_deref().map_or(Ok((None, None)), source)?;
    let request = Request {
        source,
        folder: folder.is_some(),
        version: options.version.clone(),
        channel: options.channel.clone(),
        until: until(options),
        retry: options.retry,
        live: options.live,
    };
    let mut line = Line::new(json);
    let outcome = Updater::connect()?.upgrade(&request, folder.as_ref().map(AsFd::as_fd), &mut |stage, done, total| {
        line.show(stage, done, total);
    });
    line.end();
    let outcome = outcome?;
    if json {
        print::json(&outcome)?;
    } else {
        print::text(&render(&outcome))?;
    }
    if let Outcome::Live(live) = &outcome {
        return follow(live, json);
    }
    if options.now && matches!(outcome, Outcome::Switched(_) | Outcome::Current { waits: true, .. }) {
        Client::connect()?.call(&Method::Shutdown { how: Shutdown::Reboot })?;
    }
    let none = options.check && matches!(outcome, Outcome::Current { .. });
    Ok(if none { ExitCode::from(exit::NOTHING_NEWER) } else { ExitCode::SUCCESS })
}

/// How often the machine is asked how it is, and how long PID 1 may take to execute itself anew.
const PACE: Duration = Duration::from_millis(500);
const PATIENCE: u32 = 60;

/// Waits until the version has shown that it is well, or has not.
fn follow(live: &Live, json: bool) -> anyhow::Result<ExitCode> {
    let mut unheard = 0;
    loop {
        thread::sleep(PACE);
        let machine = Client::connect().and_then(|mut client| client.machine());
        unheard = if machine.is_ok() { 0 } else { unheard + 1 };
        match machine {
            Ok(machine) if machine.version == live.version && machine.commit == "committed" => break,
            Ok(machine) if machine.version != live.version => {
                let state = Updater::connect()?.state()?;
                let known = state.condemned.iter().find(|other| other.version.version == live.version);
                let why = known.map_or("see `os explain update`", |known| known.reason.as_str());
                bail!("Ashlar {} does not stay: {why}; {} runs again", live.version, machine.version);
            }
            Err(error) if unheard >= PATIENCE => return Err(error.into()),
            _ => {}
        }
    }
    if !json {
        print::text(&format!("Ashlar {} is well; the next boot starts it, too\n", live.version))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn until(options: &Options) -> Until {
    match options {
        Options { check: true, .. } => Until::Check,
        Options { plan: true, .. } => Until::Plan,
        Options { download: true, .. } => Until::Download,
        _ => Until::Switch,
    }
}

/// An address, or an open folder or archive: the updater does not see this container's files.
fn source(from: &str) -> anyhow::Result<(Option<String>, Option<File>)> {
    if from.contains("://") {
        return Ok((Some(from.to_owned()), None));
    }
    let path = PathBuf::from(from);
    let open = || format!("open {}", path.display());
    let metadata = path.metadata().with_context(open)?;
    if !metadata.is_file() && !path.join("metadata").is_dir() {
        bail!("{} is no published folder: it has no metadata; `ashlar publish` makes one", path.display());
    }
    Ok((None, Some(File::open(&path).with_context(open)?)))
}

fn render(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Current { version, waits: true } => {
            format!("Ashlar {version} is in its slot already: the next boot tries it\n")
        }
        Outcome::Current { version, waits: false } => format!("Ashlar {version} is the newest\n"),
        Outcome::Available(plan) => told(plan) + &cost(plan),
        Outcome::Downloaded(plan) => {
            format!("Ashlar {} is in slot {}; `os upgrade` has the next boot try it\n", plan.to, plan.slot)
        }
        Outcome::Live(live) => gone_over(live),
        Outcome::Switched(plan) => format!(
            "Ashlar {} is in slot {}: the next boot tries it (`os reboot`), and goes back to {} unless all is well\n",
            plan.to, plan.slot, plan.from
        ),
    }
}

fn gone_over(live: &Live) -> String {
    let mut text = format!("Ashlar {} runs in place of {}\n", live.version, live.from);
    for (what, units) in [("started anew", &live.units), ("when nobody is logged in any more", &live.waiting)] {
        if !units.is_empty() {
            text += &format!("  {what}: {}\n", units.join(", "));
        }
    }
    if live.kernel {
        text += "  with the next boot: its kernel\n";
    }
    text
}

fn told(plan: &Plan) -> String {
    let notes: String = plan.notes.lines().map(|line| format!("  {line}\n")).collect();
    format!("Ashlar {} -> {}\n{notes}", plan.from, plan.to)
}

fn cost(plan: &Plan) -> String {
    let Some((fetch, reuse)) = plan.fetch.zip(plan.reuse) else { return String::new() };
    let (fetch, reuse) = (print::size(fetch), print::size(reuse));
    let near = plan.near.map(|near| format!(" and {} from machines of this site", print::size(near)));
    let near = near.unwrap_or_default();
    let mut text = format!("  fetches {fetch}{near}, has {reuse} already, writes slot {}\n", plan.slot);
    if let Some(change) = &plan.change {
        text += &changes(change);
    }
    text += match &plan.change {
        Some(Change { reboot: None, .. }) => "  takes effect with a reboot, or at once with --live; ",
        _ => "  takes effect with a reboot; ",
    };
    text += &format!("`os rollback` goes back to {}", plan.from);
    if !plan.state.is_empty() {
        text += &format!(", and the state of {} as it is now", plan.state.join(", "));
    }
    text + "\n"
}

fn changes(change: &Change) -> String {
    let mut text = match change.units.as_slice() {
        [] => "  changes no unit\n".to_owned(),
        units => format!("  changes {}\n", units.join(", ")),
    };
    if change.kernel {
        text += "  has another kernel, which a reboot alone brings\n";
    }
    if let Some(why) = &change.reboot {
        text += &format!("  needs a reboot: {why}\n");
    }
    text
}

/// What is being done: one line on a terminal, a line for each stage elsewhere.
struct Line {
    terminal: bool,
    silent: bool,
    stage: Option<(Stage, Instant, u64)>,
}

impl Line {
    fn new(json: bool) -> Self {
        Self { terminal: std::io::stderr().is_terminal(), silent: json, stage: None }
    }

    fn show(&mut self, stage: Stage, done: u64, total: u64) {
        if self.silent {
            return;
        }
        let is_new = self.stage.is_none_or(|(last, ..)| last != stage);
        if is_new {
            self.end();
            self.stage = Some((stage, Instant::now(), done));
        }
        let Some((_, begun, from)) = self.stage else { return };
        if self.terminal {
            eprint!("\r\x1b[K{}", progress(stage, done, total, done - from.min(done), begun.elapsed().as_secs_f64()));
            let _ = std::io::stderr().flush();
        } else if is_new {
            eprintln!("{}", word(stage));
        }
    }

    fn end(&mut self) {
        if self.stage.take().is_some() && self.terminal && !self.silent {
            eprintln!();
        }
    }
}

fn word(stage: Stage) -> &'static str {
    match stage {
        Stage::Trust => "checking signatures",
        Stage::Compare => "comparing",
        Stage::Fetch => "writing",
        Stage::Verify => "reading back",
        Stage::Switch => "writing the boot entry",
    }
}

/// `writing  34M of 119M, 11M/s, 8 s left`.
fn progress(stage: Stage, done: u64, total: u64, gained: u64, seconds: f64) -> String {
    let mut text = word(stage).to_owned();
    if total == 0 {
        return text;
    }
    text += &format!("  {} of {}", print::size(done), print::size(total));
    if seconds > 1.0 && gained > 0 {
        let rate = gained as f64 / seconds;
        let left = (total.saturating_sub(done) as f64 / rate).ceil() as u64;
        text += &format!(", {}/s, {} left", print::size(rate as u64), print::span(left));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let plan = Plan {
            from: "0.1.0".into(),
            to: "0.2.0".into(),
            notes: "one\ntwo".into(),
            slot: "b".into(),
            fetch: Some(5 << 20),
            reuse: Some(100 << 20),
            ..Plan::default()
        };
        let expect = "Ashlar 0.1.0 -> 0.2.0\n  one\n  two\n  fetches 5M, has 100M already, writes slot b\n  \
                      takes effect with a reboot; `os rollback` goes back to 0.1.0\n";
        assert_eq!(render(&Outcome::Available(plan.clone())), expect);
        let change = Change { units: vec!["a.service".into(), "b.socket".into()], kernel: true, reboot: None };
        let live = Plan {
            notes: String::new(),
            change: Some(change.clone()),
            state: vec!["db.service".into()],
            ..plan.clone()
        };
        let expect = "Ashlar 0.1.0 -> 0.2.0\n  fetches 5M, has 100M already, writes slot b\n  changes a.service, b.socket\n  \
                      has another kernel, which a reboot alone brings\n  takes effect with a reboot, or at once with --live; \
                      `os rollback` goes back to 0.1.0, and the state of db.service as it is now\n";
        assert_eq!(render(&Outcome::Available(live.clone())), expect);
        let change = Change { reboot: Some("its accounts".into()), ..Change::default() };
        let text = render(&Outcome::Available(Plan { change: Some(change), ..live }));
        assert!(
            text.contains("  changes no unit\n  needs a reboot: its accounts\n  takes effect with a reboot; "),
            "{text}"
        );
        let live = Live {
            version: "0.2.0".into(),
            from: "0.1.0".into(),
            units: vec!["a.service".into()],
            waiting: vec!["ssh.service".into()],
            kernel: true,
        };
        let expect = "Ashlar 0.2.0 runs in place of 0.1.0\n  started anew: a.service\n  when nobody is logged in any more: \
                      ssh.service\n  with the next boot: its kernel\n";
        assert_eq!(render(&Outcome::Live(live)), expect);
        let near = Plan { fetch: Some(0), near: Some(5 << 20), notes: String::new(), ..plan.clone() };
        let said = render(&Outcome::Available(near));
        assert!(said.contains("  fetches 0K and 5M from machines of this site, has 100M already"), "{said}");
        let check = Plan { fetch: None, notes: String::new(), ..plan };
        assert_eq!(render(&Outcome::Available(check)), "Ashlar 0.1.0 -> 0.2.0\n");
        assert_eq!(render(&Outcome::Current { version: "1".into(), waits: false }), "Ashlar 1 is the newest\n");
    }

    #[test]
    fn how_far() {
        let check = |done, total, gained, seconds, expect: &str| {
            assert_eq!(progress(Stage::Fetch, done, total, gained, seconds), expect);
        };
        check(0, 0, 0, 0.0, "writing");
        check(1 << 20, 4 << 20, 1 << 20, 0.5, "writing  1M of 4M");
        check(2 << 20, 8 << 20, 2 << 20, 2.0, "writing  2M of 8M, 1M/s, 6 s left");
        check(8 << 20, 8 << 20, 8 << 20, 2.0, "writing  8M of 8M, 4M/s, 0 s left");
    }

    #[test]
    fn folders_and_addresses() {
        assert_eq!(source("https://a/b").unwrap().0.as_deref(), Some("https://a/b"));
        assert!(source("/nonexistent").unwrap_err().to_string().contains("open /nonexistent"));
        assert!(source("/usr").unwrap_err().to_string().contains("is no published folder"));
    }
}
