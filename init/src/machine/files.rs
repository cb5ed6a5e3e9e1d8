//! Unit files at work: reading them when somebody names a unit, reading all of them again, and what comes of either.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ashlar_config::systemd::{Host, is_template, kind_of};
use ashlar_config::unit::{Load, Source, Unit, is_unit_name};
use ashlar_control::message::{self, FileChange, JobKind, JobMode, Refusal, Reply, UnitFile};

use super::Machine;
use super::calls::Answer;
use super::status::Detail;
use crate::builtin;
use crate::control::Waiting;
use crate::core::UnitId;
use crate::core::job::Kind;
use crate::identity;
use crate::log;
use crate::sequence;
use crate::unit_files::{self, Found, Index, Problem, Request, control};

/// Programs that write unit files (systemd.generator(7)).
const GENERATORS: [&str; 2] = ["/usr/lib/systemd/system-generators", "/etc/systemd/system-generators"];

/// What of the load path is known.
#[derive(Debug, Default)]
pub struct Files {
    /// The state partition is there, so that an administrator's folder can be read.
    ready: bool,
    /// What specifiers say.
    host: Host,
    /// Units of the image and PID 1's own, and those that pull them in by the image's word.
    pulls: BTreeMap<String, Vec<String>>,
}

impl Machine {
    /// The state partition is there: what an administrator wrote counts from now on.
    pub(super) fn open_unit_files(&mut self) {
        if self.files.ready {
            return;
        }
        if let Err(error) = identity::bind_configuration() {
            self.log.say(log::ERROR, None, &format!("cannot show an administrator's files: {error}"));
        }
        self.files.ready = true;
        self.snapshot.put("f", &true);
        if !self.set_generators() {
            return self.begin_with_files();
        }
        if let Err(refusal) = self.core.enqueue(builtin::GENERATORS, JobKind::Start, JobMode::Replace) {
            self.log.say(log::ERROR, None, &format!("cannot run generators: {refusal}"));
            self.begin_with_files();
        }
    }

    /// All files are there: they are read, and booting means what they say.
    pub(super) fn begin_with_files(&mut self) {
        self.read_unit_files();
        if self.core.is_started_up() || self.going_down.is_some() {
            return;
        }
        let target = self.default_target();
        if let Err(refusal) = self.core.enqueue(&target, JobKind::Start, JobMode::Replace) {
            self.log.say(log::ERROR, None, &format!("cannot boot into {target}: {refusal}"));
        }
    }

    /// Provision is through: what it wrote for this boot is read, too. The administrator's files do not wait for it, so that
    /// what is disabled is not started first.
    pub(super) fn take_provisions_files(&mut self) {
        let wrote = fs::read_dir(unit_files::RUNTIME).is_ok_and(|mut entries| entries.next().is_some());
        if self.files.ready && wrote {
            self.begin_with_files();
        }
    }

    /// What booting means.
    pub(super) fn default_target(&self) -> String {
        if !self.files.ready {
            return builtin::DEFAULT.to_owned();
        }
        let name = Index::read().resolve("default.target");
        if name == "default.target" { builtin::DEFAULT.to_owned() } else { name }
    }

    /// Takes over what an earlier instance had read.
    pub(super) fn restore_files(&mut self) {
        self.files.ready = true;
        self.learn_image();
    }

    /// What does not change while the machine runs: the units of the image, without PID 1's own that has no file.
    fn learn_image(&mut self) -> BTreeMap<String, Unit> {
        self.files.host = identity::host_facts();
        let units = sequence::load_units(&mut self.log).into_iter().map(|unit| (unit.name.clone(), unit));
        let image: BTreeMap<String, Unit> = units.filter(|(name, _)| name != builtin::GENERATORS).collect();
        self.files.pulls = image.iter().map(|(name, unit)| (name.clone(), unit.wanted_by.clone())).collect();
        image
    }

    pub(super) fn restore_file_unit(&mut self, value: &serde_json::Value) {
        let Ok(unit) = serde_json::from_value::<Unit>(value.clone()) else { return };
        match self.core.graph.find(&unit.name) {
            Some(id) => self.core.update(id, unit),
            None => drop(self.core.load(unit)),
        }
    }

    /// Somebody asks for all files to be read again.
    pub(super) fn reload(&mut self) -> Result<Answer, Refusal> {
        self.tell(message::Event::Reloading(true));
        if !self.files.ready || !self.set_generators() {
            self.read_unit_files();
            self.tell(message::Event::Reloading(false));
            return Ok(Answer::Now(Reply::Done {}));
        }
        self.core.enqueue(builtin::GENERATORS, JobKind::Restart, JobMode::Replace)?;
        Ok(Answer::Later(Waiting::Reload))
    }

    /// The generators are through.
    pub(super) fn generators_ended(&mut self) {
        let waiting = self.connections.waiting_for(Waiting::Reload);
        self.begin_with_files();
        self.tell(message::Event::Reloading(false));
        self.start_anew();
        for id in waiting {
            self.end_wait(id, Ok(&Reply::Done {}));
        }
    }

    /// Gives the unit that runs the generators its commands. Says whether there is anything to run, or left to be swept
    /// up.
    fn set_generators(&mut self) -> bool {
        let Some(id) = self.core.graph.find(builtin::GENERATORS) else { return false };
        let programs = generators();
        let left = unit_files::GENERATED.iter().any(|folder| Path::new(folder).exists());
        self.core.update(id, builtin::generators(&programs));
        !programs.is_empty() || left
    }

    /// Reads all files again, and brings the units that are loaded in line with them.
    fn read_unit_files(&mut self) {
        let index = Index::read();
        let mut image = self.learn_image();
        let loaded: Vec<UnitId> = self.core.graph.ids().filter(|id| !self.core.graph[*id].missing).collect();
        for id in loaded {
            let name = self.name(id);
            if self.core.graph[id].unit.transient || name == builtin::GENERATORS {
                continue;
            }
            let base = image.remove(&name);
            match index.load(&name, base, &self.files.host) {
                Some(unit) => self.refresh(id, unit),
                None => self.lose(id),
            }
        }
        for (name, base) in image {
            if let Some(unit) = index.load(&name, Some(base), &self.files.host) {
                self.take_in(unit);
            }
        }
        self.load_referred(&index);
        self.core.follow_up();
    }

    /// Loads units that others name, and those that they name in turn.
    fn load_referred(&mut self, index: &Index) {
        loop {
            let mut found = false;
            for name in self.core.graph.unknown() {
                found |= self.load_from(index, &name).is_some();
            }
            if !found {
                return;
            }
        }
    }

    fn load_from(&mut self, index: &Index, name: &str) -> Option<UnitId> {
        if !is_unit_name(name) || is_template(name) {
            return None;
        }
        let real = index.resolve(name);
        if let Some(id) = self.core.graph.find(&real) {
            // It is there by another name.
            if real != name {
                let mut unit = self.core.graph[id].unit.clone();
                unit.aliases.push(name.to_owned());
                self.core.update(id, unit);
                return Some(id);
            }
            return None;
        }
        let mut unit = index.load(&real, None, &self.files.host)?;
        if real != name && !unit.aliases.iter().any(|alias| alias == name) {
            unit.aliases.push(name.to_owned());
        }
        self.take_in(unit)
    }

    /// The unit of that name, loaded if it has a file. A slice needs none.
    pub(super) fn load_named(&mut self, name: &str) -> Option<UnitId> {
        if let Some(id) = self.core.graph.find(name) {
            return Some(id);
        }
        let full = if name.contains('.') { name.to_owned() } else { format!("{name}.service") };
        if !self.files.ready || !is_unit_name(&full) {
            return None;
        }
        let index = Index::read();
        self.load_from(&index, &full)?;
        self.load_referred(&index);
        self.core.graph.find(&full)
    }

    fn take_in(&mut self, unit: Unit) -> Option<UnitId> {
        let name = unit.name.clone();
        for problem in &unit.source.problems {
            self.log.say(log::WARNING, Some(&name), problem);
        }
        if unit.source.load == Load::BadSetting {
            self.log.say(log::ERROR, Some(&name), &unit.source.error);
        }
        self.make_slices(&unit);
        self.snapshot.put(&format!("f:{name}"), &unit);
        let id = self.core.load(unit).ok()?;
        let status = Box::new(self.unit_status(id, Detail::Change));
        self.tell(message::Event::UnitNew(status));
        Some(id)
    }

    /// Slices are what their names say: nobody has to write them.
    fn make_slices(&mut self, unit: &Unit) {
        let slice = unit.slice.clone();
        if !slice.is_empty() && !builtin::is_perpetual(&slice) && self.core.graph.find(&slice).is_none() {
            let _ = self.make_slice(&slice);
        }
    }

    fn refresh(&mut self, id: UnitId, mut unit: Unit) {
        if !self.core.active(id).is_down() {
            // What runs has to be stopped as it was started: by its commands if its file says nothing any more, and in the
            // group that it is in.
            let old = &self.core.graph[id].unit;
            if unit.source.load != Load::Loaded {
                unit = Unit { source: unit.source, ..old.clone() };
            }
            unit.slice.clone_from(&old.slice);
        }
        if self.core.graph[id].unit == unit {
            return;
        }
        let name = self.name(id);
        for problem in &unit.source.problems {
            self.log.say(log::WARNING, Some(&name), problem);
        }
        self.make_slices(&unit);
        self.snapshot.put(&format!("f:{name}"), &unit);
        let limits = self.resources(id).cloned().unwrap_or_default();
        self.core.update(id, unit);
        if let Err(reason) = self.change_limits(id, &limits) {
            self.log.say(log::WARNING, Some(&name), &format!("its limits are what they were: {reason}"));
        }
        self.take_back(id);
    }

    /// Booting began before an administrator's files could be read: a start that waits and that nobody wants any more is
    /// taken back.
    fn take_back(&mut self, id: UnitId) {
        let waits = self.core.jobs.of(id).filter(|job| job.kind == Kind::Start && !job.running).map(|job| job.id);
        let unwanted = !self.core.is_started_up() && !self.core.graph.is_referred_to(id);
        if let Some(job) = waits.filter(|_| unwanted) {
            drop(self.core.cancel(job));
        }
    }

    /// Its file is gone. One that runs stays until it ends.
    fn lose(&mut self, id: UnitId) {
        let name = self.name(id);
        if matches!(kind_of(&name), "slice" | "scope") {
            return;
        }
        if self.core.active(id).is_down() && self.core.jobs.of(id).is_none() {
            return self.forget(&[id]);
        }
        let mut unit = self.core.graph[id].unit.clone();
        (unit.source.load, unit.source.error) = (Load::NotFound, format!("Unit {name} not found."));
        self.snapshot.put(&format!("f:{name}"), &unit);
        self.core.graph.replace(id, unit);
        self.core.touch(id);
    }

    pub(super) fn list_unit_files(&self) -> Reply {
        let index = Index::read();
        let (image, host) = (&self.files.pulls, &self.files.host);
        let file = |name: &String| file_of(&index, host, name, image.get(name).map(Vec::as_slice));
        let names: std::collections::BTreeSet<&String> =
            image.keys().filter(|name| has_file(name)).chain(index.files().map(|(name, _)| name)).collect();
        Reply::UnitFiles { files: names.into_iter().filter_map(file).collect() }
    }

    pub(super) fn get_unit_file(&mut self, name: &str) -> Reply {
        let index = Index::read();
        let name = name.to_owned();
        let mut file = file_of(&index, &self.files.host, &name, self.files.pulls.get(&name).map(Vec::as_slice));
        if let (Some(file), Some(id)) = (&mut file, self.core.graph.find(&name)) {
            file.changed = self.is_outdated(&index, id);
        }
        Reply::UnitFiles { files: file.into_iter().collect() }
    }

    /// Writes down settings of a unit, which is then what its files say. What ends with its run keeps them that long.
    pub(super) fn keep_settings(
        &mut self,
        name: &str,
        settings: &[(String, String)],
        runtime: bool,
    ) -> Result<Reply, Refusal> {
        let id = self.unit_named(name)?;
        let name = self.name(id);
        if settings.is_empty() || self.core.graph[id].unit.transient {
            return Ok(Reply::Done {});
        }
        let folder = control::FOLDERS[usize::from(runtime)];
        control::keep(Path::new(folder), &name, settings).map_err(|error| Refusal::Failed {
            reason: format!("cannot keep this in {folder}/{name}.d: {error}; it holds until the unit ends"),
        })?;
        let base = self.of_image(&name);
        if let Some(unit) = Index::read().load(&name, base, &self.files.host) {
            self.refresh(id, unit);
        }
        Ok(Reply::Done {})
    }

    /// What the image says of a unit, if it is one of the image's.
    fn of_image(&mut self, name: &str) -> Option<Unit> {
        let is_of_image = self.files.pulls.contains_key(name);
        let mut units = if is_of_image { sequence::load_units(&mut self.log) } else { Vec::new() };
        units.iter().position(|unit| unit.name == name).map(|at| units.swap_remove(at))
    }

    /// Its files are not those any more that it was read from.
    fn is_outdated(&mut self, index: &Index, id: UnitId) -> bool {
        let unit = &self.core.graph[id].unit;
        let name = unit.name.clone();
        let plain = unit.source == Source::default() && !index.mentions(&name);
        if unit.transient || plain {
            return false;
        }
        let base = self.of_image(&name);
        match index.load(&name, base, &self.files.host) {
            // Other names come and go without anything being outdated.
            Some(now) => {
                let unit = &self.core.graph[id].unit;
                Unit { aliases: unit.aliases.clone(), ..now } != *unit
            }
            None => true,
        }
    }

    pub(super) fn change_unit_files(
        &mut self,
        change: &FileChange,
        units: &[String],
        runtime: bool,
        force: bool,
    ) -> Result<Reply, Refusal> {
        if !self.files.ready {
            return Err(Refusal::Failed { reason: "the state partition is not there yet".into() });
        }
        let image = |name: &str| self.files.pulls.get(name).cloned();
        let request = Request { kind: change, units, runtime, force, host: &self.files.host, image: &image };
        let (informed, changes) = unit_files::carry_out(&request).map_err(refusal)?;
        for change in &changes {
            let arrow = if change.target.is_empty() { String::new() } else { format!(" -> {}", change.target) };
            self.log.say(log::INFO, None, &format!("{} {}{arrow}", change.kind, change.path));
        }
        if !changes.is_empty() {
            self.tell(message::Event::UnitFilesChanged);
        }
        Ok(Reply::Links { informed, changes })
    }
}

fn refusal(problem: Problem) -> Refusal {
    match problem {
        Problem::Missing(_) => Refusal::NoSuchFile { reason: problem.to_string() },
        Problem::Masked(unit) => Refusal::Masked { unit },
        Problem::Exists(reason) => Refusal::FileExists { reason },
        Problem::Invalid(reason) => Refusal::Invalid { reason },
        Problem::Change { .. } => Refusal::Failed { reason: problem.to_string() },
    }
}

/// PID 1's own slices and scope have no file that could be named.
fn has_file(name: &str) -> bool {
    !builtin::is_perpetual(name) && name != builtin::GENERATORS
}

fn file_of(index: &Index, host: &Host, name: &String, image: Option<&[String]>) -> Option<UnitFile> {
    let install = index.load_with_install(name, None, host).map(|(_, install)| install).unwrap_or_default();
    let path = match index.find(name) {
        Some(Found::File(path) | Found::Masked(path)) => path.display().to_string(),
        Some(Found::Alias(_)) => format!("{}/{name}", unit_files::ADMINISTRATORS),
        None if image.is_some() => builtin::path_of(name),
        None => return None,
    };
    let state = unit_files::state_of(index, name, &install, image).to_owned();
    let links =
        [unit_files::ADMINISTRATORS, unit_files::RUNTIME].map(|folder| unit_files::links_to(folder.as_ref(), name));
    let links = links.into_iter().flatten().map(|link| link.display().to_string()).collect();
    Some(UnitFile { name: name.clone(), path, state, changed: false, links })
}

/// What the engine's generator reads: without anything there it has nothing to say, and is a large program to start at
/// each boot.
const QUADLETS: (&str, [&str; 3]) = (
    "podman-system-generator",
    ["/etc/containers/systemd", "/run/containers/systemd", "/usr/share/containers/systemd"],
);

/// Programs that there are and that have something to do, by name.
fn generators() -> Vec<String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for entry in GENERATORS.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
        let path = entry.path();
        found.insert(entry.file_name().to_string_lossy().into_owned(), path.display().to_string());
    }
    let is_empty = |folder: &str| fs::read_dir(folder).map_or(true, |mut entries| entries.next().is_none());
    if QUADLETS.1.iter().all(|folder| is_empty(folder)) {
        found.remove(QUADLETS.0);
    }
    found.into_values().collect()
}
