//! What follows when a unit ends, and nobody asked for it: units that take its place, the end of the machine, and the end of
//! those that nobody needs any more.

use ashlar_control::message::{JobMode, Shutdown};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

use super::job::Kind;
use super::restart;
use super::state::ActiveState;
use super::{Action, Core, UnitId, Urgency};

/// So often within so many microseconds a unit is started because others uphold it, as systemd does it.
const UPHELD: (u32, u64) = (16, 10_000_000);

impl Core {
    /// A unit has ended, for as long as nobody starts it.
    pub(super) fn tell_followers(&mut self, unit: UnitId, failed: bool) {
        let settings = &self.graph[unit].unit;
        let dependencies = &settings.dependencies;
        let (names, mode, action) = match failed {
            true => (&dependencies.on_failure, &settings.follow_modes[0], &settings.failure_action),
            false => (&dependencies.on_success, &settings.follow_modes[1], &settings.success_action),
        };
        let (names, mode, action) = (names.clone(), job_mode(mode, failed), action.clone());
        for name in names {
            let Some(other) = self.graph.find(&name) else { continue };
            if let Err(refusal) = self.submit(other, Kind::Start, mode) {
                self.log(4, unit, format!("cannot start {name} in its place: {refusal}"));
            }
        }
        self.act(unit, &action, if failed { "it failed" } else { "it ended" });
    }

    /// Ends the machine because a unit says so.
    pub(super) fn act(&mut self, unit: UnitId, action: &str, why: &str) {
        if let Some((how, urgency)) = end_of(action) {
            self.log(1, unit, format!("{why}, and asks for {action}"));
            self.actions.push(Action::Down { unit, how, urgency });
        }
    }

    /// Stops what a unit needed, and itself, if they say that they are there for others alone and nobody is.
    pub(super) fn stop_unneeded(&mut self, unit: UnitId) {
        let node = &self.graph[unit];
        let near = [unit].into_iter().chain(node.requires.iter().chain(&node.binds_to).chain(node.wanted()).copied());
        for other in near.filter(|other| self.is_unneeded(*other)).collect::<Vec<_>>() {
            self.log(6, other, "nobody needs it any more".into());
            if let Err(refusal) = self.submit(other, Kind::Stop, JobMode::Fail) {
                self.log(4, other, format!("cannot stop: {refusal}"));
            }
        }
    }

    fn is_unneeded(&self, unit: UnitId) -> bool {
        let node = &self.graph[unit];
        if !node.unit.stop_when_unneeded || self.active(unit) != ActiveState::Active || self.jobs.of(unit).is_some() {
            return false;
        }
        let is_there = |other: &UnitId| !self.active(*other).is_down() || self.jobs.of(*other).is_some();
        !node.required_by.iter().chain(&node.wanted_by).chain(&node.upheld_by).any(is_there)
    }

    /// Starts again what others hold up, whoever ended it.
    pub(super) fn hold_up(&mut self, unit: UnitId) {
        let node = &self.graph[unit];
        let holds = |other: &UnitId| self.active(*other).is_up() && self.jobs.of(*other).is_none();
        let Some(by) = node.upheld_by.iter().copied().find(holds) else { return };
        if !self.active(unit).is_down() || self.jobs.of(unit).is_some() {
            return;
        }
        let (now, by) = (self.now().monotonic, self.graph.name(by).to_owned());
        // A start that is refused, or fails for what it needs, is over at once.
        if restart::too_often(&mut self.run_mut(unit).upheld, now, UPHELD.0, UPHELD.1) {
            return self.log(4, unit, format!("{by} upholds it, but it does not stay up: given up for now"));
        }
        self.log(6, unit, format!("{by} upholds it"));
        if let Err(refusal) = self.submit(unit, Kind::Start, JobMode::Fail) {
            self.log(4, unit, format!("cannot start: {refusal}"));
        }
    }
}

/// What becomes of jobs in the way of those that take a unit's place.
fn job_mode(word: &str, failed: bool) -> JobMode {
    let own = if failed { JobMode::Replace } else { JobMode::Fail };
    JobMode::deserialize(IntoDeserializer::<Error>::into_deserializer(word)).unwrap_or(own)
}

/// The end that a word means.
fn end_of(action: &str) -> Option<(Shutdown, Urgency)> {
    let (word, urgency) = match action.rsplit_once('-') {
        Some((word, "force")) => (word, Urgency::Force),
        Some((word, "immediate")) => (word, Urgency::Immediate),
        _ => (action, Urgency::No),
    };
    let how = match word {
        "reboot" => Shutdown::Reboot,
        "poweroff" | "exit" => Shutdown::Poweroff,
        "halt" => Shutdown::Halt,
        "kexec" => Shutdown::Kexec,
        "soft-reboot" => Shutdown::SoftReboot,
        _ => return None,
    };
    Some((how, urgency))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |word: &str, expect| assert_eq!(end_of(word), expect, "{word}");
        check("", None);
        check("reboot", Some((Shutdown::Reboot, Urgency::No)));
        check("exit-force", Some((Shutdown::Poweroff, Urgency::Force)));
        check("halt-immediate", Some((Shutdown::Halt, Urgency::Immediate)));
        check("soft-reboot", Some((Shutdown::SoftReboot, Urgency::No)));
        check("soft-reboot-force", Some((Shutdown::SoftReboot, Urgency::Force)));
        assert_eq!(job_mode("", true), JobMode::Replace);
        assert_eq!(job_mode("", false), JobMode::Fail);
        assert_eq!(job_mode("replace-irreversibly", true), JobMode::ReplaceIrreversibly);
    }
}
