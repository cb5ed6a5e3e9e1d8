//! Going over to another version of the image while everything runs: `os upgrade --live`.
//!
//! The updater has written it, read it back and made a verity device of it. Here: its root takes the place of the one that
//! runs (`switch_root`), PID 1 executes itself out of it, reads all units again, and starts those anew that are not the
//! same in both. Who is the same goes on, in the old root. Then the version is on trial as after a boot; if it does not
//! pass, the same way leads back.
//!
//! How far it is stands in a file that outlives every instance of PID 1, and no boot.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use ashlar_control::message::{JobKind, JobMode, Refusal, Reply, Root};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Machine;
use super::calls::Answer;
use super::trial::{self, Trial};
use crate::builtin::CONSOLE;
use crate::facts::{self, Booted, Facts};
use crate::log;
use crate::sequence::UNITS;
use crate::switch_root;

const FILE: &str = "/run/ashlar/live.json";
/// How device-mapper calls what only a verity device is.
const VERITY: &str = "CRYPT-VERITY-";

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// The new root is the root; units are read again, and then started anew.
    #[default]
    Over,
    /// That was asked for; the version is on trial, or has passed.
    There,
    /// The old root is the root again; as `Over`.
    Back,
}

/// A machine that went over to another version.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Live {
    stage: Stage,
    /// The old root's device.
    device: String,
    /// The facts of the old version, as they stood in their file.
    before: String,
    units: Units,
    /// Those of the changed ones that people came in by.
    waiting: Vec<String>,
}

/// What is not the same in two versions. Of units that change those that run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Units {
    come: Vec<String>,
    change: Vec<String>,
    go: Vec<String>,
}

impl Live {
    /// What an earlier instance wrote down.
    pub fn read() -> Option<Self> {
        serde_json::from_slice(&fs::read(FILE).ok()?).ok()
    }

    fn write(&self) -> io::Result<()> {
        fs::write(FILE, serde_json::to_vec(self)?)
    }

    fn is_on_the_way(&self) -> bool {
        self.stage != Stage::There
    }

    /// Units that are still those of the version before, because of people.
    pub fn waiting(&self) -> &[String] {
        &self.waiting
    }
}

fn failed(what: &str) -> impl Fn(io::Error) -> Refusal {
    move |error| Refusal::Failed { reason: format!("cannot {what}: {error}") }
}

impl Machine {
    /// Goes over; the next instance does the rest.
    pub(super) fn go_live(&mut self, device: &str, root: &Root) -> Result<Reply, Refusal> {
        if let Some(why) = self.keeps_from_going_over() {
            return Err(Refusal::Failed { reason: format!("cannot go over to version {}: {why}", root.version) });
        }
        check_device(device).map_err(failed("use the root"))?;
        let before = fs::read_to_string(facts::BOOT).map_err(failed("read the facts of this boot"))?;
        let after = after(&before, root).map_err(failed("read the facts of this boot"))?;
        let old = switch_root::device().map_err(failed("find the root"))?;
        switch_root::mount(device).map_err(failed("mount the root"))?;
        let begun = self.differences().map(|units| {
            let waiting = self.held_by_people(&units.change);
            let device = old.to_string_lossy().into_owned();
            Live { stage: Stage::Over, device, before, units, waiting }
        });
        let begun = begun.and_then(|live| self.switch_to(&live, &after, "trial\n").map(|()| live));
        let live = begun.map_err(|error| {
            switch_root::unmount();
            failed("go over to the root")(error)
        })?;
        let line = format!("Ashlar {} goes over to {} without a reboot", self.facts.version, root.version);
        log::console(&line);
        self.log.say(log::NOTICE, None, &line);
        let Units { come, change, go } = &live.units;
        let begins = |name: &&String| !live.waiting.contains(name);
        let units = come.iter().chain(change).chain(go).filter(begins).cloned().collect();
        Ok(Reply::Live { units, waiting: live.waiting })
    }

    fn keeps_from_going_over(&self) -> Option<&'static str> {
        match self.trial {
            _ if self.going_down.is_some() => Some("the machine is going down"),
            _ if !self.core.is_started_up() => Some("the machine is still starting"),
            _ if self.live.is_some() => Some("it went over to another one already, which no boot has tried yet"),
            Trial::Committed => None,
            _ => Some("the one that runs is not committed"),
        }
    }

    /// Whether units have yet to be started anew: there is nothing to judge before.
    pub(super) fn is_going_over(&self) -> bool {
        self.live.as_ref().is_some_and(Live::is_on_the_way)
    }

    /// Makes the mounted root the root. From here on the next instance of PID 1 is that root's.
    fn switch_to(&mut self, live: &Live, facts: &str, trial: &str) -> io::Result<()> {
        // What the other version does not know is stopped as this one knows it.
        for name in &live.units.go {
            if let Some(unit) = self.core.graph.find(name) {
                self.snapshot.put(&format!("f:{name}"), &self.core.graph[unit].unit);
            }
        }
        live.write()?;
        switch_root::switch().inspect_err(|_| drop(fs::remove_file(FILE)))?;
        let _ = fs::remove_file(trial::VERDICT);
        self.reexecute = true;
        // It runs, whatever is said about it.
        for (file, text) in [(facts::BOOT, facts), (trial::FOUND, trial)] {
            if let Err(error) = fs::write(file, text) {
                self.log.say(log::ERROR, None, &format!("cannot write {file}: {error}"));
            }
        }
        Ok(())
    }

    /// What is not the same in the next root.
    fn differences(&self) -> io::Result<Units> {
        let next = format!("{}{UNITS}", switch_root::NEXT);
        Ok(differences(&unit_files(Path::new(UNITS))?, &unit_files(Path::new(&next))?, |name| {
            self.core.graph.find(name).is_some_and(|unit| !self.core.active(unit).is_down())
        }))
    }

    /// Those of `units` that somebody who is logged in came in by: ending them would end what they do, and among that may be
    /// this upgrade.
    fn held_by_people(&self, units: &[String]) -> Vec<String> {
        let lets_in = |name: &&String| {
            let unit = self.core.graph.find(name);
            **name == CONSOLE || unit.and_then(|unit| self.core.service(unit)).is_some_and(|service| service.login)
        };
        if self.sessions.is_empty() { Vec::new() } else { units.iter().filter(lets_in).cloned().collect() }
    }

    /// An earlier instance has switched roots: all units are read again.
    pub(super) fn go_on_live(&mut self) {
        if !self.is_going_over() {
            return;
        }
        let read = self.reload();
        self.carry_out();
        match read {
            // The generators come first.
            Ok(Answer::Later(_)) => {}
            Ok(Answer::Now(_)) => self.start_anew(),
            Err(refusal) => {
                self.log.say(log::ERROR, None, &format!("cannot read unit files again: {refusal}"));
                self.start_anew();
            }
        }
    }

    /// Units are read: those that changed are started anew, each when its turn comes.
    pub(super) fn start_anew(&mut self) {
        let Some(mut live) = self.live.take_if(|live| live.is_on_the_way()) else { return };
        let units = &live.units;
        let back = live.stage == Stage::Back;
        let begins: Vec<&String> = units.change.iter().filter(|name| !live.waiting.contains(name)).collect();
        let jobs = units.go.iter().map(|name| (name, JobKind::Stop));
        let jobs = jobs.chain(begins.into_iter().map(|name| (name, JobKind::Restart)));
        let come = units.come.iter().filter(|name| back || self.is_wanted(name));
        let jobs: Vec<(&String, JobKind)> = jobs.chain(come.map(|name| (name, JobKind::Start))).collect();
        for (name, kind) in jobs {
            if let Err(refusal) = self.core.enqueue(name, kind, JobMode::Replace) {
                self.log.say(log::ERROR, Some(name), &format!("cannot bring it in line with this version: {refusal}"));
            }
            self.carry_out();
        }
        live.stage = Stage::There;
        match back {
            true => drop(fs::remove_file(FILE)),
            false => self.keep_live(live),
        }
    }

    fn keep_live(&mut self, live: Live) {
        if let Err(error) = live.write() {
            self.log.say(log::ERROR, None, &format!("cannot write {FILE}: {error}"));
        }
        self.live = Some(live);
    }

    /// Whether something that runs asks for a unit that has come.
    fn is_wanted(&self, name: &str) -> bool {
        let Some(unit) = self.core.graph.find(name) else { return false };
        let up = |other: &str| self.core.graph.find(other).is_some_and(|other| self.core.active(other).is_up());
        self.core.graph[unit].unit.wanted_by.iter().any(|other| up(other))
    }

    /// Once a turn: what waited for people, once they have left.
    pub(super) fn mind_live(&mut self) {
        let ready = |live: &mut Live| live.stage == Stage::There && !live.waiting.is_empty();
        if !self.sessions.is_empty() || self.going_down.is_some() {
            return;
        }
        let Some(mut live) = self.live.take_if(ready) else { return };
        for name in std::mem::take(&mut live.waiting) {
            self.log.say(
                log::NOTICE,
                Some(&name),
                "nobody is logged in any more: started anew, as this version has it",
            );
            let _ = self.core.enqueue(&name, JobKind::TryRestart, JobMode::Replace);
            self.carry_out();
        }
        self.keep_live(live);
    }

    /// The version did not pass: back to the root before. Says whether that can be done.
    pub(super) fn go_back(&mut self) -> bool {
        let Some(live) = self.live.take() else { return false };
        let Live { device, before, units, waiting, .. } = live;
        let Units { come, change, go } = units;
        let change = change.into_iter().filter(|name| !waiting.contains(name)).collect();
        let back = Live {
            stage: Stage::Back,
            device: String::new(),
            before: String::new(),
            units: Units { come: go, change, go: come },
            waiting: Vec::new(),
        };
        let switched = switch_root::mount(&device)
            .and_then(|()| self.switch_to(&back, &before, "committed\n").inspect_err(|_| switch_root::unmount()));
        let version = serde_json::from_str::<Facts>(&before).unwrap_or_default().version;
        let line = match &switched {
            Ok(()) => format!("Ashlar {} goes back to {version} without a reboot", self.facts.version),
            Err(error) => format!("cannot go back to {version} without a reboot: {error}"),
        };
        log::console(&line);
        self.log.say(log::ERROR, None, &line);
        switched.is_ok()
    }
}

/// Nothing is taken for a root that the kernel does not verify.
fn check_device(device: &str) -> io::Result<()> {
    let name = device.strip_prefix("/dev/").filter(|name| name.starts_with("dm-") && !name.contains('/'));
    let kind = fs::read_to_string(format!("/sys/class/block/{}/dm/uuid", name.unwrap_or_default()));
    match kind {
        Ok(kind) if kind.starts_with(VERITY) => Ok(()),
        _ => Err(io::Error::other(format!("{device} is no verity device"))),
    }
}

/// The facts of this boot, once another root runs.
fn after(before: &str, root: &Root) -> io::Result<String> {
    let old: Facts = serde_json::from_str(before)?;
    let mut facts: BTreeMap<String, Value> = serde_json::from_str(before)?;
    let booted = old.booted.unwrap_or(Booted { version: old.version, slot: old.slot, root_hash: old.root_hash });
    facts.insert("booted".to_owned(), json!(booted));
    for (key, value) in [("version", &root.version), ("slot", &root.slot), ("root_hash", &root.root_hash)] {
        facts.insert(key.to_owned(), json!(value));
    }
    Ok(serde_json::to_string(&facts)? + "\n")
}

/// What a root says of its units, by name.
fn unit_files(folder: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()?.strip_suffix(".json")) {
            files.insert(name.to_owned(), fs::read(&path)?);
        }
    }
    Ok(files)
}

fn differences(old: &BTreeMap<String, Vec<u8>>, new: &BTreeMap<String, Vec<u8>>, runs: impl Fn(&str) -> bool) -> Units {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut units = Units::default();
    for name in names {
        match (old.get(name), new.get(name)) {
            (None, _) => units.come.push(name.clone()),
            (_, None) if runs(name) => units.go.push(name.clone()),
            (Some(old), Some(new)) if old != new && runs(name) => units.change.push(name.clone()),
            _ => {}
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_that_come_change_and_go() {
        let files = |units: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
            units.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
        };
        let old = files(&[("a", "1"), ("b", "1"), ("c", "1"), ("down", "1"), ("gone", "1")]);
        let new = files(&[("a", "1"), ("b", "2"), ("d", "1"), ("down", "2")]);
        let units = differences(&old, &new, |name| !["down", "gone"].contains(&name));
        let expect = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(units, Units { come: expect(&["d"]), change: expect(&["b"]), go: expect(&["c"]) });
    }

    #[test]
    fn facts_of_a_boot() {
        let root = |version: &str| Root { version: version.into(), slot: "b".into(), root_hash: "ff".into() };
        let text = r#"{"slot":"a","root_hash":"00","version":"1","boot_usec":5,"watchdog_fd":4,"disk":"/dev/vda"}"#;
        let once = after(text, &root("2")).unwrap();
        let facts: Facts = serde_json::from_str(&once).unwrap();
        let booted = Booted { version: "1".into(), slot: "a".into(), root_hash: "00".into() };
        assert_eq!((facts.version.as_str(), facts.slot.as_str(), facts.booted), ("2", "b", Some(booted.clone())));
        assert!(once.contains(r#""disk":"/dev/vda""#), "{once}");
        let twice: Facts = serde_json::from_str(&after(&once, &root("3")).unwrap()).unwrap();
        assert_eq!((twice.version.as_str(), twice.booted), ("3", Some(booted)));
    }
}
