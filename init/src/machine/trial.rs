//! The trial of a new version: PID 1's side of the commit gate. Provision says whether this boot is one, `core::gate`
//! judges, and the updater's unit writes the verdict down on the disk; here they meet.
//!
//! `unknown` until provision has looked; then `committed`, or `trial` until there is a verdict. A good one is final once
//! it is written down. After a bad one the machine reboots, and the boot loader takes the other version. `condemned`: a
//! version that did not pass runs all the same, for want of another; it is left running, since somebody has to get in.

use std::fs;

use ashlar_config::trial::{self, Terms};
use ashlar_control::message::{JobKind, JobMode, Shutdown};

use super::Machine;
use crate::builtin;
use crate::core::UnitId;
use crate::core::gate::{Gate, Health, RULES, Rules, Subject, Verdict};
use crate::core::job::JobResult;
use crate::core::state::{ActiveState, Outcome, Sub};
use crate::log;

/// Provision's word, and ours once a trial has ended well.
pub(super) const FOUND: &str = "/run/ashlar/trial";
/// For the updater: `good`, or `bad` and the reason in the next line.
pub(super) const VERDICT: &str = "/run/ashlar/verdict";
/// Until a verdict that could not be written down is tried once more, in microseconds.
const AGAIN: u64 = 30_000_000;

/// Where the trial stands. Times are on the monotonic clock, in microseconds.
#[derive(Debug, Default)]
pub enum Trial {
    #[default]
    Unknown,
    Committed,
    /// To be judged again at that time at the latest.
    Watched(Box<Watch>, u64),
    /// A good verdict is being written down, or will be at that time.
    Passed(Option<u64>),
    /// A bad one is, and the machine reboots then.
    Failed,
    Condemned,
}

/// Who judges, and whom besides the units that are gates by themselves.
#[derive(Debug)]
pub struct Watch {
    gate: Gate,
    named: Vec<String>,
}

impl Trial {
    /// For `os status`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Committed => "committed",
            Self::Failed | Self::Condemned => "condemned",
            Self::Watched(..) | Self::Passed(_) => "trial",
        }
    }

    pub fn next_alarm(&self) -> Option<u64> {
        match self {
            Self::Watched(_, at) | Self::Passed(Some(at)) => Some(*at),
            _ => None,
        }
    }
}

impl Machine {
    /// Provision has looked, or an earlier instance knew.
    pub(super) fn begin_trial(&mut self) {
        let now = self.core.now().monotonic;
        let verdict = fs::read_to_string(VERDICT).unwrap_or_default();
        self.trial = match fs::read_to_string(FOUND).unwrap_or_default().trim() {
            "committed" => Trial::Committed,
            "condemned" => {
                let version = &self.facts.version;
                let line = format!(
                    "Ashlar {version} did not pass its trial, and runs because there is no other version that did: \
                     `os explain update` says why"
                );
                log::console(&line);
                self.log.say(log::ERROR, None, &line);
                Trial::Condemned
            }
            // An earlier instance had judged: writing it down once more does no harm.
            "trial" if verdict.starts_with("good") => Trial::Passed(Some(now)),
            "trial" if !verdict.is_empty() => return self.condemn(verdict.lines().nth(1).unwrap_or_default()),
            "trial" => {
                self.log.say(log::NOTICE, None, "this version is on trial: it stays once its services are well");
                let (rules, named) = terms();
                Trial::Watched(Box::new(Watch { gate: Gate::new(rules, now), named }), now)
            }
            _ => Trial::Unknown,
        };
    }

    /// Judges, once a turn.
    pub(super) fn mind_trial(&mut self) {
        if self.going_down.is_some() || self.is_going_over() {
            return;
        }
        let now = self.core.now().monotonic;
        let (started, subjects) = match self.trial {
            Trial::Watched(ref watch, _) => (self.core.is_started_up(), self.subjects(&watch.named)),
            Trial::Passed(Some(at)) if at <= now => return self.bless(),
            _ => return,
        };
        let Trial::Watched(watch, at) = &mut self.trial else { return };
        match watch.gate.judge(now, started, &subjects) {
            Verdict::Wait(until) => *at = until,
            Verdict::Good => self.bless(),
            Verdict::Bad(reason) => self.condemn(&reason),
        }
    }

    fn bless(&mut self) {
        self.trial = Trial::Passed(None);
        self.write_down("good\n");
    }

    fn condemn(&mut self, reason: &str) {
        self.trial = Trial::Failed;
        let line = format!("Ashlar {} does not stay: {reason}", self.facts.version);
        log::console(&line);
        self.log.say(log::ERROR, None, &line);
        self.write_down(&format!("bad\n{reason}\n"));
    }

    fn write_down(&mut self, verdict: &str) {
        let queued = fs::write(VERDICT, verdict).map_err(|error| format!("{VERDICT}: {error}")).and_then(|()| {
            let job = self.core.enqueue(builtin::COMMIT, JobKind::Start, JobMode::Replace);
            job.map(drop).map_err(|refusal| refusal.to_string())
        });
        match queued {
            Ok(()) => self.carry_out(),
            Err(reason) => {
                self.log.say(log::ERROR, None, &format!("cannot start {}: {reason}", builtin::COMMIT));
                self.verdict_written(false);
            }
        }
    }

    /// A job has ended: maybe the one that this waits for.
    pub(super) fn trial_job_ended(&mut self, name: &str, result: JobResult) {
        match name {
            builtin::PROVISION if matches!(self.trial, Trial::Unknown) => self.begin_trial(),
            builtin::COMMIT => self.verdict_written(result == JobResult::Done),
            _ => {}
        }
    }

    fn verdict_written(&mut self, done: bool) {
        match self.trial {
            Trial::Passed(_) if done => {
                self.trial = Trial::Committed;
                let line = format!("Ashlar {} is committed", self.facts.version);
                log::console(&line);
                self.log.say(log::NOTICE, None, &line);
                if let Err(error) = fs::write(FOUND, "committed\n") {
                    self.log.say(log::ERROR, None, &format!("cannot write {FOUND}: {error}"));
                }
            }
            Trial::Passed(_) => {
                self.log.say(
                    log::ERROR,
                    None,
                    "cannot commit this version: each boot costs it a try until that is done",
                );
                self.trial = Trial::Passed(Some(self.core.now().monotonic + AGAIN));
            }
            // Even where it could not be written down: the boot loader counts.
            Trial::Failed => self.leave_version(),
            _ => {}
        }
    }

    /// The way that it came: without a reboot, or by one.
    fn leave_version(&mut self) {
        if !self.go_back() {
            self.go_down(Shutdown::Reboot, "the commit gate");
        }
    }

    fn subjects(&self, named: &[String]) -> Vec<Subject> {
        let gated = self.core.graph.ids().filter(|unit| {
            let node = &self.core.graph[*unit];
            !node.missing && node.unit.gate && self.core.service(*unit).is_some()
        });
        gated.map(|unit| self.subject(unit, false)).chain(named.iter().map(|name| self.named(name))).collect()
    }

    /// A unit that has to be well because somebody says so: one that nobody has started is not.
    fn named(&self, name: &str) -> Subject {
        match self.core.graph.find(name).filter(|unit| !self.core.graph[*unit].missing) {
            Some(unit) => self.subject(unit, true),
            None => {
                let reason = "there is no such unit".to_owned();
                Subject { name: name.to_owned(), health: Health::Moving, restarts: 0, reason }
            }
        }
    }

    fn subject(&self, unit: UnitId, has_to_run: bool) -> Subject {
        let run = self.core.run(unit);
        let has_run = run.changes.inactive_enter.monotonic > 0;
        let health = match (run.sub, run.sub.active()) {
            (Sub::Failed, _) => Health::Failed,
            (_, ActiveState::Active | ActiveState::Reloading) => Health::Well,
            (_, ActiveState::Inactive) if run.outcome == Outcome::Success && (has_run || !has_to_run) => Health::Well,
            _ => Health::Moving,
        };
        let reason = match health {
            Health::Moving if run.reason.is_empty() => &run.status_text,
            _ => &run.reason,
        };
        Subject { name: self.name(unit), health, restarts: run.restarts, reason: reason.clone() }
    }
}

/// What the machine's configuration asks of a trial.
fn terms() -> (Rules, Vec<String>) {
    let terms: Terms =
        fs::read(trial::FILE).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    let (steady, deadline) = (terms.well_for.unwrap_or(RULES.steady), terms.well_within.unwrap_or(RULES.deadline));
    (Rules { steady, deadline }, terms.units)
}
