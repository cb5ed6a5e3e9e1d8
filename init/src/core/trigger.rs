//! Sockets, paths and timers: units that start another one.
//!
//! A socket is Listening while its service is down, Running while it is up or on its way; a path is Waiting instead of
//! Listening. A timer is Waiting for its time, Running while its service starts or runs, Elapsed when no time is left for
//! it. Times of the calendar become times of the monotonic clock, and are found anew when somebody sets the other one.

use ashlar_config::systemd::calendar::Calendar;
use ashlar_config::systemd::template_of;
use ashlar_config::unit::{Body, Timer};
use ashlar_control::message::JobMode;

use super::job::Kind;
use super::restart::too_often;
use super::run::Alarm;
use super::service::Event;
use super::state::{ActiveState, Outcome, Sub};
use super::{Action, Core, UnitId};

/// A socket that triggers more often fails, because its service does not take what arrives.
const TRIGGERS: u32 = 20;
const TRIGGERS_WITHIN: u64 = 2_000_000;
/// The same for one that has an instance of its service for each connection.
const CONNECTIONS: u32 = 200;

impl Core {
    /// The answer to [`Action::Open`].
    pub fn sockets_opened(&mut self, unit: UnitId, result: Result<(), String>) {
        let now = self.now();
        match result {
            Ok(()) => {
                let run = self.run_mut(unit);
                (run.active_since, run.active_since_real) = (now.monotonic, now.real);
                self.attend(unit);
            }
            Err(reason) => {
                self.run_mut(unit).blame(Outcome::Resources, || reason);
                self.move_to(unit, Sub::Failed);
            }
        }
        self.settle_work();
    }

    /// Something arrived on a socket unit's sockets.
    pub fn traffic(&mut self, unit: UnitId) {
        let now = self.now().monotonic;
        let Some(service) = self.triggered(unit) else { return };
        if too_often(&mut self.run_mut(unit).starts, now, TRIGGERS, TRIGGERS_WITHIN) {
            let name = self.graph.name(service).to_owned();
            self.fail_socket(unit, format!("{name} was started {TRIGGERS} times and did not take what arrived"));
            return self.settle_work();
        }
        if self.active(unit).is_down() {
            return;
        }
        self.attend_as(unit, Sub::Running);
        self.start_triggered(unit, service);
        self.settle_work();
    }

    /// Somebody connected to a socket unit that has an instance of its service for each connection: the instance's
    /// number. None: there are too many already.
    pub fn connected(&mut self, unit: UnitId) -> Option<u32> {
        let Body::Socket { service, accept: Some(accept), .. } = &self.graph[unit].unit.body else { return None };
        let most = accept.most;
        if self.active(unit).is_down() {
            return None;
        }
        let served = self.instances(service).count();
        let now = self.now().monotonic;
        if served >= most as usize {
            self.log(4, unit, format!("{served} connections are served, and that is all that may be: one is refused"));
            self.run_mut(unit).refused += 1;
            return None;
        }
        if too_often(&mut self.run_mut(unit).starts, now, CONNECTIONS, TRIGGERS_WITHIN) {
            self.fail_socket(unit, format!("more than {CONNECTIONS} connections within 2 s"));
            self.settle_work();
            return None;
        }
        let run = self.run_mut(unit);
        run.accepted += 1;
        Some(run.accepted - 1)
    }

    /// Instances of a template that are up, or on their way.
    pub fn instances(&self, template: &str) -> impl Iterator<Item = UnitId> {
        let there = |unit: &UnitId| !self.active(*unit).is_down() || self.jobs.of(*unit).is_some();
        let is_one = move |unit: &UnitId| template_of(self.graph.name(*unit)).is_some_and(|name| name == template);
        self.graph.ids().filter(is_one).filter(there)
    }

    fn start_triggered(&mut self, unit: UnitId, service: UnitId) {
        if let Err(refusal) = self.submit(service, Kind::Start, JobMode::Replace) {
            self.log(4, unit, format!("cannot start {}: {refusal}", self.graph.name(service)));
        }
    }

    fn fail_socket(&mut self, unit: UnitId, reason: String) {
        self.log(3, unit, reason.clone());
        self.run_mut(unit).blame(Outcome::Resources, || reason);
        self.actions.push(Action::Close { unit });
        self.move_to(unit, Sub::Failed);
    }

    fn triggered(&self, unit: UnitId) -> Option<UnitId> {
        match &self.graph[unit].unit.body {
            Body::Socket { service, accept: None, .. } | Body::Timer { service, .. } => self.graph.find(service),
            Body::Path(watched) => self.graph.find(&watched.unit),
            _ => None,
        }
    }

    fn timer(&self, unit: UnitId) -> Option<&Timer> {
        match &self.graph[unit].unit.body {
            Body::Timer { timer, .. } => Some(timer),
            _ => None,
        }
    }

    /// A job's turn has come.
    pub(super) fn trigger_job(&mut self, unit: UnitId, event: Event) {
        let now = self.now();
        let is_timer = self.timer(unit).is_some();
        let run = self.run_mut(unit);
        run.stay_down = event == Event::Stop;
        match (event, is_timer) {
            (Event::Stop, false) => {
                self.actions.push(Action::Close { unit });
                self.move_to(unit, Sub::Dead);
            }
            (Event::Stop, true) => {
                self.set_alarm(unit, Alarm::Clock, 0);
                self.move_to(unit, Sub::Dead);
            }
            (_, false) => {
                (run.outcome, run.reason) = (Outcome::Success, String::new());
                self.actions.push(Action::Open { unit });
            }
            (_, true) => {
                (run.active_since, run.active_since_real, run.fired) = (now.monotonic, now.real, 0);
                run.fired_real = 0;
                self.move_to(unit, Sub::Waiting);
                match self.timer(unit).is_some_and(|timer| timer.persistent && !timer.on_calendar.is_empty()) {
                    true => self.actions.push(Action::ReadStamp { unit }),
                    false => self.wind(unit),
                }
            }
        }
    }

    /// The answer to [`Action::ReadStamp`]: when it last fired, in an earlier run of the machine, too.
    pub fn stamp_read(&mut self, unit: UnitId, fired: Option<u64>) {
        if let Some(at) = fired {
            self.run_mut(unit).fired_real = at;
        }
        self.wind(unit);
        self.settle_work();
    }

    /// Somebody set the clock.
    pub fn clock_set(&mut self) {
        let by_calendar = |unit: &UnitId| self.timer(*unit).is_some_and(|timer| !timer.on_calendar.is_empty());
        for unit in self.graph.ids().filter(by_calendar).collect::<Vec<_>>() {
            if self.run(unit).sub == Sub::Waiting {
                self.wind(unit);
            }
        }
        self.settle_work();
    }

    /// A service's state changed, or a start of it ended: its sockets and timers follow.
    pub(super) fn tell_triggers(&mut self, service: UnitId, active: ActiveState) {
        for unit in self.graph[service].triggers.clone() {
            if self.active(unit).is_down() {
                continue;
            }
            if self.timer(unit).is_some() {
                self.wind(unit);
            } else if active == ActiveState::Failed && self.run(service).outcome == Outcome::StartLimitHit {
                let name = self.graph.name(service).to_owned();
                self.fail_socket(unit, format!("{name} was started too often"));
            } else {
                self.attend(unit);
            }
        }
    }

    /// Listens while the service is down and nobody has asked for it; always, if each connection has one of its own.
    fn attend(&mut self, unit: UnitId) {
        if matches!(self.graph[unit].unit.body, Body::Socket { accept: Some(_), .. }) {
            return self.attend_as(unit, Sub::Listening);
        }
        let Some(service) = self.triggered(unit) else { return };
        let down = self.active(service).is_down() && self.jobs.of(service).is_none_or(|job| job.kind == Kind::Stop);
        let open = if matches!(self.graph[unit].unit.body, Body::Path(_)) { Sub::Waiting } else { Sub::Listening };
        self.attend_as(unit, if down { open } else { Sub::Running });
    }

    fn attend_as(&mut self, unit: UnitId, sub: Sub) {
        let old = self.run(unit).sub;
        if old == sub {
            return;
        }
        let listens = |sub| matches!(sub, Sub::Listening | Sub::Waiting);
        if listens(old) != listens(sub) {
            self.actions.push(Action::Listen { unit, on: listens(sub) });
        }
        self.move_to(unit, sub);
    }

    /// A timer's time has come.
    pub(super) fn fire(&mut self, unit: UnitId) {
        let Some(service) = self.triggered(unit) else { return };
        let now = self.now();
        let run = self.run_mut(unit);
        (run.fired, run.fired_real) = (now.monotonic, now.real);
        self.move_to(unit, Sub::Running);
        if self.timer(unit).is_some_and(|timer| timer.persistent) {
            self.actions.push(Action::WriteStamp { unit });
        }
        self.start_triggered(unit, service);
    }

    /// Sets a timer's next time from what has happened so far.
    fn wind(&mut self, unit: UnitId) {
        let (Some(timer), Some(service)) = (self.timer(unit), self.triggered(unit)) else { return };
        let (run, service_run) = (self.run(unit), self.run(service));
        let next = next_time(timer, run.active_since, run.fired, service_run.began, service_run.inactive_since);
        let (real, now) = (self.now().real, self.now().monotonic);
        let by_calendar = self.next_of_calendar(
            timer,
            run.fired_real.max(if timer.persistent && run.fired_real != 0 { 0 } else { run.active_since_real }),
        );
        let next_real = by_calendar.unwrap_or(0);
        let by_calendar = by_calendar.map(|at| now.saturating_add(at.saturating_sub(real)));
        let next = next.into_iter().chain(by_calendar).min();
        let busy = !self.active(service).is_down();
        let random = self.delay(unit);
        self.run_mut(unit).next_real = next_real;
        match next {
            Some(at) => {
                self.set_alarm(unit, Alarm::Clock, at.max(now).saturating_add(random));
                self.wait_as(unit, Sub::Waiting);
            }
            None => {
                self.set_alarm(unit, Alarm::Clock, 0);
                self.wait_as(unit, if busy { Sub::Running } else { Sub::Elapsed });
            }
        }
    }

    /// The next time of the calendar after `after`, in microseconds since the epoch.
    fn next_of_calendar(&self, timer: &Timer, after: u64) -> Option<u64> {
        let calendars = timer.on_calendar.iter().filter_map(|text| Calendar::parse(text).ok());
        let next = calendars.filter_map(|calendar| calendar.next((after / 1_000_000) as i64, self.zone));
        next.min().and_then(|seconds| u64::try_from(seconds).ok()).map(|seconds| seconds * 1_000_000)
    }

    fn wait_as(&mut self, unit: UnitId, sub: Sub) {
        if self.run(unit).sub != sub {
            self.move_to(unit, sub);
        }
    }

    /// A timer's random delay: the same for one unit over one boot, so that winding again does not push it back.
    fn delay(&self, unit: UnitId) -> u64 {
        let Some(longest) = self.timer(unit).and_then(|timer| timer.randomized_delay) else { return 0 };
        let mixed = (self.run(unit).active_since ^ u64::from(unit.0)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((u128::from(mixed) * u128::from(longest.0)) >> 64) as u64
    }
}

/// The earliest time that is still due; times at or before `fired` are used up. 0 means "never" for every time.
fn next_time(timer: &Timer, started: u64, fired: u64, service_up: u64, service_down: u64) -> Option<u64> {
    let after = |span: Option<ashlar_config::quantity::Span>, from: Option<u64>| {
        span.and_then(|span| span.duration()).zip(from).map(|(span, from)| from.saturating_add(span.as_micros() as u64))
    };
    // A start that was refused leaves no time of its own behind; having fired counts in its place.
    let ever = |at: u64| Some(at.max(fired)).filter(|at| *at != 0);
    // Once is once: these two are over when the timer has fired for whatever reason after them.
    let once = [after(timer.on_boot, Some(0)), after(timer.on_active, Some(started))];
    let once = once.into_iter().flatten().filter(|at| fired == 0 || *at > fired);
    let again = [after(timer.on_unit_active, ever(service_up)), after(timer.on_unit_inactive, ever(service_down))];
    once.chain(again.into_iter().flatten()).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_config::quantity::Span;

    #[test]
    fn next_times() {
        let check = |timer: Timer, [started, fired, up, down]: [u64; 4], expect| {
            assert_eq!(next_time(&timer, started, fired, up, down), expect, "{timer:?}");
        };
        let boot = Timer { on_boot: Some(Span(100)), ..Timer::default() };
        check(boot.clone(), [10, 0, 0, 0], Some(100));
        check(boot, [10, 100, 0, 0], None);
        let active = Timer { on_active: Some(Span(100)), ..Timer::default() };
        check(active, [10, 0, 0, 0], Some(110));
        let every = Timer { on_boot: Some(Span(50)), on_unit_active: Some(Span(100)), ..Timer::default() };
        check(every.clone(), [10, 0, 0, 0], Some(50));
        check(every.clone(), [10, 50, 52, 0], Some(152));
        check(every, [10, 60, 0, 0], Some(160));
        let idle = Timer { on_unit_inactive: Some(Span(100)), ..Timer::default() };
        check(idle.clone(), [10, 0, 0, 0], None);
        check(idle, [10, 0, 20, 30], Some(130));
    }
}
