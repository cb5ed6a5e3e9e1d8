//! Scopes and slices: control groups that PID 1 keeps for processes that it did not start, and for other groups.
//!
//! A scope goes Dead → Running once its processes are in its group, and is over when the group is empty. A stop goes
//! StopSigterm → StopSigkill, as a service's does. Abandoned means that only its end is watched. A slice is there or not.

use ashlar_config::unit::{Body, KillMode, OomPolicy, Scope};

use super::run::{Alarm, Run};
use super::service::Event;
use super::state::{Outcome, Sub};
use super::{Action, Core, UnitId};

const SIGHUP: i32 = 1;
const SIGCONT: i32 = 18;

impl Core {
    /// A unit's settings as a scope, if it is one.
    pub fn scope(&self, unit: UnitId) -> Option<&Scope> {
        match &self.graph[unit].unit.body {
            Body::Scope(scope) => Some(scope),
            _ => None,
        }
    }

    /// A job's turn has come.
    pub(super) fn group_job(&mut self, unit: UnitId, event: Event) {
        match (event, self.scope(unit).is_some()) {
            (Event::Stop, true) => self.stop_scope(unit),
            (Event::Stop, false) => {
                self.actions.push(Action::Release { unit, stays: true });
                self.move_to(unit, Sub::Dead);
            }
            _ => self.begin_group(unit),
        }
    }

    fn begin_group(&mut self, unit: UnitId) {
        let now = self.now();
        let invocation = self.new_invocation();
        let run = self.run_mut(unit);
        let (changes, alarms) = (run.changes, run.alarms);
        *run = Run { sub: run.sub, invocation, began: now.monotonic, changes, alarms, ..Run::default() };
        self.actions.push(Action::Gather { unit });
    }

    /// The answer to [`Action::Gather`].
    pub fn gathered(&mut self, unit: UnitId, result: Result<(), String>) {
        let now = self.now();
        match result {
            Ok(()) => {
                let run = self.run_mut(unit);
                (run.active_since, run.active_since_real) = (now.monotonic, now.real);
                let longest = self.scope(unit).and_then(|scope| scope.runtime_max).map_or(0, |span| span.0);
                let is_scope = self.scope(unit).is_some();
                self.move_to(unit, if is_scope { Sub::Running } else { Sub::Active });
                if longest != 0 {
                    self.set_alarm(unit, Alarm::State, now.monotonic.saturating_add(longest));
                }
            }
            Err(reason) => {
                self.run_mut(unit).blame(Outcome::Resources, || reason);
                self.actions.push(Action::Release { unit, stays: true });
                self.move_to(unit, Sub::Failed);
            }
        }
        self.settle_work();
    }

    fn stop_scope(&mut self, unit: UnitId) {
        let Some(scope) = self.scope(unit) else { return };
        let (signal, hang_up, patience) = (scope.kill_signal.0, scope.send_sighup, scope.timeout_stop.0);
        if matches!(scope.kill_mode, KillMode::None) {
            return self.end_scope(unit);
        }
        self.move_to(unit, Sub::StopSigterm);
        self.set_alarm(unit, Alarm::State, self.now().monotonic.saturating_add(patience));
        // A process that stands still would not hear the rest.
        let also = hang_up.then_some(SIGHUP);
        for signal in [Some(signal), Some(SIGCONT), also].into_iter().flatten() {
            self.actions.push(Action::Terminate { unit, signal, all: true });
        }
    }

    /// The time of a scope's state is over.
    pub(super) fn scope_timed_out(&mut self, unit: UnitId) {
        let patience = self.scope(unit).map_or(0, |scope| scope.timeout_stop.0);
        let seconds = patience / 1_000_000;
        match self.run(unit).sub {
            Sub::Running | Sub::Abandoned => {
                self.run_mut(unit).blame(Outcome::Timeout, || "it was there for as long as it may".into());
                self.stop_scope(unit);
            }
            Sub::StopSigterm if self.scope(unit).is_some_and(|scope| !scope.send_sigkill) => {
                self.run_mut(unit).blame(Outcome::Timeout, || format!("not stopped within {seconds} s"));
                self.end_scope(unit);
            }
            Sub::StopSigterm => {
                self.run_mut(unit).blame(Outcome::Timeout, || format!("not stopped within {seconds} s: killed"));
                self.move_to(unit, Sub::StopSigkill);
                self.set_alarm(unit, Alarm::State, self.now().monotonic.saturating_add(patience));
                self.actions.push(Action::Kill { unit });
            }
            Sub::StopSigkill => {
                self.run_mut(unit).blame(Outcome::Timeout, || "processes are left after SIGKILL".into());
                self.end_scope(unit);
            }
            _ => {}
        }
    }

    /// A scope's group is empty.
    pub(super) fn scope_emptied(&mut self, unit: UnitId) {
        let there = [Sub::Running, Sub::Abandoned, Sub::StopSigterm, Sub::StopSigkill];
        if there.contains(&self.run(unit).sub) {
            self.end_scope(unit);
        }
    }

    fn end_scope(&mut self, unit: UnitId) {
        self.set_alarm(unit, Alarm::State, 0);
        self.actions.push(Action::Release { unit, stays: true });
        let failed = self.run(unit).outcome != Outcome::Success;
        self.move_to(unit, if failed { Sub::Failed } else { Sub::Dead });
    }

    /// The kernel killed a process of a scope for lack of memory.
    pub(super) fn scope_out_of_memory(&mut self, unit: UnitId) {
        let Some(policy) = self.scope(unit).map(|scope| scope.oom_policy) else { return };
        self.log(4, unit, "the kernel killed a process of it for lack of memory".into());
        if policy == OomPolicy::Continue || !self.run(unit).sub.active().is_up() {
            return;
        }
        self.run_mut(unit).blame(Outcome::OomKill, || "a process was killed for lack of memory".into());
        match policy {
            OomPolicy::Kill => self.actions.push(Action::Kill { unit }),
            _ => self.stop_scope(unit),
        }
        self.settle_work();
    }

    /// Leaves a scope's processes alone. Says whether it runs.
    pub fn abandon(&mut self, unit: UnitId) -> bool {
        let runs = matches!(self.run(unit).sub, Sub::Running | Sub::Abandoned);
        if self.run(unit).sub == Sub::Running {
            self.move_to(unit, Sub::Abandoned);
            self.settle_work();
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::Now;
    use crate::core::fixture::any;
    use ashlar_control::message::{JobKind, JobMode};

    fn core(line: &str) -> (Core, UnitId) {
        let (mut core, _) = Core::new(vec![any(line)], 1);
        core.set_now(Now { monotonic: 1, real: 1 });
        let name = line.split(' ').next().unwrap();
        core.enqueue(name, JobKind::Start, JobMode::Fail).unwrap();
        let unit = core.graph.find(name).unwrap();
        assert!(core.take_actions().contains(&Action::Gather { unit }));
        core.gathered(unit, Ok(()));
        (core, unit)
    }

    fn at(core: &mut Core, monotonic: u64) {
        core.set_now(Now { monotonic, real: monotonic });
        core.tick();
    }

    #[test]
    fn a_scope_ends_with_its_processes() {
        let (mut core, unit) = core("a.scope");
        assert_eq!(core.run(unit).sub, Sub::Running);
        assert!(core.jobs.is_empty());
        core.emptied(unit);
        assert_eq!(core.run(unit).sub, Sub::Dead);
        assert!(core.take_actions().contains(&Action::Release { unit, stays: true }));
    }

    #[test]
    fn a_stop_asks_waits_and_kills() {
        let (mut core, unit) = core("a.scope stop=10");
        core.take_actions();
        core.enqueue("a.scope", JobKind::Stop, JobMode::Replace).unwrap();
        assert_eq!(core.run(unit).sub, Sub::StopSigterm);
        at(&mut core, 11);
        assert_eq!(core.run(unit).sub, Sub::StopSigkill);
        assert!(core.take_actions().contains(&Action::Kill { unit }));
        core.emptied(unit);
        assert_eq!((core.run(unit).sub, core.run(unit).outcome), (Sub::Failed, Outcome::Timeout));
        assert!(core.jobs.is_empty());
    }

    #[test]
    fn a_life_may_have_a_longest_time() {
        let (mut core, unit) = core("a.scope max=100");
        assert!(core.abandon(unit));
        assert_eq!(core.run(unit).sub, Sub::Abandoned);
        at(&mut core, 101);
        assert_eq!(core.run(unit).sub, Sub::StopSigterm);
        core.emptied(unit);
        assert_eq!(core.run(unit).outcome, Outcome::Timeout);
        assert!(!core.abandon(unit));
    }

    #[test]
    fn a_group_that_cannot_be_made_fails_the_start() {
        let (mut core, _) = Core::new(vec![any("a.slice")], 1);
        core.enqueue("a.slice", JobKind::Start, JobMode::Replace).unwrap();
        let unit = core.graph.find("a.slice").unwrap();
        core.gathered(unit, Err("no room".into()));
        assert_eq!((core.run(unit).sub, core.run(unit).reason.as_str()), (Sub::Failed, "no room"));
    }
}
