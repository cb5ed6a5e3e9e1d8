//! What the steps of the table do: change the state, set the alarm, ask for actions.
//!
//! Also the way in for what happens to a service's processes, as it has to be translated by the unit's settings first.

use ashlar_config::unit::{KillMode, OomPolicy, Service, ServiceType};
use ashlar_control::message::JobMode;

use super::job::{JobResult, Kind};
use super::restart;
use super::run::{Alarm, Run};
use super::service::{Event, Milestone, Step, readiness, step};
use super::state::{ActiveState, Exit, Outcome, Sub};
use super::{Action, Core, Role, Stage, UnitId, Work};

const SIGHUP: i32 = 1;
const SIGABRT: i32 = 6;
const SIGKILL: i32 = 9;
/// Between "started too often" and what was wrong with the last start.
const LAST: &str = "; last: ";

impl Core {
    /// The process of an [`Action::Spawn`] runs. `is_init`: it is the first of its own process namespace.
    pub fn spawned(&mut self, unit: UnitId, role: Role, pid: u32, is_init: bool) {
        self.processes.insert(pid, (unit, role));
        let now = self.now();
        let run = self.run_mut(unit);
        match role {
            Role::Main => (run.main, run.main_is_init, run.main_started) = (pid, is_init, now),
            Role::Control(..) => run.control = pid,
            Role::Health => run.health = pid,
        }
        if role == Role::Main {
            self.reached(unit, Milestone::Forked);
        }
    }

    /// Takes over a main process that an earlier instance had started without having noted it. `ready`: it is past its start.
    pub fn adopt(&mut self, unit: UnitId, pid: u32, is_init: bool, ready: bool) {
        let now = self.now().monotonic;
        if self.run(unit).sub != Sub::Start {
            self.run_mut(unit).began = now;
            self.enter(unit, Sub::Start);
        }
        self.arm_start(unit, now);
        self.processes.insert(pid, (unit, Role::Main));
        let run = self.run_mut(unit);
        (run.main, run.main_is_init) = (pid, is_init);
        self.reached(unit, Milestone::Forked);
        self.reached(unit, Milestone::Executed);
        if ready {
            self.reached(unit, Milestone::Notified);
        }
    }

    /// The process of an [`Action::Spawn`] could not be started, or failed before it executed its program.
    pub fn not_started(&mut self, unit: UnitId, role: Role, reason: &str) {
        match role {
            Role::Health => return self.health_ended(unit, Err(reason.to_owned())),
            Role::Control(Stage::Reload, _) => self.log(3, unit, format!("cannot reload: {reason}")),
            Role::Main | Role::Control(..) => {
                self.run_mut(unit).blame(Outcome::Resources, || reason.to_owned());
            }
        }
        self.happen(unit, Event::NotStarted);
    }

    /// A process could not become its program: it has ended, as it were, with this code.
    pub fn not_executed(&mut self, unit: UnitId, role: Role, pid: u32, code: i32, reason: &str) {
        self.processes.remove(&pid);
        self.log(3, unit, reason.to_owned());
        // Of a check of health only the code counts.
        if matches!(role, Role::Main | Role::Control(Stage::Pre, _)) {
            self.run_mut(unit).blame(Outcome::ExitCode, || reason.to_owned());
        }
        self.process_ended(unit, role, Exit::Code(code));
        self.settle_work();
    }

    /// The answer to [`Action::FindMain`]. `again`: it is sure to come, and is not there yet.
    pub fn found_main(&mut self, unit: UnitId, pid: Option<u32>, again: bool) {
        const PAUSE: u64 = 50_000;
        if self.run(unit).sub != Sub::Start {
            return;
        }
        if let Some(pid) = pid {
            self.set_main(unit, pid);
        } else if again {
            return self.set_alarm(unit, Alarm::Find, self.now().monotonic.saturating_add(PAUSE));
        }
        self.reached(unit, Milestone::Daemonized);
        self.settle_work();
    }

    /// The other answer: it wrote none down, and nobody is left who would.
    pub fn found_nobody(&mut self, unit: UnitId) {
        if self.run(unit).sub == Sub::Start {
            let reason = || "its first process ended and left no other one behind".to_owned();
            self.run_mut(unit).blame(Outcome::Protocol, reason);
            self.happen(unit, Event::MainFailed);
        }
    }

    /// A name on the system bus has an owner now: who waits for it is there.
    pub fn bus_name_taken(&mut self, name: &str) {
        let waits = |unit: &UnitId| self.service(*unit).is_some_and(|s| s.bus_name.as_deref() == Some(name));
        for unit in self.graph.ids().filter(waits).collect::<Vec<_>>() {
            self.reached(unit, Milestone::Named);
        }
        self.settle_work();
    }

    /// The main process executed its program.
    pub fn executed(&mut self, unit: UnitId) {
        self.reached(unit, Milestone::Executed);
    }

    pub(super) fn reached(&mut self, unit: UnitId, milestone: Milestone) {
        let Some(service) = self.service(unit) else { return };
        let waits = matches!(self.run(unit).sub, Sub::Start | Sub::ReloadNotify);
        if waits && readiness(service.service_type, milestone) {
            self.happen(unit, Event::Ready);
        }
    }

    /// The kernel killed a process of the unit for lack of memory.
    pub fn out_of_memory(&mut self, unit: UnitId) {
        let Some(policy) = self.service(unit).map(|s| s.supervision.oom_policy) else {
            return self.scope_out_of_memory(unit);
        };
        self.log(4, unit, "the kernel killed a process of it for lack of memory".into());
        let event = match policy {
            OomPolicy::Continue => return,
            OomPolicy::Stop => Event::OutOfMemory,
            OomPolicy::Kill => Event::OutOfMemoryKill,
        };
        if !self.active(unit).is_down() {
            self.run_mut(unit).blame(Outcome::OomKill, || "a process was killed for lack of memory".into());
        }
        self.happen(unit, event);
    }

    pub(super) fn process_ended(&mut self, unit: UnitId, role: Role, exit: Exit) {
        match role {
            Role::Main => self.main_ended(unit, exit),
            Role::Control(stage, number) => self.control_ended(unit, stage, number, exit),
            Role::Health => {
                self.run_mut(unit).health = 0;
                let verdict = if exit == Exit::Code(0) { Ok(()) } else { Err(exit.to_string()) };
                self.health_ended(unit, verdict);
            }
        }
    }

    fn main_ended(&mut self, unit: UnitId, exit: Exit) {
        let now = self.now();
        let Some(service) = self.service(unit) else { return };
        let kind = service.service_type;
        let mut clean = restart::is_clean(exit, kind, &service.supervision);
        let sub = self.run(unit).sub;
        let number = self.run(unit).next.saturating_sub(1);
        let command = service.commands.start.get(if kind == ServiceType::Oneshot { number } else { 0 });
        clean |= command.is_some_and(|command| command.ignore_failure);
        // A container's first process that ignores the stop signal is killed at once: what was asked for.
        let asked = matches!(sub, Sub::StopSigterm | Sub::StopSigkill);
        clean |= asked && exit == Exit::Signal(SIGKILL);
        let run = self.run_mut(unit);
        run.main = 0;
        (run.exit, run.main_ended) = (Some(exit), now);
        if clean && kind == ServiceType::Forking && sub == Sub::Start {
            // That was the first process: the one that it left is the main one.
            run.exit = None;
            return self.actions.push(Action::FindMain { unit });
        }
        let silent = sub == Sub::Start && matches!(kind, ServiceType::Notify | ServiceType::NotifyReload);
        if !clean {
            run.blame(restart::outcome_of(exit), || format!("ended with {exit}"));
        } else if silent {
            run.blame(Outcome::Protocol, || format!("ended with {exit} without having said READY=1"));
        }
        let event = if clean && !silent { Event::MainDone } else { Event::MainFailed };
        self.work.push_back(Work::Happen(unit, event));
    }

    pub(super) fn timed_out(&mut self, unit: UnitId) {
        let Some(service) = self.service(unit) else { return };
        let (start, stop) = (service.supervision.timeout_start.0, service.supervision.timeout_stop.0);
        match self.run(unit).sub {
            Sub::Start | Sub::StartPre | Sub::StartPost | Sub::Condition => {
                let seconds = start / 1_000_000;
                self.kill_control(unit);
                self.run_mut(unit).blame(Outcome::Timeout, || format!("not started within {seconds} s"));
            }
            Sub::Running => {
                let longest = service.supervision.runtime_max.map_or(0, |span| span.0) / 1_000_000;
                self.run_mut(unit).blame(Outcome::Timeout, || format!("it ran for {longest} s, which is all it may"));
            }
            Sub::Stop | Sub::StopPost => {
                let seconds = stop / 1_000_000;
                self.kill_control(unit);
                self.run_mut(unit).blame(Outcome::Timeout, || format!("its stop command took longer than {seconds} s"));
            }
            Sub::StopSigterm | Sub::StopWatchdog | Sub::FinalSigterm => {
                let seconds = stop / 1_000_000;
                self.run_mut(unit).blame(Outcome::Timeout, || format!("not stopped within {seconds} s: killed"));
            }
            Sub::StopSigkill | Sub::FinalSigkill => {
                self.run_mut(unit).blame(Outcome::Timeout, || "processes are left after SIGKILL".into());
            }
            Sub::Reload | Sub::ReloadSignal | Sub::ReloadNotify => {
                self.kill_control(unit);
                self.log(4, unit, format!("not reloaded within {} s", start / 1_000_000));
            }
            _ => {}
        }
        self.work.push_back(Work::Happen(unit, Event::Timeout));
    }

    /// Asks the table and does what it says.
    pub(super) fn perform(&mut self, unit: UnitId, event: Event) {
        let Some(service) = self.service(unit) else { return };
        let mode = service.supervision.kill_mode;
        match step(self.run(unit).sub, event) {
            Step::Ignore => {}
            Step::Begin => self.begin(unit),
            Step::Proceed => self.proceed(unit, mode),
            Step::Skip => self.skip(unit),
            Step::Up if self.run(unit).sub == Sub::Start && self.begin_stage(unit, Stage::Post) => {}
            Step::Up => self.up(unit, Sub::Running),
            Step::Ended => self.ended(unit, mode),
            Step::Emptied if self.run(unit).main != 0 => {}
            Step::Emptied | Step::Leave => self.leave(unit, mode),
            Step::Clear => self.clear(unit, mode),
            Step::AskReload => self.ask_reload(unit),
            Step::AwaitReload => {
                self.enter(unit, Sub::ReloadNotify);
                self.arm_start(unit, self.now().monotonic);
            }
            Step::Reloaded if self.next_command(unit, Stage::Reload) => {}
            Step::Reloaded => self.back_to_running(unit),
            Step::ReloadFailed => self.reload_failed(unit),
            Step::Abort => {
                self.actions.push(Action::Signal { unit, signal: SIGABRT });
                self.enter_stop(unit, Sub::StopWatchdog);
            }
            Step::Terminate if self.begin_stage(unit, Stage::Stop) => {}
            Step::Terminate | Step::Signal => self.terminate(unit, mode),
            Step::Kill => self.kill(unit, Sub::StopSigkill, mode),
            Step::KillRest => self.kill(unit, Sub::FinalSigkill, mode),
            Step::Settle => self.settle(unit),
            Step::Again => self.again(unit),
            Step::GiveUp => self.rest(unit, true),
            Step::Cleaned => self.cleaned(unit),
        }
    }

    /// Changes the state; whatever alarm the old one had set is void.
    pub(super) fn enter(&mut self, unit: UnitId, sub: Sub) {
        self.set_alarm(unit, Alarm::State, 0);
        self.move_to(unit, sub);
    }

    pub(super) fn arm_start(&mut self, unit: UnitId, from: u64) {
        let span = self.service(unit).map_or(u64::MAX, |s| s.supervision.timeout_start.0);
        self.set_alarm(unit, Alarm::State, from.saturating_add(span));
    }

    pub(super) fn enter_stop(&mut self, unit: UnitId, sub: Sub) {
        self.enter(unit, sub);
        self.set_alarm(unit, Alarm::Watchdog, 0);
        self.set_alarm(unit, Alarm::Health, 0);
        let span = self.service(unit).map_or(u64::MAX, |s| s.supervision.timeout_stop.0);
        self.set_alarm(unit, Alarm::State, self.now().monotonic.saturating_add(span));
    }

    fn begin(&mut self, unit: UnitId) {
        let now = self.now().monotonic;
        let Some(settings) = self.service(unit).map(|s| &s.supervision) else { return };
        let (burst, interval) = (settings.start_limit_burst, settings.start_limit_interval.0);
        let invocation = self.new_invocation();
        let settings = &self.graph[unit].unit;
        let checked = !settings.conditions.is_empty() || !settings.asserts.is_empty();
        let by_itself = self.run(unit).sub == Sub::AutoRestartQueued;
        let run = self.run_mut(unit);
        if restart::too_often(&mut run.starts, now, burst, interval) {
            let seconds = interval / 1_000_000;
            // What it failed with is still the better half of the answer.
            let before = std::mem::take(&mut run.reason);
            let before = before.split_once(LAST).map_or(before.as_str(), |(_, last)| last);
            let before = if before.is_empty() { String::new() } else { format!("{LAST}{before}") };
            run.outcome = Outcome::StartLimitHit;
            run.reason = format!("started {burst} times within {seconds} s: given up{before}");
            let action = self.graph[unit].unit.start_limit_action.clone();
            self.act(unit, &action, "it was started too often");
            return self.enter(unit, Sub::Failed);
        }
        let old = std::mem::take(run);
        *run = Run {
            sub: old.sub,
            invocation,
            starts: old.starts,
            upheld: old.upheld,
            restarts: if by_itself { old.restarts } else { 0 },
            in_a_row: if by_itself { old.in_a_row } else { 0 },
            active_since: old.active_since,
            active_since_real: old.active_since_real,
            inactive_since: old.inactive_since,
            changes: old.changes,
            alarms: old.alarms,
            began: now,
            ..Run::default()
        };
        self.enter(unit, Sub::Condition);
        match checked {
            true => self.actions.push(Action::Check { unit }),
            false => self.work.push_back(Work::Happen(unit, Event::Met)),
        }
    }

    fn skip(&mut self, unit: UnitId) {
        self.run_mut(unit).reason = "its condition does not hold".into();
        // A command may have asked for it, in a group of the unit's.
        if self.run(unit).next > 0 {
            return self.rest(unit, true);
        }
        self.enter(unit, Sub::Dead);
    }

    pub(super) fn up(&mut self, unit: UnitId, sub: Sub) {
        let now = self.now();
        if self.active(unit) == ActiveState::Activating {
            let run = self.run_mut(unit);
            (run.active_since, run.active_since_real) = (now.monotonic, now.real);
            run.start_usec = now.monotonic.saturating_sub(run.began);
            if let Some(health) = self.service(unit).and_then(|s| s.health.clone()) {
                self.set_alarm(unit, Alarm::Health, now.monotonic.saturating_add(health.interval.0));
            }
        }
        self.enter(unit, sub);
        self.pet(unit);
        self.limit_life(unit);
    }

    /// It may run for so long.
    fn limit_life(&mut self, unit: UnitId) {
        let longest = self.service(unit).and_then(|s| s.supervision.runtime_max);
        if let Some(span) = longest.filter(|_| self.run(unit).sub == Sub::Running) {
            self.set_alarm(unit, Alarm::State, self.run(unit).active_since.saturating_add(span.0));
        }
    }

    pub(super) fn back_to_running(&mut self, unit: UnitId) {
        self.enter(unit, Sub::Running);
        self.limit_life(unit);
    }

    /// Starts the watchdog's time anew.
    pub(super) fn pet(&mut self, unit: UnitId) {
        let span = self.watchdog_of(unit);
        let at = self.now().monotonic.saturating_add(span);
        let watched = span != 0 && self.run(unit).sub.active().is_up() && self.run(unit).main != 0;
        self.set_alarm(unit, Alarm::Watchdog, if watched { at } else { 0 });
    }

    /// Longest silence in microseconds; 0 for none.
    pub(super) fn watchdog_of(&self, unit: UnitId) -> u64 {
        let configured = self.service(unit).and_then(|s| s.supervision.watchdog).map_or(0, |span| span.0);
        self.run(unit).watchdog.unwrap_or(configured)
    }

    fn ask_reload(&mut self, unit: UnitId) {
        let now = self.now().monotonic;
        self.run_mut(unit).reload_began = now;
        let by_signal = self.service(unit).is_some_and(|s| s.service_type == ServiceType::NotifyReload);
        let signal = self.service(unit).map_or(SIGHUP, |s| s.supervision.reload_signal.0);
        self.run_mut(unit).next = 0;
        self.enter(unit, if by_signal { Sub::ReloadSignal } else { Sub::Reload });
        self.arm_start(unit, now);
        match by_signal {
            true => self.actions.push(Action::Signal { unit, signal }),
            false => drop(self.next_command(unit, Stage::Reload)),
        }
    }

    fn reload_failed(&mut self, unit: UnitId) {
        if let Some(job) = self.jobs.of(unit).filter(|job| job.kind == Kind::Reload) {
            self.work.push_back(Work::Finish(job.id, JobResult::Failed));
        }
        self.back_to_running(unit);
    }

    pub(super) fn clear(&mut self, unit: UnitId, mode: KillMode) {
        if mode == KillMode::Mixed {
            return self.kill(unit, Sub::FinalSigkill, mode);
        }
        let signal = self.kill_signal(unit);
        self.enter_stop(unit, Sub::FinalSigterm);
        match mode {
            KillMode::Process | KillMode::None => self.work.push_back(Work::Happen(unit, Event::Empty)),
            _ => self.actions.push(Action::Terminate { unit, signal, all: true }),
        }
    }

    pub(super) fn terminate(&mut self, unit: UnitId, mode: KillMode) {
        let signal = self.kill_signal(unit);
        self.enter_stop(unit, Sub::StopSigterm);
        if mode == KillMode::None {
            return self.work.push_back(Work::Happen(unit, Event::Empty));
        }
        // Shells that are asked to end by SIGTERM look away; a terminal that hangs up they take seriously.
        let also = self.service(unit).filter(|s| s.supervision.send_sighup).map(|_| SIGHUP);
        for signal in [Some(signal), also].into_iter().flatten() {
            self.actions.push(Action::Terminate { unit, signal, all: mode == KillMode::ControlGroup });
        }
    }

    fn kill(&mut self, unit: UnitId, sub: Sub, mode: KillMode) {
        if self.service(unit).is_some_and(|s| !s.supervision.send_sigkill) {
            // Who does not go stays, and is left to himself.
            return if sub == Sub::StopSigkill { self.clear(unit, mode) } else { self.settle(unit) };
        }
        self.enter_stop(unit, sub);
        self.actions.push(match mode {
            KillMode::Process | KillMode::None => Action::Signal { unit, signal: SIGKILL },
            KillMode::ControlGroup | KillMode::Mixed => Action::Kill { unit },
        });
    }

    fn kill_signal(&self, unit: UnitId) -> i32 {
        self.service(unit).map_or(SIGKILL, |s: &Service| s.supervision.kill_signal.0)
    }

    /// Everything of it is gone: down, or a pause before the next start.
    fn settle(&mut self, unit: UnitId) {
        if !self.run(unit).stop_posted {
            self.run_mut(unit).stop_posted = true;
            if self.begin_stage(unit, Stage::StopPost) {
                return;
            }
        }
        let now = self.now().monotonic;
        let Some(service) = self.service(unit) else { return };
        let settings = service.supervision.clone();
        let run = self.run_mut(unit);
        if restart::was_steady(&settings, run.began, now) {
            run.in_a_row = 0;
        }
        let (outcome, in_a_row) = (run.outcome, run.in_a_row);
        let again = !run.stay_down && restart::wanted(&settings, outcome, run.exit);
        if !outcome.is_fine() {
            let reason = run.reason.clone();
            self.log(4, unit, format!("{}: {reason}", outcome.name()));
        }
        match again && settings.restart_direct {
            true => self.release(unit, false),
            false => self.rest(unit, !again),
        }
        if again {
            self.run_mut(unit).in_a_row = in_a_row.saturating_add(1);
            self.enter(unit, Sub::AutoRestart);
            let at = now.saturating_add(restart::pause(&settings, in_a_row));
            self.set_alarm(unit, Alarm::State, at);
        }
    }

    /// What lies before the next start by itself; of one that waits already: what it waits for.
    pub fn restart_pause(&self, unit: UnitId) -> u64 {
        let Run { sub, in_a_row, .. } = self.run(unit);
        let waits = u32::from(matches!(sub, Sub::AutoRestart | Sub::AutoRestartQueued));
        self.service(unit).map_or(0, |s| restart::pause(&s.supervision, in_a_row.saturating_sub(waits)))
    }

    /// Dead or failed; `stays`: for as long as nobody starts it.
    fn rest(&mut self, unit: UnitId, stays: bool) {
        self.release(unit, stays);
        let failed = !self.run(unit).outcome.is_fine();
        self.enter(unit, if failed { Sub::Failed } else { Sub::Dead });
        if stays {
            self.tell_followers(unit, failed);
        }
    }

    /// Nothing of its run is left.
    fn release(&mut self, unit: UnitId, stays: bool) {
        let run = self.run_mut(unit);
        let gone = [&mut run.main, &mut run.control, &mut run.health].map(std::mem::take);
        for pid in gone {
            self.processes.remove(&pid);
        }
        self.set_alarm(unit, Alarm::Watchdog, 0);
        self.set_alarm(unit, Alarm::Health, 0);
        self.actions.push(Action::Release { unit, stays });
    }

    fn again(&mut self, unit: UnitId) {
        self.run_mut(unit).restarts += 1;
        self.enter(unit, Sub::AutoRestartQueued);
        if let Err(refusal) = self.submit(unit, Kind::Start, JobMode::Replace) {
            self.log(4, unit, format!("cannot start again: {refusal}"));
            self.rest(unit, true);
        }
    }
}
