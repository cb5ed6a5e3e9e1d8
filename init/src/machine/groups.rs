//! The control groups of units: made before a start, watched, removed after the end.

use std::collections::BTreeMap;

use super::Machine;
use crate::cgroup;
use crate::core::UnitId;

/// What a watch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watch {
    Populated,
    Memory,
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    populated: i32,
    memory: Option<i32>,
    kills: u64,
}

/// Watches by number, and by unit.
#[derive(Debug, Default)]
pub struct Groups {
    watches: BTreeMap<i32, (UnitId, Watch)>,
    units: BTreeMap<UnitId, Watched>,
}

/// The path of a slice: `a-b.slice` is in `a.slice`.
pub(super) fn slice_path(slice: &str) -> String {
    let name = slice.trim_end_matches(".slice");
    if name.is_empty() || name == "-" {
        return String::new();
    }
    let ends = name.match_indices('-').map(|(at, _)| at).chain([name.len()]);
    ends.map(|end| format!("/{}.slice", &name[..end])).collect()
}

impl Machine {
    /// A unit's group below the root.
    pub(super) fn group_of(&self, unit: UnitId) -> String {
        let unit = &self.core.graph[unit].unit;
        if unit.name.ends_with(".slice") {
            return slice_path(&unit.name);
        }
        let slice = if unit.slice.is_empty() { "system.slice" } else { &unit.slice };
        format!("{}/{}", slice_path(slice), unit.name)
    }

    /// Whether a unit has a group now.
    pub(super) fn has_group(&self, unit: UnitId) -> bool {
        self.groups.units.contains_key(&unit) || crate::builtin::is_perpetual(self.core.graph.name(unit))
    }

    /// Makes and watches a unit's group.
    pub(super) fn make_group(&mut self, unit: UnitId) -> Result<String, String> {
        let group = self.group_of(unit);
        if self.groups.units.contains_key(&unit) {
            return Ok(group);
        }
        cgroup::make(&group).map_err(|error| format!("cannot make the control group {group}: {error}"))?;
        self.watch_group(unit, &group);
        Ok(group)
    }

    pub(super) fn watch_group(&mut self, unit: UnitId, group: &str) {
        let directory = cgroup::path(group);
        let Ok(populated) = self.inotify.watch(&directory.join("cgroup.events")) else { return };
        let memory = self.inotify.watch(&directory.join("memory.events")).ok();
        let kills = cgroup::out_of_memory_kills(group);
        self.groups.watches.insert(populated, (unit, Watch::Populated));
        if let Some(memory) = memory {
            self.groups.watches.insert(memory, (unit, Watch::Memory));
        }
        self.groups.units.insert(unit, Watched { populated, memory, kills });
    }

    /// Removes an empty group.
    pub(super) fn remove_group(&mut self, unit: UnitId) {
        let Some(watched) = self.groups.units.remove(&unit) else { return };
        for watch in [Some(watched.populated), watched.memory].into_iter().flatten() {
            self.groups.watches.remove(&watch);
            self.inotify.unwatch(watch);
        }
        cgroup::remove(&self.group_of(unit));
    }

    pub(super) fn group_changed(&mut self, watch: i32) {
        match self.groups.watches.get(&watch).copied() {
            Some((unit, Watch::Populated)) => self.report_if_empty(unit),
            Some((unit, Watch::Memory)) => self.count_kills(unit),
            None => {}
        }
    }

    pub(super) fn report_if_empty(&mut self, unit: UnitId) {
        if !cgroup::is_populated(&self.group_of(unit)) {
            self.core.emptied(unit);
        }
    }

    fn count_kills(&mut self, unit: UnitId) {
        let kills = cgroup::out_of_memory_kills(&self.group_of(unit));
        let Some(watched) = self.groups.units.get_mut(&unit) else { return };
        if kills > std::mem::replace(&mut watched.kills, kills) {
            self.core.out_of_memory(unit);
        }
    }

    /// The unit that a process belongs to, by its control group.
    pub(super) fn unit_of_process(&self, pid: u32) -> Option<UnitId> {
        if let Some((unit, _)) = self.core.owner(pid) {
            return Some(unit);
        }
        let group = cgroup::of(pid)?;
        self.core.graph.find(cgroup::unit_of(&group)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_nest_by_dash() {
        let check = |slice, expect: &str| assert_eq!(slice_path(slice), expect, "{slice}");
        check("system.slice", "/system.slice");
        check("user-1000.slice", "/user.slice/user-1000.slice");
        check("a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice");
        check("-.slice", "");
    }
}
