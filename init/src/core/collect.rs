//! Units that come and go while the machine runs. What was made goes once it is down, nothing is queued for it and
//! nobody holds it; one that failed stays to be looked at, unless it says otherwise. What was read from a file goes, too,
//! as long as no other unit names it: it is read again when somebody asks for it.

use std::collections::BTreeMap;

use ashlar_config::unit::Unit;
use ashlar_control::message::Refusal;

use super::run::{ALARMS, Run};
use super::state::{ActiveState, Sub};
use super::{Core, UnitId, Work};

/// How long a unit stays that somebody only looked at.
const LOOK: u64 = 5_000_000;

/// How often each unit is held.
pub type Holds = BTreeMap<UnitId, u32>;

impl Core {
    /// Takes a unit in.
    pub fn load(&mut self, unit: Unit) -> Result<UnitId, Refusal> {
        if let Some(id) = self.graph.find(&unit.name) {
            return Err(Refusal::UnitExists { unit: self.graph.name(id).to_owned() });
        }
        let (id, complaints) = self.graph.add(unit);
        self.count_again();
        self.runs.resize_with(self.graph.ids().count(), Run::default);
        for text in complaints {
            self.log(4, id, text);
        }
        self.changed.insert(id);
        match self.graph[id].unit.transient {
            true => self.note_transient(id),
            // Whoever looked at it goes on with it.
            false => drop(self.looked_at.insert(id, self.now.monotonic)),
        }
        Ok(id)
    }

    /// Gives a unit other settings, and the edges that follow from them.
    pub fn update(&mut self, id: UnitId, unit: Unit) {
        for text in self.graph.update(id, unit) {
            self.log(4, id, text);
        }
        self.runs.resize_with(self.graph.ids().count(), Run::default);
        self.count_again();
        self.changed.insert(id);
    }

    /// Who waits for whom may be another thing now.
    fn count_again(&mut self) {
        if !self.jobs.is_empty() {
            let free = self.jobs.recount(&self.graph);
            self.work.extend(free.into_iter().map(Work::Run));
        }
    }

    /// Transient units that may go now.
    pub fn collectable(&mut self, holds: &Holds) -> Vec<UnitId> {
        let may_go = |core: &Self, unit: UnitId| {
            let held = holds.contains_key(&unit) || core.jobs.of(unit).is_some();
            let down = match core.active(unit) {
                ActiveState::Inactive => true,
                ActiveState::Failed => core.graph[unit].unit.collect_failed,
                _ => false,
            };
            if !core.graph[unit].unit.transient && core.graph.is_referred_to(unit) {
                return false;
            }
            // A timer's service is there for as long as the timer is.
            let comes = |other: &UnitId| !core.active(*other).is_down() || core.jobs.of(*other).is_some();
            down && !held && !core.graph[unit].triggers.iter().any(comes)
        };
        let now = self.now.monotonic;
        let over: Vec<UnitId> =
            self.looked_at.iter().filter(|(_, at)| now.saturating_sub(**at) > LOOK).map(|(unit, _)| *unit).collect();
        for unit in over {
            self.looked_at.remove(&unit);
            self.note_transient(unit);
        }
        let noted = std::mem::take(&mut self.transient);
        // One that is up is noted again when it goes down.
        let (go, stay): (Vec<UnitId>, Vec<UnitId>) =
            noted.into_iter().filter(|unit| self.active(*unit).is_down()).partition(|unit| may_go(self, *unit));
        self.transient.extend(stay);
        go
    }

    /// Forgets a unit.
    pub fn unload(&mut self, unit: UnitId) {
        for alarm in ALARMS {
            self.set_alarm(unit, alarm, 0);
        }
        self.runs[unit.0 as usize] = Run::default();
        self.transient.remove(&unit);
        self.looked_at.remove(&unit);
        self.changed.remove(&unit);
        self.graph.remove(unit);
        self.count_again();
    }

    /// Says that something about a unit changed that is not in its [`Run`].
    pub fn touch(&mut self, unit: UnitId) {
        self.changed.insert(unit);
    }

    /// Says that a unit was let go.
    pub fn touch_transient(&mut self, unit: UnitId) {
        self.note_transient(unit);
    }

    /// Says that a transient unit may have become one that can go.
    pub(super) fn note_transient(&mut self, unit: UnitId) {
        let unit_file = &self.graph[unit].unit.source.fragment;
        if self.graph[unit].unit.transient || !unit_file.is_empty() {
            self.transient.insert(unit);
        }
    }

    /// Puts units that are there as long as the machine into their state.
    pub(super) fn begin_perpetual(&mut self, is_perpetual: impl Fn(&str) -> bool) {
        for unit in self.graph.ids() {
            if is_perpetual(self.graph.name(unit)) {
                let is_scope = self.scope(unit).is_some();
                self.runs[unit.0 as usize].sub = if is_scope { Sub::Running } else { Sub::Active };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fixture::any;
    use ashlar_control::message::{JobKind, JobMode};

    #[test]
    fn what_was_made_goes_when_it_is_over() {
        let (mut core, _) = Core::new(vec![any("a.target")], 1);
        let unit = core.load(any("x.scope transient after=a.target")).unwrap();
        assert!(matches!(core.load(any("x.scope")), Err(Refusal::UnitExists { .. })));
        core.enqueue("x.scope", JobKind::Start, JobMode::Fail).unwrap();
        core.gathered(unit, Ok(()));
        assert_eq!(core.collectable(&Holds::new()), []);
        core.emptied(unit);
        assert_eq!(core.collectable(&Holds::from([(unit, 1)])), []);
        assert_eq!(core.collectable(&Holds::new()), [unit]);
        core.unload(unit);
        assert_eq!(core.graph.find("x.scope"), None);
        // Its place is used again.
        assert_eq!(core.load(any("y.scope transient")).unwrap(), unit);
    }

    #[test]
    fn a_timers_service_is_there_for_as_long_as_the_timer() {
        let (mut core, _) = Core::new(Vec::new(), 1);
        let service = core.load(any("x.service transient")).unwrap();
        let timer = core.load(any("x.timer transient every=100")).unwrap();
        core.enqueue("x.timer", JobKind::Start, JobMode::Fail).unwrap();
        assert_eq!(core.collectable(&Holds::new()), []);
        core.enqueue("x.timer", JobKind::Stop, JobMode::Fail).unwrap();
        assert_eq!(core.collectable(&Holds::new()), [service, timer]);
    }

    #[test]
    fn what_was_read_from_a_file_goes_unless_somebody_names_it() {
        let mut file = any("x.service");
        file.source.fragment = "/etc/x.service".into();
        let check = |units: Vec<Unit>, goes: bool| {
            let (mut core, _) = Core::new(units, 1);
            let unit = core.load(file.clone()).unwrap();
            assert_eq!(core.collectable(&Holds::new()), [], "who looked has yet to see it");
            core.set_now(crate::core::Now { monotonic: LOOK + 1, real: 0 });
            assert_eq!(core.collectable(&Holds::new()) == [unit], goes);
        };
        check(Vec::new(), true);
        check(vec![any("t.target wants=x.service")], false);
    }

    #[test]
    fn one_that_failed_stays_to_be_looked_at() {
        let check = |line: &str, goes: bool| {
            let (mut core, _) = Core::new(Vec::new(), 1);
            let unit = core.load(any(line)).unwrap();
            core.enqueue("x.scope", JobKind::Start, JobMode::Fail).unwrap();
            core.gathered(unit, Err("no".into()));
            assert_eq!(!core.collectable(&Holds::new()).is_empty(), goes, "{line}");
            core.reset_failed(unit);
            assert!(!core.collectable(&Holds::new()).is_empty(), "{line}");
        };
        check("x.scope transient", false);
        check("x.scope transient collect", true);
    }
}
