//! What PID 1 tells of the machine, its units and its jobs.

use ashlar_config::unit::Body;
use ashlar_control::status;

use super::Machine;
use crate::cgroup::{self, Usage};
use crate::core::job::Job;
use crate::core::run::Alarm;
use crate::core::state::{Exit, Sub};
use crate::core::{Now, UnitId};
use crate::facts;
use crate::log;

/// How much of a unit is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// What changes by itself.
    Change,
    /// And what it uses.
    Usage,
    /// And its dependencies.
    All,
}

/// The words that kinds have of their own for states that they share (systemd.mount(5)).
fn sub_of(body: &Body, sub: Sub) -> &'static str {
    match (body, sub) {
        (Body::Mount(_), Sub::StartPre | Sub::Start) => "mounting",
        (Body::Mount(_), Sub::Exited) => "mounted",
        (Body::Mount(_), Sub::Stop | Sub::StopSigterm | Sub::StopSigkill | Sub::FinalSigterm) => "unmounting",
        _ => sub.name(),
    }
}

fn stamp(at: Now) -> status::Stamp {
    status::Stamp { real: at.real, monotonic: at.monotonic }
}

impl Machine {
    pub(super) fn machine_status(&self) -> status::Machine {
        let unwell: Vec<status::Unit> = self.unwell().map(|unit| self.unit_status(unit, Detail::Usage)).collect();
        let state = match () {
            () if self.going_down.is_some() => "stopping",
            () if !self.core.is_started_up() => "starting",
            () if unwell.is_empty() => "running",
            () => "degraded",
        };
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        status::Machine {
            version: self.facts.version.clone(),
            slot: self.facts.slot.clone(),
            root_hash: self.facts.root_hash.clone(),
            state: state.into(),
            hostname: hostname.trim().into(),
            log_level: log::LEVELS.get(usize::from(self.log.level)).copied().unwrap_or_default().into(),
            uptime: self.core.now().monotonic / 1_000_000,
            boot_usec: self.facts.boot_usec,
            init_usec: self.began,
            soft_reboots: self.facts.soft_reboots,
            userspace_usec: self.ready_after,
            active: self.loaded().filter(|unit| self.core.active(*unit).is_up()).count() as u32,
            unwell,
            problems: facts::problems(),
            default_target: self.default_target(),
            commit: self.trial.word().into(),
            sessions: self.sessions.remote(),
            booted: self.facts.booted.as_ref().map(|booted| booted.version.clone()).unwrap_or_default(),
            waiting: self.live.as_ref().map(|live| live.waiting().to_vec()).unwrap_or_default(),
            environment: self.gifts.environment.clone().into_iter().collect(),
        }
    }

    fn loaded(&self) -> impl Iterator<Item = UnitId> {
        self.core.graph.ids().filter(|unit| !self.core.graph[*unit].missing)
    }

    /// Units that failed or wait to be started again.
    pub(super) fn unwell(&self) -> impl Iterator<Item = UnitId> {
        self.loaded()
            .filter(|unit| matches!(self.core.run(*unit).sub, Sub::Failed | Sub::AutoRestart | Sub::AutoRestartQueued))
    }

    pub(super) fn units_status(&self) -> Vec<status::Unit> {
        let mut units: Vec<status::Unit> = self.loaded().map(|unit| self.unit_status(unit, Detail::Usage)).collect();
        units.sort_by(|a, b| a.name.cmp(&b.name));
        units
    }

    pub(super) fn unit_status(&self, unit: UnitId, detail: Detail) -> status::Unit {
        let node = &self.core.graph[unit];
        let run = self.core.run(unit);
        let has_group = self.has_group(unit);
        let control_group = if has_group { self.group_of(unit) } else { String::new() };
        // Those who are told of every change look for themselves.
        let usage =
            if has_group && detail != Detail::Change { cgroup::usage(&control_group) } else { Usage::default() };
        status::Unit {
            name: node.unit.name.clone(),
            aliases: node.unit.aliases.clone(),
            description: node.unit.description.clone(),
            load: if node.missing { "not-found" } else { node.unit.source.load.name() }.into(),
            active: run.sub.active().name().into(),
            sub: sub_of(&node.unit.body, run.sub).into(),
            result: run.outcome.name().into(),
            reason: run.reason.clone(),
            status_text: run.status_text.clone(),
            main_pid: run.main,
            control_pid: run.control,
            exit_code: run.exit.map_or(0, Exit::code),
            exit_status: run.exit.map_or(0, Exit::status),
            main_started: stamp(run.main_started),
            main_ended: stamp(run.main_ended),
            restarts: run.restarts,
            restart_pause: self.core.restart_pause(unit),
            active_since: run.active_since_real,
            active_since_monotonic: run.active_since,
            changes: status::Changes {
                state: stamp(run.changes.state),
                inactive_exit: stamp(run.changes.inactive_exit),
                active_enter: stamp(run.changes.active_enter),
                active_exit: stamp(run.changes.active_exit),
                inactive_enter: stamp(run.changes.inactive_enter),
                condition: stamp(run.condition),
            },
            // One that was never looked at has not held; one that needs none holds with the start.
            condition: !run.unmet && (run.condition.monotonic != 0 || run.began != 0 || run.active_since != 0),
            fired: status::Stamp { real: run.fired_real, monotonic: run.fired },
            next_elapse: if matches!(node.unit.body, Body::Timer { .. }) { run.alarm(Alarm::Clock) } else { 0 },
            connections: match &node.unit.body {
                Body::Socket { service, accept: Some(_), .. } => self.core.instances(service).count() as u32,
                _ => 0,
            },
            accepted: run.accepted,
            refused: run.refused,
            fd_stored: self.stores.get(&unit).map_or(0, |store| store.len() as u32),
            next_real: if matches!(node.unit.body, Body::Timer { .. }) { run.next_real } else { 0 },
            transient: node.unit.transient,
            start_usec: run.start_usec,
            control_group,
            memory: usage.memory,
            cpu_nsec: usage.cpu,
            tasks: usage.tasks,
            invocation_id: run.invocation.clone(),
            dependencies: if detail == Detail::All { self.edges(unit) } else { Vec::new() },
        }
    }

    fn edges(&self, unit: UnitId) -> Vec<(String, String)> {
        let node = &self.core.graph[unit];
        let kinds = [
            ("Requires", &node.requires),
            ("Wants", &node.wants),
            ("Upholds", &node.upholds),
            ("BindsTo", &node.binds_to),
            ("Conflicts", &node.conflicts),
            ("After", &node.after),
            ("Before", &node.before),
            ("TriggeredBy", &node.triggers),
            ("RequiredBy", &node.required_by),
            ("WantedBy", &node.wanted_by),
            ("UpheldBy", &node.upheld_by),
            ("BoundBy", &node.bound_by),
            ("ConsistsOf", &node.parts),
        ];
        let edges = kinds.into_iter().flat_map(|(kind, units)| units.iter().map(move |other| (kind, *other)));
        let part_of = node.unit.dependencies.part_of.iter().filter_map(|name| self.core.graph.find(name));
        edges
            .chain(part_of.map(|other| ("PartOf", other)))
            .map(|(kind, other)| (kind.to_owned(), self.name(other)))
            .collect()
    }

    pub(super) fn job_message(&self, job: &Job) -> status::Job {
        status::Job {
            id: job.id,
            unit: self.name(job.unit),
            kind: job.kind.name().into(),
            state: if job.running { "running" } else { "waiting" }.into(),
        }
    }

    /// `: WHY` for messages, or nothing.
    pub(super) fn reason(&self, unit: UnitId) -> String {
        let reason = &self.core.run(unit).reason;
        if reason.is_empty() { String::new() } else { format!(": {reason}") }
    }
}
