//! What a job brings with it: all the jobs that one request means, found before any is queued.
//!
//! A worklist, no recursion. Either the whole set can be queued or none of it is.

use std::collections::{BTreeMap, VecDeque};

use ashlar_control::message::{JobMode, Refusal};

use super::graph::{Graph, UnitId};
use super::job::{Kind, Queue};
use super::state::ActiveState;

/// The jobs of one request, by unit.
pub type Plan = BTreeMap<UnitId, Planned>;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    pub kind: Kind,
    /// The request fails without it.
    pub matters: bool,
}

/// What planning looks at.
pub struct Situation<'a> {
    pub graph: &'a Graph,
    pub queue: &'a Queue,
    pub active: &'a dyn Fn(UnitId) -> ActiveState,
}

impl Situation<'_> {
    /// All that `kind` of `anchor` means.
    pub fn plan(&self, anchor: UnitId, kind: Kind, mode: JobMode) -> Result<Plan, Refusal> {
        let mut plan = Plan::new();
        let mut work = VecDeque::from([(anchor, Planned { kind, matters: true })]);
        while let Some((unit, planned)) = work.pop_front() {
            if !self.enter(&mut plan, unit, planned)? || mode == JobMode::IgnoreDependencies {
                continue;
            }
            match planned.kind {
                Kind::Start => {
                    self.pull_in(unit, unit == anchor, planned.matters, mode, &mut work);
                    if unit == anchor && mode == JobMode::RestartDependencies {
                        self.take_down(unit, Kind::Restart, &mut work);
                    }
                }
                Kind::Stop => self.take_down(unit, Kind::Stop, &mut work),
                Kind::Restart => {
                    self.take_down(unit, Kind::Restart, &mut work);
                    self.pull_in(unit, unit == anchor, planned.matters, mode, &mut work);
                }
                Kind::Reload => self.pass_on(unit, Kind::Reload, &mut work),
                Kind::Nop => {}
            }
        }
        self.part_opponents(&mut plan)?;
        if mode == JobMode::Isolate {
            self.isolate(&mut plan);
        }
        self.check(&plan, mode)?;
        Ok(plan)
    }

    /// Whether the unit's dependencies have to be looked at, too.
    fn enter(&self, plan: &mut Plan, unit: UnitId, new: Planned) -> Result<bool, Refusal> {
        let Some(old) = plan.get(&unit).copied() else {
            plan.insert(unit, new);
            return Ok(true);
        };
        let matters = old.matters || new.matters;
        let Some(kind) = old.kind.merge(new.kind) else {
            // Of two that contradict each other the one that the request needs stays.
            if old.matters && new.matters {
                let name = self.graph.name(unit);
                return Err(Refusal::Invalid {
                    reason: format!("{name} would have to be started and stopped at once"),
                });
            }
            if new.matters {
                plan.insert(unit, new);
            }
            return Ok(new.matters);
        };
        plan.insert(unit, Planned { kind, matters });
        Ok(kind != old.kind || matters != old.matters)
    }

    fn pull_in(
        &self,
        unit: UnitId,
        anchor: bool,
        matters: bool,
        mode: JobMode,
        work: &mut VecDeque<(UnitId, Planned)>,
    ) {
        if !anchor && (self.active)(unit).is_up() && self.queue.of(unit).is_none() {
            return;
        }
        let node = &self.graph[unit];
        let ignores = mode == JobMode::IgnoreRequirements;
        for other in node.requires.iter().chain(&node.binds_to).filter(|_| !ignores) {
            if self.lacks(*other) {
                work.push_back((*other, Planned { kind: Kind::Start, matters }));
            }
        }
        for other in node.wanted().filter(|_| !ignores) {
            if self.lacks(*other) && self.graph.is_startable(*other) {
                work.push_back((*other, Planned { kind: Kind::Start, matters: false }));
            }
        }
        for other in &node.conflicts {
            let starting = self.queue.of(*other).is_some_and(|job| job.kind != Kind::Stop);
            if !(self.active)(*other).is_down() || starting {
                work.push_back((*other, Planned { kind: Kind::Stop, matters }));
            }
        }
    }

    /// It is not up, or not going to stay so.
    fn lacks(&self, unit: UnitId) -> bool {
        !(self.active)(unit).is_up() || self.queue.of(unit).is_some_and(|job| job.kind == Kind::Stop)
    }

    /// What goes down (or down and up) with `unit`.
    fn take_down(&self, unit: UnitId, kind: Kind, work: &mut VecDeque<(UnitId, Planned)>) {
        let node = &self.graph[unit];
        if kind == Kind::Stop {
            self.pass_on(unit, kind, work);
        }
        for other in node.required_by.iter().chain(&node.parts) {
            let active = (self.active)(*other);
            let pending = self.queue.of(*other).is_some_and(|job| job.kind != Kind::Stop);
            let planned = match kind {
                Kind::Stop if !active.is_down() || pending => Kind::Stop,
                Kind::Restart if !active.is_down() => Kind::Restart,
                _ => continue,
            };
            work.push_back((*other, Planned { kind: planned, matters: true }));
        }
    }

    /// A reload or a stop that others get with it.
    fn pass_on(&self, unit: UnitId, kind: Kind, work: &mut VecDeque<(UnitId, Planned)>) {
        let node = &self.graph[unit];
        let others = if kind == Kind::Reload { &node.reloads } else { &node.stops };
        let up = others.iter().filter(|other| (self.active)(**other).is_up());
        work.extend(up.map(|other| (*other, Planned { kind, matters: false })));
    }

    /// Of two units that exclude each other only the one that the request needs is started.
    fn part_opponents(&self, plan: &mut Plan) -> Result<(), Refusal> {
        let starts = |planned: &Planned| matches!(planned.kind, Kind::Start | Kind::Restart);
        let starting: Vec<UnitId> = plan.iter().filter(|(_, p)| starts(p)).map(|(id, _)| *id).collect();
        for unit in starting {
            for other in &self.graph[unit].conflicts {
                let (Some(one), Some(two)) = (plan.get(&unit), plan.get(other)) else { continue };
                if !starts(two) {
                    continue;
                }
                if one.matters && two.matters {
                    let (unit, other) = (self.graph.name(unit), self.graph.name(*other));
                    return Err(Refusal::Invalid { reason: format!("{unit} and {other} exclude each other") });
                }
                let dropped = if one.matters { *other } else { unit };
                plan.remove(&dropped);
            }
        }
        Ok(())
    }

    fn isolate(&self, plan: &mut Plan) {
        for unit in self.graph.ids() {
            let pending = self.queue.of(unit).is_some_and(|job| job.kind != Kind::Stop);
            let settings = &self.graph[unit].unit;
            let own = ["slice", "scope", "mount"].contains(&settings.kind());
            if crate::builtin::is_perpetual(&settings.name) || settings.ignore_on_isolate.unwrap_or(own) {
                continue;
            }
            if (!(self.active)(unit).is_down() || pending) && !self.pulled_by(plan, unit) {
                plan.entry(unit).or_insert(Planned { kind: Kind::Stop, matters: false });
            }
        }
    }

    /// Something that will run after an isolation needs or wants it, directly or over others that are up already.
    fn pulled_by(&self, plan: &Plan, unit: UnitId) -> bool {
        let mut seen = std::collections::BTreeSet::new();
        let starts = plan.iter().filter(|(_, planned)| planned.kind != Kind::Stop);
        let mut work: Vec<UnitId> = starts.map(|(id, _)| *id).collect();
        while let Some(id) = work.pop() {
            if id == unit {
                return true;
            }
            if seen.insert(id) {
                let node = &self.graph[id];
                work.extend(node.requires.iter().chain(&node.binds_to).chain(node.wanted()).chain(&node.triggers));
            }
        }
        false
    }

    /// Whether jobs that are queued already stand in the way.
    fn check(&self, plan: &Plan, mode: JobMode) -> Result<(), Refusal> {
        for (unit, planned) in plan {
            let Some(job) = self.queue.of(*unit) else { continue };
            if job.kind.merge(planned.kind).is_some() {
                continue;
            }
            if job.irreversible || mode == JobMode::Fail {
                let (name, kind) = (self.graph.name(*unit), job.kind.name());
                let reason = format!("transaction is destructive: a {kind} of {name} is queued");
                return Err(Refusal::Destructive { reason });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fixture::target;

    const UNITS: [&str; 9] = [
        "app requires=db wants=cache conflicts=old",
        "db",
        "cache wants=ghost",
        "old",
        "part part-of=app",
        "broken requires=app conflicts=app",
        "lone conflicts=rival",
        "rival",
        "either requires=lone,db wants=rival",
    ];

    fn planned(up: &[&str], unit: &str, kind: Kind, mode: JobMode) -> String {
        let (graph, _) = Graph::new(UNITS.iter().map(|line| target(line)).collect());
        let queue = Queue::default();
        let active = |id| if up.contains(&graph.name(id)) { ActiveState::Active } else { ActiveState::Inactive };
        let situation = Situation { graph: &graph, queue: &queue, active: &active };
        match situation.plan(graph.find(unit).unwrap(), kind, mode) {
            Ok(plan) => {
                let mut jobs: Vec<String> =
                    plan.iter().map(|(id, p)| format!("{} {}", p.kind.name(), graph.name(*id))).collect();
                jobs.sort();
                jobs.join(", ")
            }
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn what_a_request_means() {
        let check = |up: &[&str], kind, unit, mode, expect: &str| {
            assert_eq!(planned(up, unit, kind, mode), expect, "{kind:?} {unit}");
        };
        use JobMode::*;
        check(&[], Kind::Start, "app", Replace, "start app, start cache, start db");
        check(&[], Kind::Start, "app", IgnoreDependencies, "start app");
        check(&["db", "old"], Kind::Start, "app", Replace, "start app, start cache, stop old");
        check(&["app", "db", "part"], Kind::Stop, "db", Replace, "stop app, stop db, stop part");
        check(&["app", "db", "cache"], Kind::Restart, "db", Replace, "restart app, restart db");
        check(&["app", "part"], Kind::Restart, "app", Replace, "restart app, restart part, start cache, start db");
        check(&["lone", "db"], Kind::Start, "app", Isolate, "start app, start cache, stop lone");
        check(&[], Kind::Start, "broken", Replace, "app and broken exclude each other");
        check(&[], Kind::Start, "either", Replace, "start db, start either, start lone");
    }
}
