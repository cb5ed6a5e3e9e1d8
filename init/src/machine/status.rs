//! What PID 1 tells of the machine, its units and its jobs.

use ashlar_control::status;

use super::Machine;
use crate::cgroup;
use crate::core::UnitId;
use crate::core::job::Job;
use crate::core::state::{ActiveState, Sub};
use crate::facts;

impl Machine {
    pub(super) fn machine_status(&self) -> status::Machine {
        let unwell: Vec<status::Unit> = self.unwell().map(|unit| self.unit_status(unit, false)).collect();
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
            uptime: self.core.now().monotonic / 1_000_000,
            userspace_usec: self.ready_after,
            active: self.loaded().filter(|unit| self.core.active(*unit).is_up()).count() as u32,
            unwell,
            problems: facts::problems(),
            commit: self.trial.word().into(),
            sessions: self.sessions.remote(),
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
        let mut units: Vec<status::Unit> = self.loaded().map(|unit| self.unit_status(unit, false)).collect();
        units.sort_by(|a, b| a.name.cmp(&b.name));
        units
    }

    /// `edges`: with its dependencies.
    pub(super) fn unit_status(&self, unit: UnitId, edges: bool) -> status::Unit {
        let node = &self.core.graph[unit];
        let run = self.core.run(unit);
        let is_service = self.core.service(unit).is_some();
        let runs = is_service && !matches!(self.core.active(unit), ActiveState::Inactive | ActiveState::Failed);
        let control_group = if runs { self.group_of(unit) } else { String::new() };
        let usage = if runs { cgroup::usage(&control_group) } else { cgroup::Usage::default() };
        status::Unit {
            name: node.unit.name.clone(),
            description: node.unit.description.clone(),
            load: if node.missing { "not-found" } else { "loaded" }.into(),
            active: run.sub.active().name().into(),
            sub: run.sub.name().into(),
            result: run.outcome.name().into(),
            reason: run.reason.clone(),
            status_text: run.status_text.clone(),
            main_pid: run.main,
            exit_status: run.exit.map_or(0, |exit| exit.status()),
            restarts: run.restarts,
            active_since: run.active_since_real,
            active_since_monotonic: run.active_since,
            start_usec: run.start_usec,
            control_group,
            memory: usage.memory,
            cpu_nsec: usage.cpu,
            tasks: usage.tasks,
            invocation_id: run.invocation.clone(),
            dependencies: if edges { self.edges(unit) } else { Vec::new() },
        }
    }

    fn edges(&self, unit: UnitId) -> Vec<(String, String)> {
        let node = &self.core.graph[unit];
        let kinds = [
            ("Requires", &node.requires),
            ("Wants", &node.wants),
            ("BindsTo", &node.binds_to),
            ("Conflicts", &node.conflicts),
            ("After", &node.after),
            ("Before", &node.before),
            ("TriggeredBy", &node.triggers),
        ];
        let edges = kinds.into_iter().flat_map(|(kind, units)| units.iter().map(move |other| (kind, *other)));
        edges.map(|(kind, other)| (kind.to_owned(), self.name(other))).collect()
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
