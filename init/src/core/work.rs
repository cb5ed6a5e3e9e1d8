//! Jobs from the request to their result, through one queue.

use ashlar_config::unit::{Body, Load, ServiceType};
use ashlar_control::message::{JobKind, JobMode, Refusal, Shutdown};

use super::job::{Job, JobResult, Kind};
use super::run::Alarm;
use super::service::Event;
use super::state::{ActiveState, Outcome, Sub};
use super::transaction::Situation;
use super::{Action, Core, UnitId, Work};

impl Core {
    /// Queues what `kind` of the unit of that name means. Returns the number of its own job, which may have ended by
    /// the time this returns.
    pub fn enqueue(&mut self, name: &str, asked: JobKind, mode: JobMode) -> Result<u32, Refusal> {
        let Some(unit) = self.graph.find(name) else {
            let nearest = self.graph.nearest(name).unwrap_or_default().to_owned();
            return Err(Refusal::NoSuchUnit { unit: name.to_owned(), nearest });
        };
        let kind = match asked {
            JobKind::Start => Kind::Start,
            JobKind::Stop => Kind::Stop,
            JobKind::TryRestart if self.active(unit).is_down() => Kind::Nop,
            JobKind::TryReloadOrRestart if self.active(unit).is_down() => Kind::Nop,
            JobKind::TryRestart | JobKind::Restart => Kind::Restart,
            JobKind::ReloadOrRestart | JobKind::TryReloadOrRestart if self.can_reload(unit) => Kind::Reload,
            JobKind::ReloadOrRestart | JobKind::TryReloadOrRestart => Kind::Restart,
            JobKind::Reload => Kind::Reload,
        };
        self.check_applicable(unit, kind)?;
        self.check_manual(unit, kind)?;
        // What does not run has nothing to reload: the start reads the configuration.
        let kind = if kind == Kind::Reload && asked != JobKind::Reload && self.active(unit).is_down() {
            Kind::Start
        } else {
            kind
        };
        let job = self.submit(unit, kind, mode)?;
        self.settle_work();
        Ok(job)
    }

    /// Takes a job back.
    pub fn cancel(&mut self, id: u32) -> Result<(), Refusal> {
        self.jobs.get(id).ok_or(Refusal::NoSuchJob { id })?;
        self.work.push_back(Work::Finish(id, JobResult::Canceled));
        self.settle_work();
        Ok(())
    }

    /// Forgets that a unit failed.
    pub fn reset_failed(&mut self, unit: UnitId) {
        let run = self.run_mut(unit);
        run.starts.clear();
        run.in_a_row = 0;
        if run.sub == Sub::Failed {
            run.outcome = Outcome::Success;
            run.reason.clear();
            self.move_to(unit, Sub::Dead);
            self.settle_work();
        }
    }

    /// Whether it can read its configuration again without a restart.
    pub fn can_reload(&self, unit: UnitId) -> bool {
        self.service(unit).is_some_and(|s| s.service_type == ServiceType::NotifyReload || !s.commands.reload.is_empty())
    }

    fn check_applicable(&self, unit: UnitId, kind: Kind) -> Result<(), Refusal> {
        let name = self.graph.name(unit);
        let perpetual = crate::builtin::is_perpetual(name) && matches!(kind, Kind::Stop | Kind::Restart);
        let scope = self.scope(unit).is_some() && kind == Kind::Restart;
        if perpetual || scope || (kind == Kind::Reload && !self.can_reload(unit)) {
            let reason = format!("Job type {} is not applicable for unit {name}.", kind.name());
            return Err(Refusal::NotApplicable { reason });
        }
        Ok(())
    }

    /// What its file forbids to people.
    fn check_manual(&self, unit: UnitId, kind: Kind) -> Result<(), Refusal> {
        let settings = &self.graph[unit].unit;
        let name = settings.name.clone();
        let starts = matches!(kind, Kind::Start | Kind::Restart);
        let stops = matches!(kind, Kind::Stop | Kind::Restart);
        match settings.source.load {
            Load::Loaded | Load::NotFound => {}
            _ if !starts => {}
            Load::Masked => return Err(Refusal::Masked { unit: name }),
            _ => return Err(Refusal::BadUnit { unit: name, reason: settings.source.error.clone() }),
        }
        match (starts && settings.refuse.start) || (stops && settings.refuse.stop) {
            true => Err(Refusal::OnlyByDependency { unit: name }),
            false => Ok(()),
        }
    }

    /// Plans and queues; the caller lets the work settle.
    pub(super) fn submit(&mut self, anchor: UnitId, kind: Kind, mode: JobMode) -> Result<u32, Refusal> {
        let active = |unit| self.active(unit);
        let plan = Situation { graph: &self.graph, queue: &self.jobs, active: &active }.plan(anchor, kind, mode)?;
        if mode == JobMode::Flush {
            let others = self.jobs.iter().filter(|job| !plan.contains_key(&job.unit) && !job.irreversible);
            let others: Vec<u32> = others.map(|job| job.id).collect();
            self.work.extend(others.into_iter().map(|id| Work::Finish(id, JobResult::Canceled)));
        }
        let unordered = mode == JobMode::IgnoreDependencies;
        let mut own = 0;
        for (unit, planned) in plan {
            let id = self.install(unit, planned.kind, unordered);
            if mode == JobMode::ReplaceIrreversibly {
                self.jobs.make_irreversible(id);
            }
            if unit == anchor {
                own = id;
            }
        }
        Ok(own)
    }

    fn install(&mut self, unit: UnitId, kind: Kind, unordered: bool) -> u32 {
        if let Some(old) = self.jobs.of(unit) {
            let id = old.id;
            match old.kind.merge(kind) {
                Some(merged) if merged == old.kind => return id,
                Some(merged) => {
                    let freed = self.jobs.change(&self.graph, id, merged);
                    self.changed_jobs.insert(id);
                    self.work.extend(freed.into_iter().map(Work::Run));
                    self.work.push_back(Work::Run(id));
                    return id;
                }
                None => self.finish(id, JobResult::Canceled),
            }
        }
        let id = self.jobs.add(&self.graph, unit, kind, false, unordered);
        self.changed_jobs.insert(id);
        if let Some(longest) = self.graph[unit].unit.job_timeout {
            self.set_alarm(unit, Alarm::Job, self.now().monotonic.saturating_add(longest.0));
        }
        if let Some(job) = self.jobs.get(id) {
            self.actions.push(Action::JobNew { job: job.clone() });
        }
        self.work.push_back(Work::Run(id));
        id
    }

    /// Begins to go down: everything stops, then the target of that name is reached. Not taken back.
    pub fn go_down(&mut self, how: Shutdown) -> Result<u32, Refusal> {
        let id = self.enqueue(target_of(how), JobKind::Start, JobMode::Replace)?;
        for job in self.jobs.iter().map(|job| job.id).collect::<Vec<_>>() {
            self.jobs.make_irreversible(job);
            self.changed_jobs.insert(job);
        }
        Ok(id)
    }

    /// Does everything that follows from the last event.
    pub(super) fn settle_work(&mut self) {
        while let Some(work) = self.work.pop_front() {
            match work {
                Work::Run(id) => self.run_job(id),
                Work::Finish(id, result) => self.finish(id, result),
                Work::Happen(unit, event) => self.perform(unit, event),
                Work::Moved(unit, old, new) => self.moved(unit, old, new),
            }
        }
        if !self.started_up && self.jobs.is_empty() && self.jobs.last() > 0 {
            self.started_up = true;
            self.actions.push(Action::StartupFinished);
        }
    }

    fn run_job(&mut self, id: u32) {
        let Some(job) = self.jobs.get(id) else { return };
        let (unit, kind, active) = (job.unit, job.kind, self.active(job.unit));
        if job.running || job.blockers > 0 {
            return;
        }
        if self.graph[unit].missing {
            let name = self.graph.name(unit).to_owned();
            self.run_mut(unit).blame(Outcome::Resources, || format!("unit {name} not found"));
            return self.finish(id, JobResult::Invalid);
        }
        if kind == Kind::Start && active.is_down() {
            let settings = &self.graph[unit].unit;
            if settings.source.load != Load::Loaded {
                let reason = settings.source.error.clone();
                self.run_mut(unit).reason = reason;
                return self.finish(id, JobResult::Invalid);
            }
            let lacks = |name: &&String| self.graph.find(name).is_none_or(|other| !self.active(other).is_up());
            if let Some(name) = settings.dependencies.requisite.iter().find(lacks).cloned() {
                self.run_mut(unit).reason = format!("needs {name}, which is not up");
                return self.finish(id, JobResult::Dependency);
            }
        }
        match (kind, active) {
            (Kind::Nop, _) => self.finish(id, JobResult::Done),
            (Kind::Start, ActiveState::Active | ActiveState::Reloading) => self.finish(id, JobResult::Done),
            // It is on its way; or it has to come down first. `moved` looks again.
            (Kind::Start, ActiveState::Deactivating | ActiveState::Maintenance) => {}
            (Kind::Start, _) => self.begin_job(id, unit, Event::Start),
            (Kind::Stop, ActiveState::Inactive | ActiveState::Failed) => self.finish(id, JobResult::Done),
            (Kind::Restart, ActiveState::Inactive | ActiveState::Failed) => self.turn_into_start(id),
            (Kind::Stop | Kind::Restart, _) => self.begin_job(id, unit, Event::Stop),
            (Kind::Reload, ActiveState::Active) => self.begin_job(id, unit, Event::Reload),
            (Kind::Reload, ActiveState::Reloading | ActiveState::Activating) => {}
            (Kind::Reload, _) => self.finish(id, JobResult::Invalid),
        }
    }

    fn begin_job(&mut self, id: u32, unit: UnitId, event: Event) {
        self.jobs.set_running(id);
        self.changed_jobs.insert(id);
        let waits_already = event == Event::Start && self.run(unit).sub.active() == ActiveState::Activating;
        let settings = &self.graph[unit].unit;
        let checked = !settings.conditions.is_empty() || !settings.asserts.is_empty();
        if event == Event::Start && checked && self.service(unit).is_none() {
            return self.actions.push(Action::Check { unit });
        }
        self.begin_body(unit, event, waits_already);
    }

    /// What a unit that is no service has to look at before its start was looked at.
    pub(super) fn begin_checked(&mut self, unit: UnitId, met: bool) {
        match met {
            true => self.begin_body(unit, Event::Start, false),
            false => {
                if let Some(job) = self.jobs.of(unit) {
                    self.work.push_back(Work::Finish(job.id, JobResult::Done));
                }
            }
        }
        self.settle_work();
    }

    fn begin_body(&mut self, unit: UnitId, event: Event, waits_already: bool) {
        match &self.graph[unit].unit.body {
            Body::Service(_) | Body::Mount(_) => {
                if event == Event::Stop {
                    self.run_mut(unit).stay_down = true;
                }
                if !waits_already || matches!(self.run(unit).sub, Sub::AutoRestart | Sub::AutoRestartQueued) {
                    self.work.push_back(Work::Happen(unit, event));
                }
            }
            Body::Target => self.move_target(unit, event),
            Body::Socket { .. } | Body::Timer { .. } | Body::Path(_) => self.trigger_job(unit, event),
            Body::Scope(_) | Body::Slice(_) => self.group_job(unit, event),
        }
    }

    fn move_target(&mut self, unit: UnitId, event: Event) {
        let now = self.now;
        let run = self.run_mut(unit);
        run.stay_down = event == Event::Stop;
        if event == Event::Stop {
            return self.move_to(unit, Sub::Dead);
        }
        (run.active_since, run.active_since_real) = (now.monotonic, now.real);
        self.move_to(unit, Sub::Active);
        self.actions.extend(way_of(self.graph.name(unit)).map(Action::Power));
    }

    fn turn_into_start(&mut self, id: u32) {
        let freed = self.jobs.change(&self.graph, id, Kind::Start);
        self.changed_jobs.insert(id);
        self.work.extend(freed.into_iter().map(Work::Run));
        self.work.push_back(Work::Run(id));
    }

    /// Changes a unit's state and lets everybody know.
    pub(super) fn move_to(&mut self, unit: UnitId, sub: Sub) {
        let now = self.now;
        let old = self.active(unit);
        let new = sub.active();
        let run = self.run_mut(unit);
        run.sub = sub;
        run.changes.note(old, new, now);
        if new.is_down() && !old.is_down() {
            run.inactive_since = now.monotonic;
        }
        self.note_transient(unit);
        self.work.push_back(Work::Moved(unit, old, new));
    }

    fn moved(&mut self, unit: UnitId, old: ActiveState, new: ActiveState) {
        if let Some(job) = self.jobs.of(unit) {
            self.judge(job.id, job.kind, job.running, unit, new);
        }
        if new.is_down() && !old.is_down() {
            self.take_bound_down(unit);
            self.stop_unneeded(unit);
            self.hold_up(unit);
        }
        if self.service(unit).is_some() {
            self.tell_triggers(unit, new);
        }
    }

    /// What a unit's new state means for its job.
    fn judge(&mut self, id: u32, kind: Kind, running: bool, unit: UnitId, new: ActiveState) {
        if !running {
            return self.work.push_back(Work::Run(id));
        }
        let outcome = self.run(unit).outcome;
        match (kind, new) {
            (Kind::Start, ActiveState::Active) => self.work.push_back(Work::Finish(id, JobResult::Done)),
            // A oneshot that ended well, a condition that does not hold: nothing is wrong.
            (Kind::Start, ActiveState::Inactive) if outcome.is_fine() => {
                self.work.push_back(Work::Finish(id, JobResult::Done));
            }
            (Kind::Start, ActiveState::Inactive | ActiveState::Failed) => {
                self.work.push_back(Work::Finish(id, JobResult::Failed));
            }
            (Kind::Stop, ActiveState::Inactive | ActiveState::Failed) => {
                self.work.push_back(Work::Finish(id, JobResult::Done));
            }
            (Kind::Restart, ActiveState::Inactive | ActiveState::Failed) => self.turn_into_start(id),
            (Kind::Reload, ActiveState::Active) => self.work.push_back(Work::Finish(id, JobResult::Done)),
            (Kind::Reload, ActiveState::Inactive | ActiveState::Failed | ActiveState::Deactivating) => {
                self.work.push_back(Work::Finish(id, JobResult::Failed));
            }
            _ => {}
        }
    }

    /// Units that are bound to one that went away go, too.
    fn take_bound_down(&mut self, unit: UnitId) {
        for other in self.graph[unit].bound_by.clone() {
            let stopping = self.jobs.of(other).is_some_and(|job| job.kind == Kind::Stop);
            if self.active(other).is_down() || stopping {
                continue;
            }
            // A restart of both is under way already: it brings this one back.
            if self.jobs.of(unit).is_some_and(|job| job.kind == Kind::Start) && self.jobs.of(other).is_some() {
                continue;
            }
            if let Err(refusal) = self.submit(other, Kind::Stop, JobMode::Replace) {
                self.log(4, other, format!("cannot stop with {}: {refusal}", self.graph.name(unit)));
            }
        }
    }

    fn finish(&mut self, id: u32, result: JobResult) {
        let Some((job, freed)) = self.jobs.remove(&self.graph, id) else { return };
        self.changed_jobs.insert(id);
        self.set_alarm(job.unit, Alarm::Job, 0);
        self.note_transient(job.unit);
        if job.kind == Kind::Start && result != JobResult::Done {
            self.start_failed(&job, result);
        }
        if job.kind == Kind::Start && self.active(job.unit).is_down() {
            self.tell_triggers(job.unit, self.active(job.unit));
        }
        // Behind the jobs that fail with this one: those must not run first.
        self.work.extend(freed.into_iter().map(Work::Run));
        self.stop_unneeded(job.unit);
        self.hold_up(job.unit);
        self.graph[job.unit].upholds.clone().into_iter().for_each(|other| self.hold_up(other));
        self.actions.push(Action::JobRemoved { job, result });
    }

    /// A unit's job takes longer than it may.
    pub(super) fn job_timed_out(&mut self, unit: UnitId) {
        let Some(job) = self.jobs.of(unit).map(|job| job.id) else { return };
        let action = self.graph[unit].unit.job_timeout_action.clone();
        self.work.push_back(Work::Finish(job, JobResult::Timeout));
        self.act(unit, &action, "its job takes too long");
    }

    /// A start that failed takes with it the starts that need it.
    fn start_failed(&mut self, job: &Job, result: JobResult) {
        let unit = job.unit;
        if matches!(self.run(unit).sub, Sub::AutoRestart | Sub::AutoRestartQueued) && result != JobResult::Failed {
            self.work.push_back(Work::Happen(unit, Event::Stop));
        }
        let name = self.graph.name(unit).to_owned();
        for other in self.graph[unit].required_by.clone() {
            let Some(waiting) = self.jobs.of(other).filter(|job| job.kind == Kind::Start && !job.running) else {
                continue;
            };
            let id = waiting.id;
            // A plain requirement without an order does not wait, so it is not failed either once it is up.
            let run = self.run_mut(other);
            run.reason = format!("needs {name}, which did not start");
            self.work.push_back(Work::Finish(id, JobResult::Dependency));
        }
    }
}

/// The unit that stands for an end of the machine.
pub fn target_of(how: Shutdown) -> &'static str {
    match how {
        Shutdown::Poweroff => "poweroff.target",
        Shutdown::Reboot => "reboot.target",
        Shutdown::Halt => "halt.target",
        Shutdown::Kexec => "kexec.target",
        Shutdown::SoftReboot => "soft-reboot.target",
    }
}

/// The end of the machine that a unit stands for.
pub fn way_of(target: &str) -> Option<Shutdown> {
    let all = [Shutdown::Reboot, Shutdown::Poweroff, Shutdown::Halt, Shutdown::Kexec, Shutdown::SoftReboot];
    all.into_iter().find(|how| target_of(*how) == target)
}
