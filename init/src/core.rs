//! The core of PID 1: units, jobs and the life of services, without a single system call.
//!
//! Events with their time go in ([`Core`]'s methods), [`Action`]s come out ([`Core::take_actions`]), and whoever
//! carries them out reports back. Inside, everything that follows from an event goes through one work queue and
//! nothing calls itself. A unit has a current state ([`state::Sub`]) and, while it has a job, a desired one.
//!
//! - `state`: names of states, results; `service`: the table of a service's life; `perform`: what its steps do; `stage`:
//!   the commands around its main one.
//! - `graph`: units and edges; `transaction`: what a request means; `job`: whose turn it is; `work`: jobs to their end.
//! - `run`: the changing part of a unit; `restart`: when and how soon to start again; `notice`: what services say.
//! - `follow`: what an end brings with it; `health`: whether it does its work.
//! - `scope`: groups of others' processes; `collect`: units that come and go.
//! - `trigger`: sockets and timers; `gate`: whether a version on trial may stay.

mod collect;
mod follow;
pub mod gate;
pub mod graph;
mod health;
pub mod job;
mod notice;
mod perform;
pub mod restart;
pub mod run;
mod scope;
pub mod service;
mod stage;
pub mod state;
mod transaction;
mod trigger;
mod work;

pub use collect::Holds;
pub use work::way_of;

#[cfg(test)]
pub mod fixture;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ashlar_config::systemd::calendar::{Utc, Zone};
use ashlar_config::unit::{Body, Service, Unit};
use ashlar_control::message::Shutdown;
use serde::{Deserialize, Serialize};

use graph::Graph;
pub use graph::UnitId;
use job::{JobResult, Queue};
pub use notice::Sender;
use run::{ALARMS, Alarm, Run};
use service::Event;
pub use stage::Stage;
use state::{ActiveState, Exit, Outcome};

/// The time of an event, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Now {
    /// Since the kernel started.
    pub monotonic: u64,
    /// Since the epoch.
    pub real: u64,
}

/// What a process of a unit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The service itself.
    Main,
    /// The command of this number beside it.
    Control(Stage, usize),
    /// The health check.
    Health,
}

/// What the outside has to do. Actions of one batch are carried out in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Look whether its conditions and asserts hold, then report [`Core::condition`].
    Check { unit: UnitId },
    /// Start a process, then report [`Core::spawned`] or [`Core::not_started`].
    Spawn { unit: UnitId, role: Role },
    /// Look for the main process that a first one left behind, then report [`Core::found_main`].
    FindMain { unit: UnitId },
    /// Send the main process a signal.
    Signal { unit: UnitId, signal: i32 },
    /// Send the stop signal: to the main process or (`all`) to the whole group; then report if the group is empty.
    Terminate { unit: UnitId, signal: i32, all: bool },
    /// Kill the whole group, then report if it is empty.
    Kill { unit: UnitId },
    /// Kill one process.
    KillProcess { pid: u32 },
    /// It is down: remove what belongs to one run. `stays`: it is not about to be started again.
    Release { unit: UnitId, stays: bool },
    /// Make a scope's or slice's group and move its processes there, then report [`Core::gathered`].
    Gather { unit: UnitId },
    /// Open its sockets, then report [`Core::sockets_opened`].
    Open { unit: UnitId },
    /// Close them.
    Close { unit: UnitId },
    /// Tell (or stop telling) of traffic on them.
    Listen { unit: UnitId, on: bool },
    /// Look when a timer last fired in an earlier run of the machine, then report [`Core::stamp_read`].
    ReadStamp { unit: UnitId },
    /// Note that it fired.
    WriteStamp { unit: UnitId },
    /// Something for people.
    Log { level: u8, unit: Option<UnitId>, text: String },
    /// A job was queued.
    JobNew { job: job::Job },
    /// A job has ended.
    JobRemoved { job: job::Job, result: JobResult },
    /// Nothing is queued any more for the first time.
    StartupFinished,
    /// All is down: end the machine.
    Power(Shutdown),
    /// End the machine because a unit says so.
    Down { unit: UnitId, how: Shutdown, urgency: Urgency },
}

/// How little is taken care of on the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// All units are stopped.
    No,
    /// Processes are killed, file systems unmounted.
    Force,
    /// Nothing.
    Immediate,
}

/// What is left to do before the next event.
#[derive(Debug)]
enum Work {
    /// See whether the job's turn has come.
    Run(u32),
    /// End a job.
    Finish(u32, JobResult),
    /// A service's event.
    Happen(UnitId, Event),
    /// A unit went from one state to another.
    Moved(UnitId, ActiveState, ActiveState),
}

/// Everything PID 1 knows about units.
pub struct Core {
    pub graph: Graph,
    runs: Vec<Run>,
    pub jobs: Queue,
    now: Now,
    work: VecDeque<Work>,
    actions: Vec<Action>,
    alarms: BTreeSet<(u64, UnitId, Alarm)>,
    processes: BTreeMap<u32, (UnitId, Role)>,
    /// Units and jobs that are no longer as the last snapshot has them.
    changed: BTreeSet<UnitId>,
    changed_jobs: BTreeSet<u32>,
    /// Transient units that went down, or lost a job or a holder, since somebody looked.
    transient: BTreeSet<UnitId>,
    /// Units that were read from a file because somebody asked for them, and when.
    looked_at: BTreeMap<UnitId, u64>,
    started_up: bool,
    seed: u64,
    /// Local time.
    zone: &'static (dyn Zone + Sync),
}

impl Core {
    /// A core over `units`, all of them down, and what was wrong with them. `seed` makes invocation ids unlike.
    pub fn new(units: Vec<Unit>, seed: u64) -> (Self, Vec<String>) {
        let (graph, complaints) = Graph::new(units);
        let runs = graph.ids().map(|_| Run::default()).collect();
        let mut core = Self {
            graph,
            runs,
            jobs: Queue::default(),
            now: Now::default(),
            work: VecDeque::new(),
            actions: Vec::new(),
            alarms: BTreeSet::new(),
            processes: BTreeMap::new(),
            changed: BTreeSet::new(),
            changed_jobs: BTreeSet::new(),
            transient: BTreeSet::new(),
            looked_at: BTreeMap::new(),
            started_up: false,
            seed,
            zone: &Utc,
        };
        core.begin_perpetual(crate::builtin::is_perpetual);
        (core, complaints)
    }

    /// What local time is.
    pub fn set_zone(&mut self, zone: &'static (dyn Zone + Sync)) {
        self.zone = zone;
    }

    /// The time from which the next events count.
    pub fn set_now(&mut self, now: Now) {
        self.now = now;
    }

    /// The time of the event that is being handled.
    pub fn now(&self) -> Now {
        self.now
    }

    /// What a unit is like now.
    pub fn run(&self, unit: UnitId) -> &Run {
        &self.runs[unit.0 as usize]
    }

    fn run_mut(&mut self, unit: UnitId) -> &mut Run {
        self.changed.insert(unit);
        &mut self.runs[unit.0 as usize]
    }

    /// Coarse state of a unit.
    pub fn active(&self, unit: UnitId) -> ActiveState {
        self.run(unit).sub.active()
    }

    /// A unit's settings as a service, if it is one.
    pub fn service(&self, unit: UnitId) -> Option<&Service> {
        match &self.graph[unit].unit.body {
            Body::Service(service) => Some(service),
            Body::Mount(mount) => Some(&mount.service),
            _ => None,
        }
    }

    /// What is to be done now. Call it after each event until it is empty.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// When the core wants to be woken at the latest.
    pub fn next_alarm(&self) -> Option<u64> {
        self.alarms.first().map(|(at, _, _)| *at)
    }

    /// Lets every time-out pass that is over.
    pub fn tick(&mut self) {
        while let Some((at, unit, alarm)) = self.alarms.first().copied()
            && at <= self.now.monotonic
        {
            self.set_alarm(unit, alarm, 0);
            self.alarmed(unit, alarm);
            self.settle_work();
        }
    }

    fn alarmed(&mut self, unit: UnitId, alarm: Alarm) {
        match alarm {
            Alarm::State if self.scope(unit).is_some() => self.scope_timed_out(unit),
            Alarm::State => self.timed_out(unit),
            Alarm::Watchdog => {
                let silence = self.watchdog_of(unit) / 1_000_000;
                self.run_mut(unit).blame(Outcome::Watchdog, || format!("silent for {silence} s (watchdog)"));
                self.work.push_back(Work::Happen(unit, Event::Unwell));
            }
            Alarm::Health => self.check_health(unit),
            Alarm::Clock => self.fire(unit),
            Alarm::Find => self.actions.push(Action::FindMain { unit }),
            Alarm::Job => self.job_timed_out(unit),
        }
    }

    /// Sets an alarm, or clears it with 0 or an infinite time.
    fn set_alarm(&mut self, unit: UnitId, alarm: Alarm, at: u64) {
        let at = if at == u64::MAX { 0 } else { at };
        let index = ALARMS.iter().position(|a| *a == alarm).unwrap_or(0);
        let old = std::mem::replace(&mut self.run_mut(unit).alarms[index], at);
        if old != 0 {
            self.alarms.remove(&(old, unit, alarm));
        }
        if at != 0 {
            self.alarms.insert((at, unit, alarm));
        }
    }

    /// Longest silence that the service is allowed, in microseconds; 0: any.
    pub fn watchdog_usec(&self, unit: UnitId) -> u64 {
        self.watchdog_of(unit)
    }

    /// The answer to [`Action::Check`]: whether its conditions and its asserts hold.
    pub fn condition(&mut self, unit: UnitId, conditions: bool, asserts: bool) {
        let now = self.now;
        let run = self.run_mut(unit);
        (run.unmet, run.condition) = (!conditions, now);
        let start = self.jobs.of(unit).filter(|job| job.kind == job::Kind::Start).map(|job| job.id);
        if let Some(job) = start.filter(|_| !asserts) {
            self.run_mut(unit).reason = "what it asserts does not hold".into();
            self.work.push_back(Work::Finish(job, JobResult::Assert));
        }
        let met = conditions && asserts;
        match self.service(unit).is_some() {
            true => self.happen(unit, if met { Event::Met } else { Event::Unmet }),
            false => self.begin_checked(unit, met),
        }
    }

    /// A process ended. Says whether it was one of a unit's known ones.
    pub fn exited(&mut self, pid: u32, exit: Exit) -> bool {
        let Some((unit, role)) = self.processes.remove(&pid) else { return false };
        self.process_ended(unit, role, exit);
        self.settle_work();
        true
    }

    /// Whose process this is.
    pub fn owner(&self, pid: u32) -> Option<(UnitId, Role)> {
        self.processes.get(&pid).copied()
    }

    /// A unit's control group is empty.
    pub fn emptied(&mut self, unit: UnitId) {
        if self.scope(unit).is_some() {
            self.scope_emptied(unit);
            return self.settle_work();
        }
        self.happen(unit, Event::Empty);
    }

    /// Does what follows from changes that are no events.
    pub fn follow_up(&mut self) {
        self.settle_work();
    }

    fn happen(&mut self, unit: UnitId, event: Event) {
        self.work.push_back(Work::Happen(unit, event));
        self.settle_work();
    }

    fn log(&mut self, level: u8, unit: UnitId, text: String) {
        self.actions.push(Action::Log { level, unit: Some(unit), text });
    }

    /// Units whose [`Run`] changed since the last call, and jobs that came, changed or went.
    pub fn take_changed(&mut self) -> (BTreeSet<UnitId>, BTreeSet<u32>) {
        (std::mem::take(&mut self.changed), std::mem::take(&mut self.changed_jobs))
    }

    /// Takes over what an earlier instance knew of a unit.
    pub fn restore_run(&mut self, unit: UnitId, run: Run) {
        for (alarm, at) in ALARMS.into_iter().zip(run.alarms) {
            if at != 0 {
                self.alarms.insert((at, unit, alarm));
            }
        }
        let stage = Stage::in_state(run.sub).unwrap_or(Stage::Pre);
        let control = Role::Control(stage, run.next.saturating_sub(1));
        for (pid, role) in [(run.main, Role::Main), (run.control, control), (run.health, Role::Health)] {
            if pid != 0 {
                self.processes.insert(pid, (unit, role));
            }
        }
        *self.run_mut(unit) = run;
    }

    /// Takes over a job of an earlier instance. Call it after every unit was restored.
    pub fn restore_job(&mut self, job: job::Job) {
        let id = job.id;
        self.changed_jobs.insert(id);
        self.jobs.restore(&self.graph, job);
        self.work.push_back(Work::Run(id));
    }

    /// Says that startup was over already, and goes on with what was restored.
    pub fn resume(&mut self, started_up: bool) {
        self.started_up = started_up;
        self.settle_work();
    }

    /// Whether all that booting brought with it has ended.
    pub fn is_started_up(&self) -> bool {
        self.started_up
    }

    /// 32 hex digits, unlike any before (splitmix64 over the seed).
    fn new_invocation(&mut self) -> String {
        let mut word = || {
            self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        format!("{:016x}{:016x}", word(), word())
    }
}
