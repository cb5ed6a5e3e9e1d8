//! Jobs: what a unit shall become, and when its turn comes.
//!
//! A unit has at most one job. A job waits until no related job must go before it (`blockers` is 0), then runs until
//! the unit is where it shall be. The order between the jobs of two units is systemd's: see [`waits`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::graph::{Graph, UnitId};

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Start,
    Stop,
    /// Stop; becomes `Start` once that is done.
    Restart,
    Reload,
    /// A try-restart of what does not run: done as soon as its turn comes.
    Nop,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Nop => "nop",
        }
    }

    fn stops(self) -> bool {
        matches!(self, Self::Stop | Self::Restart)
    }

    /// What two jobs of one unit are together; `None` if they contradict each other.
    pub fn merge(self, new: Self) -> Option<Self> {
        use Kind::*;
        match (self, new) {
            (a, b) if a == b => Some(a),
            (Nop, other) | (other, Nop) => Some(other),
            (Stop, _) | (_, Stop) => None,
            (Restart, _) | (_, Restart) => Some(Restart),
            // A start reads the configuration anyway.
            (Start | Reload, _) => Some(Start),
        }
    }
}

/// How a job ended (JobRemoved's result).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobResult {
    Done,
    Canceled,
    Failed,
    Dependency,
    Invalid,
    Assert,
    Timeout,
}

impl JobResult {
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
            Self::Dependency => "dependency",
            Self::Invalid => "invalid",
            Self::Assert => "assert",
            Self::Timeout => "timeout",
        }
    }
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: u32,
    pub unit: UnitId,
    pub kind: Kind,
    /// Its turn has come.
    pub running: bool,
    /// Jobs that must end before.
    pub blockers: u32,
    /// May not be replaced: going down is not taken back.
    pub irreversible: bool,
    /// Waits for nobody.
    pub unordered: bool,
}

/// Whether the job of `this` waits for that of `other`, given that `other` is ordered before `this` (`after`) or
/// behind it. Stops go first; stops among themselves run in reverse.
fn waits(after: bool, this: Kind, other: Kind) -> bool {
    if after { !this.stops() } else { other.stops() }
}

/// The jobs that are waiting or running.
#[derive(Debug, Default)]
pub struct Queue {
    jobs: BTreeMap<u32, Job>,
    of_unit: BTreeMap<UnitId, u32>,
    last: u32,
}

impl Queue {
    pub fn get(&self, id: u32) -> Option<&Job> {
        self.jobs.get(&id)
    }

    pub fn of(&self, unit: UnitId) -> Option<&Job> {
        self.of_unit.get(&unit).and_then(|id| self.jobs.get(id))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Goes on counting where an earlier instance stopped.
    pub fn count_from(&mut self, last: u32) {
        self.last = self.last.max(last);
    }

    /// The number of the newest job.
    pub fn last(&self) -> u32 {
        self.last
    }

    /// Adds a job for a unit that has none, under a number of its own.
    pub fn add(&mut self, graph: &Graph, unit: UnitId, kind: Kind, irreversible: bool, unordered: bool) -> u32 {
        let id = self.last + 1;
        self.restore(graph, Job { id, unit, kind, running: false, blockers: 0, irreversible, unordered });
        id
    }

    /// Adds a job under the number that it has.
    pub fn restore(&mut self, graph: &Graph, job: Job) {
        let (id, unit) = (job.id, job.unit);
        self.last = self.last.max(id);
        self.jobs.insert(id, job);
        self.of_unit.insert(unit, id);
        self.relate(graph, id, true);
    }

    /// Takes a job out; returns it with the jobs whose turn may have come.
    pub fn remove(&mut self, graph: &Graph, id: u32) -> Option<(Job, Vec<u32>)> {
        self.jobs.get(&id)?;
        let freed = self.relate(graph, id, false);
        let job = self.jobs.remove(&id)?;
        self.of_unit.remove(&job.unit);
        Some((job, freed))
    }

    /// Makes it another kind of job, which has yet to run. Returns the jobs whose turn may have come.
    pub fn change(&mut self, graph: &Graph, id: u32, kind: Kind) -> Vec<u32> {
        let freed = self.relate(graph, id, false);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.kind = kind;
            job.running = false;
            job.blockers = 0;
        }
        self.relate(graph, id, true);
        freed
    }

    pub fn set_running(&mut self, id: u32) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.running = true;
        }
    }

    pub fn make_irreversible(&mut self, id: u32) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.irreversible = true;
        }
    }

    /// Counts all blockers anew, over a graph that has changed; returns the jobs whose turn may have come.
    pub fn recount(&mut self, graph: &Graph) -> Vec<u32> {
        let jobs = std::mem::take(&mut self.jobs);
        self.of_unit.clear();
        for (id, job) in jobs {
            self.of_unit.insert(job.unit, id);
            self.jobs.insert(id, Job { blockers: 0, ..job });
            self.relate(graph, id, true);
        }
        self.jobs.values().filter(|job| !job.running && job.blockers == 0).map(|job| job.id).collect()
    }

    /// Counts `id` in (or out) as a blocker of others and others as blockers of it; returns who is free of it.
    fn relate(&mut self, graph: &Graph, id: u32, enter: bool) -> Vec<u32> {
        let (unit, kind, unordered) = (self.jobs[&id].unit, self.jobs[&id].kind, self.jobs[&id].unordered);
        let mut freed = Vec::new();
        let node = &graph[unit];
        let neighbours = node.after.iter().map(|o| (*o, true)).chain(node.before.iter().map(|o| (*o, false)));
        let mut own = 0u32;
        for (other, after) in neighbours {
            let Some(other) = self.of_unit.get(&other).and_then(|id| self.jobs.get_mut(id)) else { continue };
            if !unordered && waits(after, kind, other.kind) {
                own += 1;
            }
            if !other.unordered && waits(!after, other.kind, kind) {
                other.blockers = if enter { other.blockers + 1 } else { other.blockers.saturating_sub(1) };
                if !enter && other.blockers == 0 {
                    freed.push(other.id);
                }
            }
        }
        if enter && let Some(job) = self.jobs.get_mut(&id) {
            job.blockers = own;
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fixture::target;
    use Kind::*;

    #[test]
    fn merging() {
        let check = |old: Kind, new: Kind, expect| assert_eq!(old.merge(new), expect, "{old:?} {new:?}");
        check(Start, Start, Some(Start));
        check(Start, Stop, None);
        check(Restart, Stop, None);
        check(Start, Restart, Some(Restart));
        check(Reload, Start, Some(Start));
        check(Reload, Restart, Some(Restart));
        check(Nop, Stop, Some(Stop));
    }

    /// `second` is ordered after `first`; who waits for whom.
    #[test]
    fn order() {
        let (graph, _) = Graph::new(vec![target("first"), target("second after=first")]);
        let [first, second] = ["first", "second"].map(|name| graph.find(name).unwrap());
        let check = |one: Kind, two: Kind, expect: (u32, u32)| {
            for reversed in [false, true] {
                let mut queue = Queue::default();
                let mut jobs = [(first, one), (second, two)];
                if reversed {
                    jobs.reverse();
                }
                for (unit, kind) in jobs {
                    queue.add(&graph, unit, kind, false, false);
                }
                let blockers = |unit| queue.of(unit).unwrap().blockers;
                assert_eq!((blockers(first), blockers(second)), expect, "{one:?} {two:?}");
            }
        };
        check(Start, Start, (0, 1));
        check(Stop, Stop, (1, 0));
        check(Stop, Start, (0, 1));
        check(Start, Stop, (1, 0));
        check(Restart, Restart, (1, 0));
        check(Restart, Start, (0, 1));
    }

    #[test]
    fn a_restart_that_has_stopped_lets_others_stop_first_no_more() {
        let (graph, _) = Graph::new(vec![target("first"), target("second after=first")]);
        let [first, second] = ["first", "second"].map(|name| graph.find(name).unwrap());
        let mut queue = Queue::default();
        queue.add(&graph, first, Restart, false, false);
        let last = queue.add(&graph, second, Restart, false, false);
        // The later one has stopped: now the earlier one may stop, and the later one waits for its start.
        assert_eq!(queue.change(&graph, last, Start), [1]);
        assert_eq!((queue.of(first).unwrap().blockers, queue.of(second).unwrap().blockers), (0, 1));
        let (_, freed) = queue.remove(&graph, 1).unwrap();
        assert_eq!(freed, [last]);
    }
}
