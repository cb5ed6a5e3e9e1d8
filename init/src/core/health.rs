//! Checks of health: when the next one is due, and how many failures in a row are too many.

use super::run::Alarm;
use super::service::Event;
use super::state::Outcome;
use super::{Action, Core, Role, UnitId, Work};

impl Core {
    /// The health alarm: the time of the next check, or of one that takes too long.
    pub(super) fn check_health(&mut self, unit: UnitId) {
        let Some(health) = self.service(unit).and_then(|s| s.health.clone()) else { return };
        let pid = self.run(unit).health;
        if pid != 0 {
            self.processes.remove(&pid);
            self.run_mut(unit).health = 0;
            self.actions.push(Action::KillProcess { pid });
            let seconds = health.timeout.0 / 1_000_000;
            return self.health_ended(unit, Err(format!("not over within {seconds} s")));
        }
        self.set_alarm(unit, Alarm::Health, self.now().monotonic.saturating_add(health.timeout.0));
        self.actions.push(Action::Spawn { unit, role: Role::Health });
    }

    pub(super) fn health_ended(&mut self, unit: UnitId, verdict: Result<(), String>) {
        let Some(health) = self.service(unit).and_then(|s| s.health.clone()) else { return };
        if !self.active(unit).is_up() {
            return;
        }
        self.set_alarm(unit, Alarm::Health, self.now().monotonic.saturating_add(health.interval.0));
        let run = self.run_mut(unit);
        run.unhealthy = if verdict.is_ok() { 0 } else { run.unhealthy + 1 };
        if let Err(why) = verdict
            && run.unhealthy >= health.retries.max(1)
        {
            let times = run.unhealthy;
            run.blame(Outcome::Watchdog, || format!("unhealthy {times} times in a row: {why}"));
            self.work.push_back(Work::Happen(unit, Event::Unwell));
        }
        self.settle_work();
    }
}
