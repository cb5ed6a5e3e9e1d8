//! The snapshot: what is written after each turn, and how a new instance goes on from it.
//!
//! Keys: `m` the machine, `f` that unit files are read, `f:UNIT` a unit that is not as the image has it, `h` who holds which units, `e` the environment of commands on the host, `n` the newest job's number, `u:UNIT` a unit's run, `j:ID` a job, `p:UNIT` a socket unit's
//! descriptors, `t:UNIT` a unit that was made meanwhile, `s:UNIT` a service's store, `c:ID` a caller, `l:ID` a session. Descriptors are numbers that stay open over the execution; all
//! others are closed by the new instance, which also ends what was half begun (see [`Machine::adopt`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use ashlar_config::unit::Body;
use ashlar_control::message::Event;
use ashlar_sys::{descriptor, epoll};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Machine;
use super::status::Detail;
use crate::builtin;
use crate::cgroup;
use crate::control::Kept;
use crate::core::job::{Job, Kind};
use crate::core::run::Run;
use crate::core::state::{ActiveState, Sub};
use crate::core::{Role, UnitId};
use crate::event::Event as Ready;
use crate::log::{self, Log};
use crate::ports::Port;
use crate::snapshot::Snapshot;
use crate::store::Stored;
use crate::survival::Legacy;

/// What an earlier instance left.
#[derive(Default)]
pub struct Inherited {
    snapshot: Option<Snapshot>,
    records: BTreeMap<String, Value>,
    machine: SavedMachine,
    /// There was a state, and it could not be read.
    lost: bool,
}

/// The machine itself.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SavedMachine {
    notify: Option<RawFd>,
    control: Option<RawFd>,
    watchdog: Option<RawFd>,
    started_up: bool,
    began: u64,
    ready_after: u64,
    going_down: Option<ashlar_control::message::Shutdown>,
    /// Executions by faults, the latest last, in microseconds of the monotonic clock.
    last_start: u64,
    restarts: u32,
    log_level: Option<u8>,
}

#[derive(Serialize, Deserialize)]
struct SavedJob {
    unit: String,
    kind: Kind,
    running: bool,
    irreversible: bool,
    unordered: bool,
}

/// A descriptor with its name.
#[derive(Serialize, Deserialize)]
struct SavedDescriptor {
    name: String,
    fd: RawFd,
    #[serde(default)]
    keep: bool,
    #[serde(default)]
    place: u16,
}

fn take_fd(fd: RawFd) -> Option<OwnedFd> {
    descriptor::adopt(fd).ok()
}

impl Inherited {
    /// What `legacy` names; nothing but what runs if that cannot be read, or if others failed with it.
    pub fn of(legacy: Legacy, log: &mut Log) -> Self {
        let read = match legacy.is_credible() {
            true => Self::read(legacy.snapshot),
            false => Err(io::Error::other("it made too many instances fail")),
        };
        read.unwrap_or_else(|error| {
            let text = format!("cannot go on from the state that was left: {error}; adopting what runs");
            log.say(log::ERROR, None, &text);
            let inherited = Self { lost: true, ..Self::default() };
            inherited.close_others(-1);
            inherited
        })
    }

    /// There was a state, but it could not be read: what runs is adopted, and the rest booted.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Reads what `fd` holds and closes every descriptor that it does not name.
    fn read(fd: RawFd) -> io::Result<Self> {
        let file = File::from(descriptor::adopt(fd)?);
        let (snapshot, records) = Snapshot::load(file)?;
        let machine = records.get("m").and_then(parse).unwrap_or_default();
        let inherited = Self { snapshot: Some(snapshot), records, machine, lost: false };
        inherited.close_others(fd);
        Ok(inherited)
    }

    fn close_others(&self, own: RawFd) {
        let mut named: BTreeSet<RawFd> = BTreeSet::from([own]);
        let machine = &self.machine;
        named.extend([machine.notify, machine.control, machine.watchdog].into_iter().flatten());
        for (key, value) in &self.records {
            match key.split(':').next() {
                Some("p" | "s") => {
                    named.extend(parse::<Vec<SavedDescriptor>>(value).into_iter().flatten().map(|saved| saved.fd));
                }
                Some("c") => named.extend(parse::<Kept>(value).map(|kept| kept.fd)),
                _ => {}
            }
        }
        let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
        let open: Vec<RawFd> = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect();
        for fd in open.into_iter().filter(|fd| *fd > 2) {
            if named.contains(&fd) {
                let _ = descriptor::close_on_exec(fd);
            } else {
                descriptor::close(fd);
            }
        }
    }

    /// One of the machine's own descriptors.
    pub(super) fn take(&mut self, name: &str) -> Option<OwnedFd> {
        let fd = match name {
            "notify" => self.machine.notify.take(),
            "control" => self.machine.control.take(),
            _ => self.machine.watchdog.take(),
        };
        fd.and_then(take_fd)
    }

    pub(super) fn snapshot(&mut self) -> io::Result<Snapshot> {
        self.snapshot.take().map_or_else(Snapshot::create, Ok)
    }

    fn named<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.records.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value)))
    }
}

fn parse<T: DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

/// More executions than this in a minute mean that something is badly wrong; going on slowly is still the best.
const MANY: u32 = 1000;
const MINUTE: u64 = 60_000_000;

impl Machine {
    /// Writes what changed since the last time.
    pub(super) fn save(&mut self) {
        let (units, jobs) = self.core.take_changed();
        let watched = self.connections_watch();
        let mut changes = Vec::new();
        // A name that only others have said is no unit: nobody is told of it, and so nobody would be told that it went.
        for unit in units.into_iter().filter(|unit| !self.core.graph[*unit].missing) {
            let key = format!("u:{}", self.core.graph.name(unit));
            self.snapshot.put(&key, self.core.run(unit));
            if watched {
                changes.push(Event::Unit(Box::new(self.unit_status(unit, Detail::Change))));
            }
        }
        for job in jobs.iter().filter_map(|id| self.core.jobs.get(*id)).filter(|job| watched && job.running) {
            changes.push(Event::Job(self.job_message(job)));
        }
        self.tell_all(changes);
        self.collect();
        self.tell_all(Vec::new());
        if !jobs.is_empty() {
            self.snapshot.put("n", &self.core.jobs.last());
        }
        for id in jobs {
            let key = format!("j:{id}");
            match self.core.jobs.get(id) {
                Some(job) => self.snapshot.put(&key, &self.saved_job(job)),
                None => self.snapshot.remove(&key),
            }
        }
        // Replies go out first: one that the snapshot takes for given would never be sent after a fault.
        self.flush();
        if let Err(error) = self.snapshot.commit() {
            self.log.say(log::ERROR, None, &format!("cannot save the state: {error}"));
        }
    }

    fn connections_watch(&self) -> bool {
        !self.connections.waiting_for(crate::control::Waiting::Watch).is_empty()
    }

    fn saved_job(&self, job: &Job) -> SavedJob {
        SavedJob {
            unit: self.name(job.unit),
            kind: job.kind,
            running: job.running,
            irreversible: job.irreversible,
            unordered: job.unordered,
        }
    }

    pub(super) fn save_machine(&mut self) {
        let machine = SavedMachine {
            notify: Some(self.notify.as_raw_fd()),
            control: Some(self.control.as_raw_fd()),
            watchdog: self.watchdog.descriptor(),
            started_up: self.core.is_started_up(),
            began: self.began,
            ready_after: self.ready_after,
            going_down: self.going_down,
            last_start: self.core.now().monotonic,
            restarts: self.restarts,
            log_level: Some(self.log.level),
        };
        for fd in [machine.notify, machine.control, machine.watchdog].into_iter().flatten() {
            crate::survival::keep(fd);
        }
        self.snapshot.put("m", &machine);
    }

    pub(super) fn save_ports(&mut self, unit: UnitId) {
        let key = format!("p:{}", self.core.graph.name(unit));
        let Some(ports) = self.ports.get(&unit) else { return self.snapshot.remove(&key) };
        let saved = ports.iter().map(|port| SavedDescriptor {
            name: port.name.clone(),
            fd: port.fd.as_raw_fd(),
            keep: false,
            place: 0,
        });
        let saved: Vec<SavedDescriptor> = saved.inspect(|saved| crate::survival::keep(saved.fd)).collect();
        self.snapshot.put(&key, &saved);
    }

    pub(super) fn save_store(&mut self, unit: UnitId) {
        // How many there are is part of its state.
        self.core.touch(unit);
        let key = format!("s:{}", self.core.graph.name(unit));
        let Some(store) = self.stores.get(&unit).filter(|store| !store.is_empty()) else {
            return self.snapshot.remove(&key);
        };
        let saved = store.iter().map(|stored| SavedDescriptor {
            name: stored.name.clone(),
            fd: stored.fd.as_raw_fd(),
            keep: stored.keep,
            place: stored.place,
        });
        let saved: Vec<SavedDescriptor> = saved.inspect(|saved| crate::survival::keep(saved.fd)).collect();
        self.snapshot.put(&key, &saved);
    }

    /// Goes on from what an earlier instance left; on a first start there is nothing.
    pub(super) fn come_back(&mut self, inherited: Inherited) {
        let first = inherited.records.is_empty() && !inherited.lost;
        self.going_down = inherited.machine.going_down;
        self.ready_after = inherited.machine.ready_after;
        self.log.level = inherited.machine.log_level.unwrap_or(self.log.level);
        if !first {
            self.began = inherited.machine.began;
        }
        self.count_restart(&inherited.machine);
        if let Some(value) = inherited.records.get("e") {
            self.restore_environment(value);
        }
        if inherited.records.contains_key("f") {
            self.restore_files();
        }
        for (_, value) in inherited.named("f:") {
            self.restore_file_unit(value);
        }
        for (_, value) in inherited.named("t:") {
            self.restore_transient(value);
        }
        for (name, value) in inherited.named("u:") {
            if let (Some(unit), Some(run)) = (self.core.graph.find(name), parse::<Run>(value)) {
                self.core.restore_run(unit, run);
            }
        }
        for (name, value) in inherited.named("p:") {
            self.restore_ports(name, value);
        }
        for (name, value) in inherited.named("s:") {
            self.restore_store(name, value);
        }
        for (id, value) in inherited.named("l:") {
            self.restore_session(id, value);
        }
        for (id, value) in inherited.named("c:") {
            self.restore_caller(id, value);
        }
        if let Some(value) = inherited.records.get("h") {
            self.restore_holds(value);
        }
        if !first {
            let last = inherited.records.get("n").and_then(Value::as_u64).unwrap_or(0);
            self.core.jobs.count_from(last as u32);
            for (id, value) in inherited.named("j:") {
                self.restore_job(id, value);
            }
            self.core.resume(inherited.machine.started_up);
            // Behind the jobs: what it finds out ends some of them.
            self.adopt(inherited.lost);
            self.log.say(log::WARNING, None, "executed anew, with every service still running");
        }
        self.save_machine();
        self.carry_out();
        self.children_ended();
    }

    fn count_restart(&mut self, machine: &SavedMachine) {
        let now = self.core.now().monotonic;
        let soon = machine.last_start != 0 && now.saturating_sub(machine.last_start) < MINUTE;
        self.restarts = if soon { machine.restarts.saturating_add(1) } else { 0 };
        if self.restarts > MANY {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
    }

    fn restore_job(&mut self, id: &str, value: &Value) {
        let (Ok(id), Some(saved)) = (id.parse(), parse::<SavedJob>(value)) else { return };
        let Some(unit) = self.core.graph.find(&saved.unit) else { return };
        self.core.restore_job(Job {
            id,
            unit,
            kind: saved.kind,
            running: saved.running,
            blockers: 0,
            irreversible: saved.irreversible,
            unordered: saved.unordered,
        });
    }

    fn restore_ports(&mut self, name: &str, value: &Value) {
        let (Some(unit), Some(saved)) = (self.core.graph.find(name), parse::<Vec<SavedDescriptor>>(value)) else {
            return;
        };
        let ports = saved.into_iter().filter_map(|saved| Some(Port { name: saved.name, fd: take_fd(saved.fd)? }));
        self.ports.insert(unit, ports.collect());
        self.save_ports(unit);
        self.listen(unit, self.core.run(unit).sub == Sub::Listening);
    }

    fn restore_store(&mut self, name: &str, value: &Value) {
        let (Some(unit), Some(saved)) = (self.core.graph.find(name), parse::<Vec<SavedDescriptor>>(value)) else {
            return;
        };
        let stored = saved.into_iter().filter_map(|saved| {
            let fd = take_fd(saved.fd)?;
            Some(Stored { name: saved.name, fd, keep: saved.keep, place: saved.place })
        });
        let store: Vec<Stored> = stored.collect();
        for stored in store.iter().filter(|stored| !stored.keep) {
            let _ = self.epoll.add(&stored.fd, Ready::StoredHangup(unit.0, stored.place).token(), 0);
        }
        self.stores.insert(unit, store);
        self.save_store(unit);
    }

    fn restore_caller(&mut self, id: &str, value: &Value) {
        let (Ok(id), Some(kept)) = (id.parse::<u32>(), parse::<Kept>(value)) else { return };
        let Some(fd) = take_fd(kept.fd) else { return };
        if !kept.is_complete() {
            // A call of it may have been lost with the turn. Hanging up says so; silence would not.
            return self.snapshot.remove(&format!("c:{id}"));
        }
        crate::survival::keep(kept.fd);
        self.connections.restore(id, fd, kept);
        // Asked about writing only if there is something to write: most callers can always take more.
        let behind = self.connections.get(id).is_some_and(|connection| connection.has_output());
        self.watch_caller(id, if behind { epoll::READ | epoll::WRITE } else { epoll::READ });
        self.talking.insert(id);
    }

    /// Holds what the snapshot says against what runs. A fault may have come between the start of a process and the end
    /// of the turn: its group is populated though its unit is down, or starting without a main process. A process that
    /// has not executed its program yet lost its other half (us) and is killed; one that has is the main process.
    /// `lost`: nothing is known of how far they were; who runs is ready.
    fn adopt(&mut self, lost: bool) {
        let own = fs::read_link("/proc/self/exe").ok();
        let ours = Self::children();
        for unit in self.core.graph.ids().collect::<Vec<_>>() {
            if self.core.service(unit).is_none() {
                self.adopt_group(unit);
                continue;
            }
            let group = self.group_of(unit);
            if !cgroup::path(&group).is_dir() {
                self.forget_lost(unit);
                continue;
            }
            self.watch_group(unit, &group);
            let run = self.core.run(unit);
            let headless = run.main == 0 && run.control == 0;
            let begun =
                matches!(run.sub, Sub::Dead | Sub::Failed | Sub::AutoRestart | Sub::Start | Sub::AutoRestartQueued);
            if !(headless && begun) {
                self.check_main(unit, &ours);
                continue;
            }
            let children: Vec<u32> = cgroup::processes(&group).into_iter().filter(|pid| ours.contains(pid)).collect();
            let executed = |pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).ok() != own;
            match children.first().filter(|pid| children.len() == 1 && executed(pid)) {
                Some(pid) => self.adopt_main(unit, *pid, lost),
                None => drop(cgroup::kill(&group)),
            }
        }
    }

    /// A scope or slice that is there is watched again; one whose processes ended in the meantime ends now.
    fn adopt_group(&mut self, unit: UnitId) {
        let has_group = matches!(&self.core.graph[unit].unit.body, Body::Scope(_) | Body::Slice(_));
        if !has_group || self.core.active(unit).is_down() || builtin::is_perpetual(self.core.graph.name(unit)) {
            return;
        }
        let group = self.group_of(unit);
        if cgroup::path(&group).is_dir() {
            self.watch_group(unit, &group);
        }
        if self.core.scope(unit).is_some() {
            self.report_if_empty(unit);
        }
    }

    fn adopt_main(&mut self, unit: UnitId, pid: u32, ready: bool) {
        let name = self.name(unit);
        self.log.say(log::WARNING, Some(&name), &format!("adopted process {pid}"));
        let is_init = super::ended::is_namespace_init(pid);
        self.core.adopt(unit, pid, is_init, ready);
    }

    /// A main process that is not our child has to be watched anew; one that was being set up is looked at.
    fn check_main(&mut self, unit: UnitId, ours: &BTreeSet<u32>) {
        let main = self.core.run(unit).main;
        if main != 0 && !ours.contains(&main) {
            self.watch_foreign(main);
        }
        // An end of set-up that nobody told us of: it has executed its program, or its end is on the way.
        if self.core.run(unit).sub == Sub::Start && main != 0 {
            let own = fs::read_link("/proc/self/exe").ok();
            if fs::read_link(format!("/proc/{main}/exe")).ok() == own {
                let _ = cgroup::kill(&self.group_of(unit));
            } else {
                self.core.executed(unit);
            }
        }
        if self.core.active(unit) == ActiveState::Deactivating {
            self.report_if_empty(unit);
        }
    }

    /// A unit whose group is gone although it should have one.
    fn forget_lost(&mut self, unit: UnitId) {
        let deactivating = self.core.active(unit) == ActiveState::Deactivating;
        if deactivating {
            self.core.emptied(unit);
        }
        if self.core.run(unit).sub == Sub::Start && self.core.run(unit).main == 0 {
            self.core.not_started(unit, Role::Main, "PID 1 failed while it started it");
        }
    }
}
