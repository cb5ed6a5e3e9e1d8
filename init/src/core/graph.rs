//! Units and the edges between them: those of the image for the life of the program, and those that come and go.
//!
//! Requirements (who pulls in or takes down whom) and order (who waits for whom) are separate, as in systemd.unit(5).
//! The order is kept free of cycles from the start, so that no set of jobs over it can wait for itself: of two related
//! units stops come before starts, stops run in reverse order and starts in order, and each of these is acyclic
//! when the order is.

use std::collections::{BTreeMap, BTreeSet};

use ashlar_config::unit::{Body, Load, Unit};

/// A unit by its place in [`Graph::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(pub u32);

/// One unit as configured, with its edges in both directions.
#[derive(Debug, Default)]
pub struct Node {
    pub unit: Unit,
    /// Named by others, but there is no such unit.
    pub missing: bool,
    pub requires: Vec<UnitId>,
    pub wants: Vec<UnitId>,
    /// Reverse of `wants`.
    pub wanted_by: Vec<UnitId>,
    pub upholds: Vec<UnitId>,
    /// Reverse of `upholds`.
    pub upheld_by: Vec<UnitId>,
    pub binds_to: Vec<UnitId>,
    pub conflicts: Vec<UnitId>,
    pub after: Vec<UnitId>,
    /// Reverse edges.
    pub before: Vec<UnitId>,
    /// Reverse of `requires` and `binds_to`.
    pub required_by: Vec<UnitId>,
    /// Reverse of `binds_to` alone.
    pub bound_by: Vec<UnitId>,
    /// Reverse of `part_of`.
    pub parts: Vec<UnitId>,
    /// Sockets and timers that start it.
    pub triggers: Vec<UnitId>,
    /// Those that are reloaded when it is.
    pub reloads: Vec<UnitId>,
    /// Those that are stopped when it is.
    pub stops: Vec<UnitId>,
}

/// All units.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    names: BTreeMap<String, UnitId>,
    /// Places of units that went.
    free: Vec<UnitId>,
}

impl Node {
    fn lists(&mut self) -> [&mut Vec<UnitId>; 15] {
        [
            &mut self.requires,
            &mut self.wants,
            &mut self.wanted_by,
            &mut self.upholds,
            &mut self.upheld_by,
            &mut self.binds_to,
            &mut self.conflicts,
            &mut self.after,
            &mut self.before,
            &mut self.required_by,
            &mut self.bound_by,
            &mut self.parts,
            &mut self.triggers,
            &mut self.reloads,
            &mut self.stops,
        ]
    }

    /// Units that are started with this one, if they can be.
    pub fn wanted(&self) -> impl Iterator<Item = &UnitId> {
        self.wants.iter().chain(&self.upholds)
    }

    fn tidy(&mut self) {
        for list in self.lists() {
            list.sort_unstable();
            list.dedup();
        }
    }
}

impl std::ops::Index<UnitId> for Graph {
    type Output = Node;

    fn index(&self, id: UnitId) -> &Node {
        &self.nodes[id.0 as usize]
    }
}

impl Graph {
    /// Links `units`; of two with one name the first wins. Returns what had to be left out, a sentence each.
    pub fn new(units: Vec<Unit>) -> (Self, Vec<String>) {
        let mut graph = Self::default();
        let mut complaints = Vec::new();
        for unit in units {
            if graph.names.contains_key(&unit.name) {
                complaints.push(format!("unit {} is defined twice: the second one is left out", unit.name));
                continue;
            }
            let aliases = unit.aliases.clone();
            let id = graph.push(unit, false);
            for alias in aliases {
                graph.names.entry(alias).or_insert(id);
            }
        }
        for id in graph.ids().collect::<Vec<_>>() {
            graph.link(id);
        }
        graph.order_targets();
        graph.tidy();
        graph.break_cycles(&mut complaints);
        (graph, complaints)
    }

    /// Every unit, missing ones, too.
    pub fn ids(&self) -> impl Iterator<Item = UnitId> + use<> {
        (0..self.nodes.len() as u32).map(UnitId)
    }

    /// By full name or alias; a name without suffix means a service.
    pub fn find(&self, name: &str) -> Option<UnitId> {
        let found = self.names.get(name).copied();
        found.or_else(|| self.names.get(&format!("{name}.service")).copied()).filter(|id| !self[*id].missing)
    }

    /// The loaded unit whose name is most like `name`: what a refusal suggests.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        let loaded = self.nodes.iter().filter(|node| !node.missing);
        // A name without suffix is a service's.
        let name = if name.contains('.') { name.to_owned() } else { format!("{name}.service") };
        ashlar_config::nearest::nearest(&name, loaded.map(|node| node.unit.name.as_str()))
    }

    /// Its full name.
    pub fn name(&self, id: UnitId) -> &str {
        &self[id].unit.name
    }

    fn push(&mut self, unit: Unit, missing: bool) -> UnitId {
        let node = Node { missing, ..Node::default() };
        let id = self.free.pop().unwrap_or_else(|| {
            self.nodes.push(Node::default());
            UnitId(self.nodes.len() as u32 - 1)
        });
        self.names.insert(unit.name.clone(), id);
        self.nodes[id.0 as usize] = Node { unit, ..node };
        id
    }

    /// Takes a unit in while others run. Returns its place and what had to be left out.
    pub fn add(&mut self, unit: Unit) -> (UnitId, Vec<String>) {
        let aliases = unit.aliases.clone();
        let id = match self.names.get(&unit.name).copied() {
            // Others named it before it was there.
            Some(id) => {
                let node = self.node(id);
                (node.unit, node.missing) = (unit, false);
                id
            }
            None => self.push(unit, false),
        };
        for alias in aliases {
            self.names.entry(alias).or_insert(id);
        }
        self.link_again([id].into_iter());
        let mut complaints = Vec::new();
        if !self[id].after.is_empty() && !self[id].before.is_empty() {
            self.break_cycles(&mut complaints);
        }
        (id, complaints)
    }

    /// Whether it is there and can be started.
    pub fn is_startable(&self, id: UnitId) -> bool {
        !self[id].missing && self[id].unit.source.load == Load::Loaded
    }

    /// Whether another unit needs, wants or starts it.
    pub fn is_referred_to(&self, id: UnitId) -> bool {
        let node = &self[id];
        let reverse = [&node.required_by, &node.wanted_by, &node.bound_by, &node.triggers];
        let name = &node.unit.name;
        let follows = |other: &Node| {
            let dependencies = &other.unit.dependencies;
            [&dependencies.on_failure, &dependencies.on_success].iter().any(|list| list.contains(name))
        };
        reverse.iter().any(|list| !list.is_empty()) || self.nodes.iter().any(follows)
    }

    /// Names that edges lead to and that no unit has.
    pub fn unknown(&self) -> Vec<String> {
        let missing = self.names.iter().filter(|(_, id)| self[**id].missing);
        missing.map(|(name, _)| name.clone()).collect()
    }

    /// Gives a unit other settings, and the edges that follow from them. Returns what had to be left out.
    pub fn update(&mut self, id: UnitId, unit: Unit) -> Vec<String> {
        let near = self.neighbours(id);
        self.unlink(id, &near);
        self.names.retain(|name, named| *named != id || *name == unit.name);
        for alias in &unit.aliases {
            self.names.entry(alias.clone()).or_insert(id);
        }
        let node = self.node(id);
        *node = Node { unit, ..Node::default() };
        self.link_again(near.iter().copied().chain([id]));
        let mut complaints = Vec::new();
        self.break_cycles(&mut complaints);
        complaints
    }

    /// Takes the edges between a unit and those around it away, from both ends.
    fn unlink(&mut self, id: UnitId, near: &[UnitId]) {
        for other in near {
            for list in self.node(*other).lists() {
                list.retain(|edge| *edge != id);
            }
        }
    }

    fn link_again(&mut self, units: impl Iterator<Item = UnitId>) {
        let mut touched = BTreeSet::new();
        for unit in units {
            self.link(unit);
            touched.extend(self.neighbours(unit).into_iter().chain([unit]));
        }
        for unit in &touched {
            self.order_target(*unit);
        }
        touched.into_iter().for_each(|unit| self.node(unit).tidy());
    }

    /// Gives a unit other settings with the same edges.
    pub fn replace(&mut self, id: UnitId, unit: Unit) {
        self.node(id).unit = unit;
    }

    /// Takes a unit out. Whoever names it names a unit that is not there from now on.
    pub fn remove(&mut self, id: UnitId) {
        let near = self.neighbours(id);
        self.unlink(id, &near);
        self.names.retain(|_, named| *named != id);
        let unit = Unit::default();
        *self.node(id) = Node { unit, missing: true, ..Node::default() };
        self.free.push(id);
        self.link_again(near.into_iter());
    }

    /// Every unit at the other end of an edge of it.
    fn neighbours(&mut self, id: UnitId) -> Vec<UnitId> {
        let lists = self.node(id).lists();
        let all: BTreeSet<UnitId> = lists.into_iter().flat_map(|list| list.iter().copied()).collect();
        all.into_iter().filter(|other| *other != id).collect()
    }

    /// The unit of this name, made up if there is none.
    fn refer(&mut self, name: &str) -> UnitId {
        if let Some(id) = self.names.get(name) {
            return *id;
        }
        let unit = Unit { name: name.into(), description: name.into(), ..Unit::default() };
        self.push(unit, true)
    }

    fn node(&mut self, id: UnitId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    fn link(&mut self, id: UnitId) {
        let unit = &self[id].unit;
        let dependencies = unit.dependencies.clone();
        let wanted_by = unit.wanted_by.clone();
        let triggered = match &unit.body {
            Body::Socket { service, accept: None, .. } | Body::Timer { service, .. } => Some(service.clone()),
            Body::Path(watched) => Some(watched.unit.clone()),
            _ => None,
        };
        for name in dependencies.requires {
            let other = self.refer(&name);
            self.node(id).requires.push(other);
            self.node(other).required_by.push(id);
        }
        for name in dependencies.binds_to {
            let other = self.refer(&name);
            self.node(id).binds_to.push(other);
            self.node(other).required_by.push(id);
            self.node(other).bound_by.push(id);
        }
        for name in dependencies.wants {
            let other = self.refer(&name);
            self.node(id).wants.push(other);
            self.node(other).wanted_by.push(id);
        }
        for name in dependencies.upholds {
            let other = self.refer(&name);
            self.node(id).upholds.push(other);
            self.node(other).upheld_by.push(id);
        }
        for name in wanted_by {
            let other = self.refer(&name);
            self.node(other).wants.push(id);
            self.node(id).wanted_by.push(other);
        }
        for name in dependencies.part_of {
            let other = self.refer(&name);
            self.node(other).parts.push(id);
        }
        // Conflicts hold in both directions, wherever they are written.
        for name in dependencies.conflicts {
            let other = self.refer(&name);
            self.node(id).conflicts.push(other);
            self.node(other).conflicts.push(id);
        }
        for name in dependencies.after {
            let other = self.refer(&name);
            self.order(other, id);
        }
        for name in dependencies.before {
            let other = self.refer(&name);
            self.order(id, other);
        }
        for name in dependencies.propagates_reload_to {
            let other = self.refer(&name);
            self.node(id).reloads.push(other);
        }
        for name in dependencies.reload_propagated_from {
            let other = self.refer(&name);
            self.node(other).reloads.push(id);
        }
        for name in dependencies.propagates_stop_to {
            let other = self.refer(&name);
            self.node(id).stops.push(other);
        }
        for name in dependencies.stop_propagated_from {
            let other = self.refer(&name);
            self.node(other).stops.push(id);
        }
        // Those are looked for by name when their time comes: they have to be there then.
        let followers = [dependencies.requisite, dependencies.on_failure, dependencies.on_success];
        for name in followers.into_iter().flatten() {
            self.refer(&name);
        }
        if let Some(service) = triggered {
            let other = self.refer(&service);
            self.node(other).triggers.push(id);
        }
    }

    fn order(&mut self, first: UnitId, second: UnitId) {
        if first != second {
            self.node(second).after.push(first);
            self.node(first).before.push(second);
        }
    }

    /// A target comes after what it pulls in, unless the other order is written.
    fn order_targets(&mut self) {
        for id in self.ids() {
            self.order_target(id);
        }
    }

    fn order_target(&mut self, id: UnitId) {
        if self[id].missing || !matches!(self[id].unit.body, Body::Target) {
            return;
        }
        let pulled: Vec<UnitId> = self[id].wanted().chain(&self[id].requires).copied().collect();
        for other in pulled {
            let ordered = self[other].after.contains(&id) || self[id].after.contains(&other);
            if !ordered && !self[id].conflicts.contains(&other) {
                self.order(other, id);
            }
        }
    }

    fn tidy(&mut self) {
        self.nodes.iter_mut().for_each(Node::tidy);
    }

    /// Drops one order edge of each cycle: the units are all started, only that one wait is not kept. An edge between
    /// units that do not require each other goes first: breaking that one harms least.
    fn break_cycles(&mut self, complaints: &mut Vec<String>) {
        while let Some(cycle) = self.cycle() {
            let edges = cycle.iter().zip(cycle.iter().cycle().skip(1)).map(|(second, first)| (*first, *second));
            let edges: Vec<(UnitId, UnitId)> = edges.collect();
            let free = edges.iter().find(|(first, second)| {
                !self[*second].requires.contains(first) && !self[*second].binds_to.contains(first)
            });
            let (first, second) = *free.unwrap_or(&edges[0]);
            self.node(second).after.retain(|id| *id != first);
            self.node(first).before.retain(|id| *id != second);
            let path: Vec<&str> = cycle.iter().chain(&cycle[..1]).map(|id| self.name(*id)).collect();
            complaints.push(format!(
                "order is cyclic ({}): {} no longer waits for {}",
                path.join(" after "),
                self.name(second),
                self.name(first)
            ));
        }
    }

    /// One cycle of the order, each unit after the next one and the last after the first.
    fn cycle(&self) -> Option<Vec<UnitId>> {
        let mut done = BTreeSet::new();
        for start in self.ids() {
            // The path from `start`, with how many edges of each unit were followed.
            let mut path: Vec<(UnitId, usize)> = vec![(start, 0)];
            while let Some((id, next)) = path.last_mut() {
                let Some(other) = self[*id].after.get(*next).copied() else {
                    done.insert(*id);
                    path.pop();
                    continue;
                };
                *next += 1;
                if done.contains(&other) {
                    continue;
                }
                if let Some(at) = path.iter().position(|(id, _)| *id == other) {
                    return Some(path[at..].iter().map(|(id, _)| *id).collect());
                }
                path.push((other, 0));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::fixture::target;

    fn graph(text: &[&str]) -> (Graph, Vec<String>) {
        Graph::new(text.iter().map(|line| target(line)).collect())
    }

    #[test]
    fn cycles_are_broken() {
        let check = |units: &[&str], expect: &[&str]| {
            let (graph, complaints) = graph(units);
            assert_eq!(complaints, expect);
            assert_eq!(graph.cycle(), None);
        };
        check(&["a after=b", "b"], &[]);
        check(&["a after=b", "b after=a"], &["order is cyclic (a after b after a): a no longer waits for b"]);
        check(
            &["a requires=b after=b", "b after=c", "c after=a"],
            &["order is cyclic (a after b after c after a): b no longer waits for c"],
        );
        check(&["a", "a"], &["unit a is defined twice: the second one is left out"]);
    }

    #[test]
    fn targets_wait_for_what_they_want() {
        let (graph, _) = graph(&["t wants=a,b", "a", "b after=t"]);
        let [t, a, b] = ["t", "a", "b"].map(|name| graph.names[name]);
        assert_eq!(graph[t].after, [a]);
        assert_eq!(graph[b].after, [t]);
    }

    #[test]
    fn units_come_and_go() {
        let (mut graph, _) = graph(&["a wants=x after=x", "b"]);
        let a = graph.names["a"];
        let (x, complaints) = graph.add(target("x after=b before=a"));
        assert_eq!((complaints.len(), graph.find("x")), (0, Some(x)));
        assert_eq!((graph[x].before.clone(), graph[x].wanted_by.clone()), (vec![a], vec![a]));
        graph.remove(x);
        assert_eq!(graph.find("x"), None);
        // What others say of it is still said.
        let named = graph.names["x"];
        assert_eq!((graph[a].after.clone(), graph[a].wants.clone()), (vec![named], vec![named]));
        assert!(graph[graph.names["b"]].before.is_empty());
        // An edge is there once, whatever was linked again: jobs are counted over them.
        graph.add(target("t wants=a,b"));
        graph.add(target("y wanted-by=t"));
        for node in &mut graph.nodes {
            for list in node.lists() {
                let all = list.len();
                list.dedup();
                assert_eq!(list.len(), all, "{list:?}");
            }
        }
        let (again, complaints) = graph.add(target("x after=a"));
        assert_eq!(complaints.len(), 1);
        assert_eq!((again, graph.cycle()), (named, None));
    }

    #[test]
    fn names() {
        let (graph, _) = graph(&["a.service wants=ghost.service"]);
        assert_eq!(graph.find("a"), graph.find("a.service"));
        assert!(graph.find("a").is_some());
        assert_eq!(graph.find("ghost"), None);
        assert_eq!(graph.nearest("b.service"), Some("a.service"));
    }
}
