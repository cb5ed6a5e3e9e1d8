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
use crate::interface::{Bound, Facet, Interface, Method, job, kinds, manager, service, unit};
use crate::link::Link;
use crate::path::{self, MANAGER, Object};
use crate::wire::{Body, Message};

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

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
    units: BTreeMap<String, Rc<Unit>>,
    aliases: BTreeMap<String, String>,
    jobs: BTreeMap<u32, Job>,
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
    pub fn open() -> Result<Self, Error> {
        let mut world = Self {
            link: Link::open()?,
            units: BTreeMap::new(),
            aliases: BTreeMap::new(),
            jobs: BTreeMap::new(),
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
            self.learn(event);
        }
        Ok(())
    }

    fn learn(&mut self, event: Event) {
        match event {
            Event::UnitNew(unit) => {
                let name = unit.name.clone();
                self.edges.clear();
                self.settings.remove(&name);
                self.know(*unit);
                self.tell("UnitNew", &(&name, crate::interface::object(path::unit(&name))));
            }
            Event::Unit(unit) => {
                let name = unit.name.clone();
                let old = self.units.get(&name).cloned();
                self.know(*unit);
                if old.as_deref() != self.units.get(&name).map(|unit| &**unit) {
                    self.tell_unit(&name);
                }
            }
            Event::UnitRemoved(name) => {
                self.edges.clear();
                self.settings.remove(&name);
                self.units.remove(&name);
                self.aliases.retain(|_, of| *of != name);
                self.tell("UnitRemoved", &(&name, crate::interface::object(path::unit(&name))));
            }
            Event::JobNew(job) => {
                self.jobs.insert(job.id, job.clone());
                self.tell("JobNew", &(job.id, crate::interface::object(path::job(job.id)), &job.unit));
                self.tell_job_of(&job.unit);
            }
            Event::Job(job) => {
                let old = self.jobs.insert(job.id, job.clone());
                if old.as_ref() != Some(&job) {
                    let changed = BTreeMap::from([("State", crate::interface::text(&job.state))]);
                    self.tell_changed(&path::job(job.id), job::INTERFACE.name, changed);
                }
            }
            Event::JobRemoved(job, result) => {
                self.jobs.remove(&job.id);
                if self.activating.remove(&job.unit) && result != "done" {
                    self.not_activated.push((job.unit.clone(), result.clone()));
                }
                let path = crate::interface::object(path::job(job.id));
                self.tell("JobRemoved", &(job.id, path, &job.unit, &result));
                self.tell_job_of(&job.unit);
            }
            Event::Reloading(begins) => {
                // Whatever was read of units may be another thing now.
                self.settings.clear();
                self.edges.clear();
                self.tell("Reloading", &(begins,));
            }
            Event::UnitFilesChanged => self.tell("UnitFilesChanged", &()),
            Event::StartupFinished(usec) => {
                let zero = 0u64;
                self.tell("StartupFinished", &(zero, zero, zero, zero, usec, usec));
            }
        }
    }

    /// A signal of the manager.
    pub fn tell<T: serde::Serialize + zbus::DynamicType>(&mut self, member: &str, arguments: &T) {
        self.outbox.push(Message::signal(MANAGER, manager::INTERFACE.name, member, Body::of(arguments)));
    }

    fn tell_unit(&mut self, name: &str) {
        let Some(status) = self.units.get(name) else { return };
        let job = self.job_of(name);
        let view = Rc::new(UnitView { status: Rc::clone(status), job, ..UnitView::default() });
        let path = path::unit(name);
        for facet in unit_facets(&view) {
            self.tell_changed(&path, facet.name(), facet.told().into_iter().collect());
        }
    }

    fn tell_job_of(&mut self, name: &str) {
        let job = self.job_of(name);
        let changed = BTreeMap::from([("Job", unit::job_property(job))]);
        self.tell_changed(&path::unit(name), unit::INTERFACE.name, changed);
    }

    fn tell_changed(&mut self, path: &str, interface: &str, changed: BTreeMap<&str, zbus::Variant<'static>>) {
        if !changed.is_empty() {
            let body = Body::of(&(interface, changed, Vec::<String>::new()));
            self.outbox.push(Message::signal(path, PROPERTIES, "PropertiesChanged", body));
        }
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

    /// Interfaces of an object with their methods; `None` if there is no such object.
    pub fn methods(&self, object: &Object) -> Option<Vec<(&'static str, &'static [Method])>> {
        match object {
            Object::Folder => Some(Vec::new()),
            Object::Manager => Some(vec![(manager::INTERFACE.name, manager::INTERFACE.methods)]),
            Object::LogControl => Some(vec![(manager::LOG_CONTROL.name, manager::LOG_CONTROL.methods)]),
            Object::Unit(name) if is_unit_name(name) => {
                Some(unit_interfaces(name).into_iter().map(|interface| (interface.name, interface.methods)).collect())
            }
            Object::Unit(_) => None,
            Object::Job(id) => self.jobs.get(id).map(|_| vec![(job::INTERFACE.name, job::INTERFACE.methods)]),
        }
    }

    /// The interfaces of an object with their values; `None` if there is none.
    pub fn facets(&mut self, object: &Object) -> Option<Vec<Box<dyn Facet>>> {
        match object {
            Object::Folder => Some(Vec::new()),
            Object::Manager => {
                let subject = Rc::new(self.machine());
                Some(vec![Box::new(Bound { interface: &manager::INTERFACE, subject })])
            }
            Object::LogControl => {
                Some(vec![Box::new(Bound { interface: &manager::LOG_CONTROL, subject: Rc::new(()) })])
            }
            Object::Unit(name) if is_unit_name(name) => Some(unit_facets(&Rc::new(self.view(name)))),
            Object::Unit(_) => None,
            Object::Job(id) => {
                let subject = Rc::new(self.jobs.get(id)?.clone());
                Some(vec![Box::new(Bound { interface: &job::INTERFACE, subject })])
            }
        }
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

/// What all units have, and what those of this kind have besides.
fn unit_interfaces(name: &str) -> Vec<&'static Interface<UnitView>> {
    let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
    let own = match kind {
        "service" => Some(&service::INTERFACE),
        _ => kinds::INTERFACES.iter().find(|(name, _)| *name == kind).map(|(_, interface)| *interface),
    };
    [&unit::INTERFACE].into_iter().chain(own).collect()
}

fn unit_facets(view: &Rc<UnitView>) -> Vec<Box<dyn Facet>> {
    let bound = |interface| -> Box<dyn Facet> { Box::new(Bound { interface, subject: Rc::clone(view) }) };
    unit_interfaces(&view.status.name).into_iter().map(bound).collect()
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
