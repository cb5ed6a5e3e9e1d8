//! What is known of PID 1: units, jobs and what was read of them, kept up to date by its changes.
//!
//! PID 1 holds the truth. All of this is gone with the process and read again by the next one.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::rc::Rc;

use ashlar_config::systemd::is_template;
use ashlar_config::unit::{Body as Kind, Unit as Settings, is_unit_name};
use ashlar_control::client::Error;
use ashlar_control::message::{Event, Method as Ask, Reply, UnitFile};
use ashlar_control::status::{Job, Machine, Unit};
use serde_json::Value;

use crate::cgroup::Group;
use crate::link::Link;
use crate::path::{self, MANAGER};
use crate::wire::Message;

/// Says what clients are told of a change, once the world knows it.
pub type Herald = fn(&World, &Event) -> Vec<Message>;

/// A unit as it is looked at.
#[derive(Debug, Default)]
pub struct UnitView {
    pub status: Rc<Unit>,
    /// A made-up one where the unit is not there, or where only its status is asked for.
    pub settings: Rc<Settings>,
    pub edges: Rc<Vec<(String, String)>>,
    pub job: u32,
    /// Its file, if it has one.
    pub file: Option<UnitFile>,
    bundle: OnceCell<Value>,
}

/// The machine as it is looked at.
#[derive(Debug, Default)]
pub struct MachineView {
    pub machine: Machine,
    pub units: u32,
    pub failed: u32,
    pub jobs: u32,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    link: Link,
    herald: Herald,
    units: BTreeMap<String, Rc<Unit>>,
    aliases: BTreeMap<String, String>,
    jobs: BTreeMap<u32, Job>,
    /// Those that came since somebody wanted to know.
    new_jobs: Option<Vec<Job>>,
    settings: BTreeMap<String, Rc<Settings>>,
    edges: BTreeMap<String, Rc<Vec<(String, String)>>>,
    /// Signals that have yet to be sent.
    pub outbox: Vec<Message>,
    /// Who has called Subscribe.
    pub subscribers: BTreeSet<String>,
    /// Units that somebody holds, by who does.
    pub holds: BTreeMap<String, Vec<String>>,
    /// Units that the bus waits for.
    pub activating: BTreeSet<String>,
    /// Of those, which ended otherwise than started.
    pub not_activated: Vec<(String, String)>,
}

impl World {
    /// Connects to PID 1 and reads what there is.
    ///
    /// # Errors
    /// PID 1 cannot be asked.
    pub fn open(herald: Herald) -> Result<Self, Error> {
        let mut world = Self {
            link: Link::open()?,
            herald,
            units: BTreeMap::new(),
            aliases: BTreeMap::new(),
            jobs: BTreeMap::new(),
            new_jobs: None,
            settings: BTreeMap::new(),
            edges: BTreeMap::new(),
            outbox: Vec::new(),
            subscribers: BTreeSet::new(),
            holds: BTreeMap::new(),
            activating: BTreeSet::new(),
            not_activated: Vec::new(),
        };
        if let Reply::Units { units } = world.ask(&Ask::ListUnits {})? {
            units.into_iter().for_each(|unit| world.know(unit));
        }
        if let Reply::Jobs { jobs } = world.ask(&Ask::ListJobs {})? {
            world.jobs = jobs.into_iter().map(|job| (job.id, job)).collect();
        }
        Ok(world)
    }

    /// Where changes come from.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Asks PID 1.
    ///
    /// # Errors
    /// It refuses, or cannot be reached.
    pub fn ask(&mut self, method: &Ask) -> Result<Reply, Error> {
        self.link.call(method, &[])
    }

    /// The same, with file descriptors; then takes the changes that came of it.
    ///
    /// # Errors
    /// The same.
    pub fn act(&mut self, method: &Ask, descriptors: &[std::os::fd::OwnedFd]) -> Result<Reply, Error> {
        let reply = self.link.call(method, descriptors);
        self.take_changes()?;
        reply
    }

    /// The same, with the jobs that came of it, even those that are over already.
    ///
    /// # Errors
    /// The same.
    pub fn act_for_jobs(&mut self, method: &Ask) -> Result<(Reply, Vec<Job>), Error> {
        self.new_jobs = Some(Vec::new());
        let reply = self.act(method, &[]);
        let jobs = self.new_jobs.take().unwrap_or_default();
        Ok((reply?, jobs))
    }

    fn know(&mut self, unit: Unit) {
        for alias in &unit.aliases {
            self.aliases.insert(alias.clone(), unit.name.clone());
        }
        self.units.insert(unit.name.clone(), Rc::new(unit));
    }

    /// Takes every change that is there, and queues what is to be said of it.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn take_changes(&mut self) -> Result<(), Error> {
        while let Some(event) = self.link.pending()? {
            if self.learn(&event) {
                self.tell(&event);
            }
        }
        Ok(())
    }

    /// Queues what is to be said of a change.
    pub fn tell(&mut self, event: &Event) {
        let told = (self.herald)(self, event);
        self.outbox.extend(told);
    }

    /// Says whether that is news.
    fn learn(&mut self, event: &Event) -> bool {
        match event {
            Event::UnitNew(unit) => {
                self.edges.clear();
                self.settings.remove(&unit.name);
                self.know((**unit).clone());
            }
            Event::Unit(unit) => {
                let is_old = self.units.get(&unit.name).is_some_and(|old| **old == **unit);
                self.know((**unit).clone());
                return !is_old;
            }
            Event::UnitRemoved(name) => {
                self.edges.clear();
                self.settings.remove(name);
                self.units.remove(name);
                self.aliases.retain(|_, of| of != name);
            }
            Event::JobNew(job) => {
                self.jobs.insert(job.id, job.clone());
                self.new_jobs.iter_mut().for_each(|jobs| jobs.push(job.clone()));
            }
            Event::Job(job) => return self.jobs.insert(job.id, job.clone()).as_ref() != Some(job),
            Event::JobRemoved(job, result) => {
                self.jobs.remove(&job.id);
                if self.activating.remove(&job.unit) && result != "done" {
                    self.not_activated.push((job.unit.clone(), result.clone()));
                }
            }
            Event::Reloading(_) => {
                // Whatever was read of units may be another thing now.
                self.settings.clear();
                self.edges.clear();
            }
            Event::UnitFilesChanged | Event::StartupFinished(_) => {}
        }
        true
    }

    /// The full name that a unit is loaded under.
    pub fn resolve<'a>(&'a self, name: &'a str) -> &'a str {
        self.aliases.get(name).map_or(name, |of| of)
    }

    /// A loaded unit.
    pub fn unit(&self, name: &str) -> Option<&Rc<Unit>> {
        self.units.get(self.resolve(name))
    }

    /// All loaded units, by name.
    pub fn units(&self) -> impl Iterator<Item = &Rc<Unit>> {
        self.units.values()
    }

    /// The unit of a run.
    pub fn unit_of_invocation(&self, id: &str) -> Option<&str> {
        self.units.values().find(|unit| unit.invocation_id == id).map(|unit| unit.name.as_str())
    }

    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    pub fn job(&self, id: u32) -> Option<&Job> {
        self.jobs.get(&id)
    }

    /// The number of a unit's job; 0 for none.
    pub fn job_of(&self, name: &str) -> u32 {
        self.jobs.values().find(|job| job.unit == name).map_or(0, |job| job.id)
    }

    /// A loaded unit as far as its status goes.
    pub fn glance(&self, name: &str) -> Option<UnitView> {
        let status = Rc::clone(self.unit(name)?);
        Some(UnitView { job: self.job_of(&status.name), status, ..UnitView::default() })
    }

    /// A unit as it is looked at. Every name that a unit could have can be looked at.
    pub fn view(&mut self, name: &str) -> UnitView {
        self.load(name);
        let name = self.resolve(name).to_owned();
        let file = match self.ask(&Ask::GetUnitFile { name: name.clone() }) {
            Ok(Reply::UnitFiles { files }) => files.into_iter().next(),
            _ => None,
        };
        let Some(status) = self.units.get(&name).cloned() else { return UnitView { file, ..missing(&name) } };
        let settings = match self.settings.get(&name) {
            Some(settings) => Rc::clone(settings),
            None => match self.ask(&Ask::GetSettings { name: name.clone() }) {
                Ok(Reply::Settings { settings }) => {
                    let settings = Rc::new(*settings);
                    self.settings.insert(name.clone(), Rc::clone(&settings));
                    settings
                }
                _ => Rc::default(),
            },
        };
        let edges = match self.edges.get(&name) {
            Some(edges) => Rc::clone(edges),
            None => match self.ask(&Ask::GetUnit { name: name.clone() }) {
                Ok(Reply::Unit { unit }) => {
                    let edges = Rc::new(unit.dependencies);
                    self.edges.insert(name.clone(), Rc::clone(&edges));
                    edges
                }
                _ => Rc::default(),
            },
        };
        UnitView { status, settings, edges, job: self.job_of(&name), file, bundle: OnceCell::new() }
    }

    /// Has PID 1 read a unit's file, if it is not loaded and has one.
    pub fn load(&mut self, name: &str) {
        let is_known = self.unit(name).is_some() || !is_unit_name(name) || is_template(name);
        if !is_known && self.ask(&Ask::LoadUnit { name: name.to_owned() }).is_ok() {
            // It is told to everybody who watches, us among them.
            let _ = self.take_changes();
        }
    }

    /// Forgets what was read of a unit's settings.
    pub fn forget_settings(&mut self, name: &str) {
        self.settings.remove(name);
    }

    /// The machine as it is looked at.
    pub fn machine(&mut self) -> MachineView {
        let machine = match self.ask(&Ask::GetMachine {}) {
            Ok(Reply::Machine { machine }) => *machine,
            _ => Machine::default(),
        };
        let failed = self.units.values().filter(|unit| unit.active == "failed").count() as u32;
        let (units, jobs) = ((self.units.len() + self.aliases.len()) as u32, self.jobs.len() as u32);
        MachineView { machine, units, failed, jobs }
    }

    /// Names of what is below a folder.
    pub fn children(&self, path: &str) -> Vec<String> {
        let all = self.units.keys().map(|name| path::unit(name)).chain(self.jobs.keys().map(|id| path::job(*id)));
        let all = all.chain([MANAGER.to_owned(), path::LOG_CONTROL.to_owned()]);
        let prefix = format!("{}/", path.trim_end_matches('/'));
        let below = all.filter_map(|full| Some(full.strip_prefix(&prefix)?.split('/').next()?.to_owned()));
        below.collect::<BTreeSet<String>>().into_iter().collect()
    }
}

fn missing(name: &str) -> UnitView {
    let status = Unit {
        name: name.to_owned(),
        description: name.to_owned(),
        load: "not-found".to_owned(),
        active: "inactive".to_owned(),
        sub: "dead".to_owned(),
        result: "success".to_owned(),
        ..Unit::default()
    };
    let settings = Settings { name: name.to_owned(), ..Settings::default() };
    UnitView { status: Rc::new(status), settings: Rc::new(settings), ..UnitView::default() }
}

impl UnitView {
    /// Its control group.
    pub fn group(&self) -> Group {
        Group::new(&self.status.control_group)
    }

    /// What is at the other ends of its edges of one kind.
    pub fn edges(&self, kind: &str) -> Vec<String> {
        self.edges.iter().filter(|(edge, _)| edge == kind).map(|(_, other)| other.clone()).collect()
    }

    /// A value of its container's configuration.
    pub fn bundle(&self, pointer: &str) -> Option<&Value> {
        let bundle = self.bundle.get_or_init(|| {
            let Kind::Service(service) = &self.settings.body else { return Value::Null };
            let text = fs::read(format!("{}/config.json", service.bundle)).unwrap_or_default();
            serde_json::from_slice(&text).unwrap_or_default()
        });
        bundle.pointer(pointer)
    }
}
