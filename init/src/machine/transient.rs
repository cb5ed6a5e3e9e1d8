//! Units that are made while the machine runs, and changes to those that are there: processes, standing still, who holds
//! them.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use ashlar_config::unit::{Body, Unit, is_unit_name};
use ashlar_control::message::{self, JobKind, JobMode, Refusal, Reply};
use serde_json::Value;

use super::Machine;
use super::calls::Answer;
use super::groups::slice_path;
use super::status::Detail;
use crate::core::{Holds, UnitId};
use crate::{builtin, cgroup};

/// Most units that one call makes: a timer and its service.
const UNIT_LIMIT: usize = 4;
/// Where `systemctl cat` finds them (org.freedesktop.systemd1(5), FragmentPath).
const FRAGMENTS: &str = "/run/systemd/transient";

/// What a unit was given and has not used yet.
#[derive(Debug, Default)]
pub(super) struct Gifts {
    /// Processes of scopes.
    processes: BTreeMap<UnitId, Vec<u32>>,
    /// Standard input, output and error of services.
    pub stdio: BTreeMap<UnitId, [OwnedFd; 3]>,
    /// Variables of commands on the host.
    pub environment: BTreeMap<String, String>,
    /// Who holds which units.
    holds: BTreeMap<u32, BTreeMap<UnitId, u32>>,
}

impl Gifts {
    fn all_holds(&self) -> Holds {
        let mut all = Holds::new();
        for (unit, count) in self.holds.values().flatten() {
            *all.entry(*unit).or_default() += count;
        }
        all
    }
}

impl Machine {
    pub(super) fn start_transient(
        &mut self,
        caller: u32,
        units: Vec<Unit>,
        mode: JobMode,
        processes: Vec<u32>,
    ) -> Result<Answer, Refusal> {
        let invalid = |reason: &str| Err(Refusal::Invalid { reason: reason.to_owned() });
        let Some(name) = units.first().map(|unit| unit.name.clone()) else { return invalid("no unit is named") };
        if units.len() > UNIT_LIMIT {
            return invalid("that are too many units");
        }
        if let Some(unit) = units.iter().find(|unit| !is_fine(unit)) {
            return Err(Refusal::Invalid { reason: format!("{} cannot be made while the machine runs", unit.name) });
        }
        if let Some(pid) = processes.iter().find(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            return Err(Refusal::NoSuchProcess { pid: *pid });
        }
        // A file counts as well: what is made must not stand in its way.
        for unit in &units {
            self.load_named(&unit.name);
        }
        if let Some(there) = units.iter().find(|unit| self.core.graph.find(&unit.name).is_some()) {
            return Err(Refusal::UnitExists { unit: there.name.clone() });
        }
        let stdio = self.connections.get(caller).map(|connection| std::mem::take(&mut connection.descriptors));
        let mut made = Vec::new();
        for unit in units {
            match self.make(Unit { transient: true, ..unit }) {
                Ok(id) => made.push(id),
                Err(refusal) => {
                    self.forget(&made);
                    return Err(refusal);
                }
            }
        }
        let first = made[0];
        if let Ok(stdio) = <[OwnedFd; 3]>::try_from(stdio.unwrap_or_default()) {
            self.gifts.stdio.insert(first, stdio);
        }
        self.gifts.processes.insert(first, processes);
        let started = self.enqueue(&name, JobKind::Start, mode, false);
        if started.is_err() {
            self.forget(&made);
        }
        started
    }

    /// Takes a unit in, with the slices that it is in.
    fn make(&mut self, mut unit: Unit) -> Result<UnitId, Refusal> {
        let is_slice = matches!(unit.body, Body::Slice(_));
        let parent = if is_slice { parent_slice(&unit.name) } else { Some(unit.slice.clone()) };
        if let Some(parent) = parent.filter(|parent| !parent.is_empty() && !builtin::is_perpetual(parent)) {
            self.make_slice(&parent)?;
            unit.dependencies.requires.push(parent.clone());
            unit.dependencies.after.push(parent);
        }
        let key = format!("t:{}", unit.name);
        self.snapshot.put(&key, &unit);
        write_fragment(&unit);
        let id = self.core.load(unit)?;
        let status = Box::new(self.unit_status(id, Detail::Change));
        self.tell(message::Event::UnitNew(status));
        Ok(id)
    }

    /// Takes a slice in, if it is not there.
    pub(super) fn make_slice(&mut self, name: &str) -> Result<(), Refusal> {
        match self.load_named(name) {
            Some(_) => Ok(()),
            None => self.make(builtin::slice(name)).map(drop),
        }
    }

    /// Takes over units that an earlier instance had made.
    pub(super) fn restore_transient(&mut self, value: &Value) {
        let Ok(unit) = serde_json::from_value::<Unit>(value.clone()) else { return };
        // One that is there already is in the image by now: that one counts.
        drop(self.core.load(unit));
    }

    /// A scope's or slice's group, its limits, and the processes that go there.
    pub(super) fn gather(&mut self, unit: UnitId) {
        let result = self.make_group(unit).and_then(|group| {
            self.limit(unit, &group)?;
            let processes = self.gifts.processes.remove(&unit).unwrap_or_default();
            for pid in &processes {
                cgroup::enter(&group, *pid).map_err(|error| format!("cannot move process {pid}: {error}"))?;
            }
            Ok(())
        });
        if result.is_ok() {
            self.link_invocation(unit);
        }
        self.core.gathered(unit, result);
        // It may have ended in the meantime.
        if self.core.scope(unit).is_some() {
            self.report_if_empty(unit);
        }
    }

    pub(super) fn attach(&mut self, name: &str, below: &str, processes: &[u32]) -> Result<Reply, Refusal> {
        let unit = self.unit_named(name)?;
        let failed = |reason: String| Err(Refusal::Failed { reason });
        if !self.has_group(unit) {
            return failed(format!("{name} does not run"));
        }
        if below.split('/').any(|part| part == "..") {
            return failed(format!("{below} is not below the unit's group"));
        }
        let group = format!("{}/{}", self.group_of(unit), below.trim_matches('/'));
        if let Err(error) = cgroup::make(group.trim_end_matches('/')) {
            return failed(format!("cannot make {group}: {error}"));
        }
        for pid in processes {
            if !Path::new(&format!("/proc/{pid}")).exists() {
                return Err(Refusal::NoSuchProcess { pid: *pid });
            }
            if let Err(error) = cgroup::enter(&group, *pid) {
                return failed(format!("cannot move process {pid} to {group}: {error}"));
            }
        }
        Ok(Reply::Done {})
    }

    pub(super) fn freeze(&mut self, name: &str, frozen: bool) -> Result<Reply, Refusal> {
        let unit = self.unit_named(name)?;
        if !self.has_group(unit) {
            return Err(Refusal::Failed { reason: format!("{name} does not run") });
        }
        let group = self.group_of(unit);
        let written = cgroup::freeze(&group, frozen);
        written.map_err(|error| Refusal::Failed { reason: format!("cannot write to {group}: {error}") })?;
        Ok(Reply::Done {})
    }

    pub(super) fn abandon(&mut self, name: &str) -> Result<Reply, Refusal> {
        let unit = self.unit_named(name)?;
        match self.core.abandon(unit) {
            true => Ok(Reply::Done {}),
            false => Err(Refusal::Failed { reason: format!("scope {name} is not running") }),
        }
    }

    pub(super) fn hold(&mut self, caller: u32, name: &str, held: bool) -> Result<Reply, Refusal> {
        let unit = self.unit_named(name)?;
        let holds = self.gifts.holds.entry(caller).or_default();
        match (held, holds.get_mut(&unit)) {
            (true, Some(count)) => *count += 1,
            (true, None) => drop(holds.insert(unit, 1)),
            (false, Some(count)) if *count > 1 => *count -= 1,
            (false, Some(_)) => drop(holds.remove(&unit)),
            (false, None) => return Err(Refusal::Failed { reason: format!("{name} is not held") }),
        }
        self.core.touch_transient(unit);
        self.save_holds();
        Ok(Reply::Done {})
    }

    fn save_holds(&mut self) {
        let named = |units: &BTreeMap<UnitId, u32>| -> BTreeMap<String, u32> {
            units.iter().map(|(unit, count)| (self.name(*unit), *count)).collect()
        };
        let holds: BTreeMap<u32, BTreeMap<String, u32>> =
            self.gifts.holds.iter().map(|(caller, units)| (*caller, named(units))).collect();
        self.snapshot.put("h", &holds);
    }

    /// Takes over who held what, of callers that are still there.
    pub(super) fn restore_holds(&mut self, value: &Value) {
        let Ok(holds) = serde_json::from_value::<BTreeMap<u32, BTreeMap<String, u32>>>(value.clone()) else { return };
        for (caller, units) in holds {
            if self.connections.get(caller).is_some() {
                let found = units.into_iter().filter_map(|(name, count)| Some((self.core.graph.find(&name)?, count)));
                self.gifts.holds.insert(caller, found.collect());
            }
        }
    }

    pub(super) fn set_environment(&mut self, unset: &[String], set: Vec<(String, String)>) -> Reply {
        self.gifts.environment.extend(set);
        unset.iter().for_each(|name| drop(self.gifts.environment.remove(name)));
        self.snapshot.put("e", &self.gifts.environment);
        Reply::Done {}
    }

    /// Takes over what an earlier instance had been told.
    pub(super) fn restore_environment(&mut self, value: &Value) {
        self.gifts.environment = serde_json::from_value(value.clone()).unwrap_or_default();
    }

    /// A caller is gone, and with it all that it held.
    pub(super) fn let_go(&mut self, caller: u32) {
        let Some(held) = self.gifts.holds.remove(&caller) else { return };
        held.into_keys().for_each(|unit| self.core.touch_transient(unit));
        self.save_holds();
    }

    /// Forgets units that are over and that nobody holds.
    pub(super) fn collect(&mut self) {
        let gone = self.core.collectable(&self.gifts.all_holds());
        self.forget(&gone);
    }

    pub(super) fn forget(&mut self, units: &[UnitId]) {
        for unit in units {
            let name = self.name(*unit);
            self.remove_group(*unit);
            self.gifts.processes.remove(unit);
            self.gifts.stdio.remove(unit);
            self.served.remove(unit);
            for units in self.gifts.holds.values_mut() {
                units.remove(unit);
            }
            self.stores.remove(unit);
            self.ports.remove(unit);
            self.core.unload(*unit);
            let _ = fs::remove_file(super::carry_out::invocation_link(&name));
            let _ = fs::remove_file(format!("{FRAGMENTS}/{name}"));
            for kind in ["u", "t", "f", "s", "p"] {
                self.snapshot.remove(&format!("{kind}:{name}"));
            }
            self.tell(message::Event::UnitRemoved(name));
        }
    }
}

/// Names become paths of control groups, and commands run on the host: a container needs a bundle, which only a builder
/// makes.
fn is_fine(unit: &Unit) -> bool {
    let slice = unit.slice.is_empty() || (is_unit_name(&unit.slice) && unit.slice.ends_with(".slice"));
    let body = match &unit.body {
        Body::Service(service) => service.host.is_some() && unit.kind() == "service",
        Body::Timer { .. } => unit.kind() == "timer",
        Body::Scope(_) => unit.kind() == "scope",
        Body::Slice(_) => unit.kind() == "slice",
        Body::Socket { .. } | Body::Target | Body::Path(_) | Body::Mount(_) => false,
    };
    is_unit_name(&unit.name) && slice && body
}

/// Something for `systemctl cat`. It is never read here: what was asked for is in the snapshot.
fn write_fragment(unit: &Unit) {
    let mut text = format!(
        "# This unit was made while the machine ran. It lasts until it ends.\n[Unit]\nDescription={}\n",
        unit.description
    );
    if let Body::Service(service) = &unit.body {
        text += "\n[Service]\n";
        for command in &service.commands.start {
            let words: Vec<String> = command.words().iter().map(|word| quote(word)).collect();
            text += &format!("ExecStart={}\n", words.join(" "));
        }
    }
    let _ = fs::create_dir_all(FRAGMENTS);
    let _ = fs::write(format!("{FRAGMENTS}/{}", unit.name), text);
}

/// A word of a command line (systemd.service(5), "Command lines").
fn quote(word: &str) -> String {
    let escaped =
        word.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n").replace('%', "%%").replace('$', "$$");
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@+%$".contains(c);
    if !word.is_empty() && escaped.chars().all(plain) { escaped } else { format!("\"{escaped}\"") }
}

/// The slice that a slice is in: `a-b.slice` is in `a.slice`, and that in none that has to be made.
fn parent_slice(name: &str) -> Option<String> {
    let path = slice_path(name);
    let above = path.rsplit_once('/')?.0.rsplit_once('/')?.1;
    (!above.is_empty()).then(|| above.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_in_slices() {
        let check = |name, expect: Option<&str>| assert_eq!(parent_slice(name).as_deref(), expect, "{name}");
        check("a-b-c.slice", Some("a-b.slice"));
        check("a-b.slice", Some("a.slice"));
        check("a.slice", None);
        check("-.slice", None);
    }

    #[test]
    fn what_may_be_made() {
        use ashlar_config::unit::{Scope, Service};
        let check = |name: &str, slice: &str, body: Body, expect| {
            let unit = Unit { name: name.into(), slice: slice.into(), body, ..Unit::default() };
            assert_eq!(is_fine(&unit), expect, "{name} {slice}");
        };
        let scope = || Body::Scope(Box::<Scope>::default());
        check("a.scope", "b.slice", scope(), true);
        check("a.scope", "", scope(), true);
        check("a.scope", "../b.slice", scope(), false);
        check("a.scope", "b.scope", scope(), false);
        check("../a.scope", "", scope(), false);
        check("a.service", "", scope(), false);
        check("a.service", "", Body::Service(Box::<Service>::default()), false);
        check("a.target", "", Body::Target, false);
    }

    #[test]
    fn words_of_command_lines() {
        let check = |word, expect: &str| assert_eq!(quote(word), expect);
        check("/usr/bin/x", "/usr/bin/x");
        check("a b", r#""a b""#);
        check("", r#""""#);
        check(r#"say "$5" 50%"#, r#""say \"$$5\" 50%%""#);
    }
}
