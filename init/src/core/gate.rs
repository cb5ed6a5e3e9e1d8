//! The commit gate: whether a version that is on trial may stay.
//!
//! Pure: what the units are like goes in, a verdict comes out. A gate unit is well when it is up, or was never needed;
//! all of them have to be well for a while, without a restart in between, before a deadline. One that failed for good
//! ends the trial at once.

use std::collections::BTreeMap;

/// How a gate unit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does its work, has done it, or nobody asked for it.
    Well,
    /// On its way up or down.
    Moving,
    /// It failed, and nothing will start it again.
    Failed,
}

/// A gate unit, now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub name: String,
    pub health: Health,
    /// Starts by itself so far.
    pub restarts: u32,
    /// Why it is not well, in its own words.
    pub reason: String,
}

/// Microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// How long all have to be well.
    pub steady: u64,
    /// From the beginning of the trial.
    pub deadline: u64,
}

pub const RULES: Rules = Rules { steady: 10_000_000, deadline: 600_000_000 };

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Look again when something changes, at the latest then.
    Wait(u64),
    Good,
    /// Why not.
    Bad(String),
}

/// A trial.
#[derive(Debug)]
pub struct Gate {
    rules: Rules,
    deadline: u64,
    /// When all were first seen well in one go, and with which restarts.
    well_since: Option<(u64, BTreeMap<String, u32>)>,
}

impl Gate {
    pub fn new(rules: Rules, now: u64) -> Self {
        Self { rules, deadline: now + rules.deadline, well_since: None }
    }

    /// `started`: everything that booting asks for was started or has failed to.
    pub fn judge(&mut self, now: u64, started: bool, subjects: &[Subject]) -> Verdict {
        if let Some(failed) = subjects.iter().find(|subject| subject.health == Health::Failed) {
            return Verdict::Bad(format!("{} failed{}", failed.name, because(failed)));
        }
        let moving = subjects.iter().find(|subject| subject.health == Health::Moving);
        let restarts: BTreeMap<String, u32> =
            subjects.iter().map(|subject| (subject.name.clone(), subject.restarts)).collect();
        if !started || moving.is_some() {
            self.well_since = None;
        } else if self.well_since.as_ref().is_none_or(|(_, before)| *before != restarts) {
            self.well_since = Some((now, restarts));
        }
        let well_at = self.well_since.as_ref().map(|(since, _)| since + self.rules.steady);
        match well_at {
            Some(at) if at <= now => Verdict::Good,
            _ if now >= self.deadline => Verdict::Bad(self.too_late(moving, subjects)),
            at => Verdict::Wait(at.unwrap_or(u64::MAX).min(self.deadline)),
        }
    }

    fn too_late(&self, moving: Option<&Subject>, subjects: &[Subject]) -> String {
        let restless = || subjects.iter().max_by_key(|subject| subject.restarts).filter(|subject| subject.restarts > 0);
        let seconds = self.rules.deadline / 1_000_000;
        match moving.or_else(restless) {
            Some(one) if one.restarts > 0 => {
                let times = one.restarts;
                format!("{} started again {times} times and was not well within {seconds} s{}", one.name, because(one))
            }
            Some(one) => format!("{} was not ready within {seconds} s{}", one.name, because(one)),
            None => format!("the machine had not started within {seconds} s"),
        }
    }
}

fn because(subject: &Subject) -> String {
    if subject.reason.is_empty() { String::new() } else { format!(": {}", subject.reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { steady: 10, deadline: 100 };

    fn unit(health: Health, restarts: u32) -> Subject {
        Subject { name: "a.service".into(), health, restarts, reason: String::new() }
    }

    /// Time, health and restarts of the one unit, and the verdict then.
    fn check(rows: &[(u64, Health, u32, Verdict)]) {
        let mut gate = Gate::new(RULES, 0);
        for (now, health, restarts, expect) in rows {
            assert_eq!(gate.judge(*now, true, &[unit(*health, *restarts)]), *expect, "at {now}");
        }
    }

    #[test]
    fn verdicts() {
        use Health::{Failed, Moving, Well};
        use Verdict::{Bad, Good, Wait};
        check(&[(1, Well, 0, Wait(11)), (10, Well, 0, Wait(11)), (11, Well, 0, Good)]);
        check(&[(1, Moving, 0, Wait(100)), (5, Well, 0, Wait(15)), (15, Well, 0, Good)]);
        check(&[(1, Well, 0, Wait(11)), (5, Moving, 0, Wait(100)), (12, Well, 1, Wait(22)), (22, Well, 1, Good)]);
        // A restart that was too quick to be seen counts all the same.
        check(&[(1, Well, 0, Wait(11)), (11, Well, 1, Wait(21))]);
        check(&[(1, Well, 0, Wait(11)), (2, Failed, 0, Bad("a.service failed".into()))]);
        check(&[(100, Moving, 0, Bad("a.service was not ready within 0 s".into()))]);
        check(&[(100, Moving, 7, Bad("a.service started again 7 times and was not well within 0 s".into()))]);
        check(&[(95, Well, 0, Wait(100)), (100, Well, 0, Bad("the machine had not started within 0 s".into()))]);
    }

    #[test]
    fn nothing_counts_before_all_is_started() {
        let mut gate = Gate::new(RULES, 0);
        assert_eq!(gate.judge(5, false, &[unit(Health::Well, 0)]), Verdict::Wait(100));
        assert_eq!(gate.judge(50, true, &[]), Verdict::Wait(60));
        assert_eq!(gate.judge(60, true, &[]), Verdict::Good);
    }
}
