//! Signals: what clients are told of a change.

use std::collections::BTreeMap;
use std::rc::Rc;

use ashlar_control::message::Event;
use zbus::Variant;

use crate::interface::{job, manager, object, text, unit};
use crate::objects::unit_facets;
use crate::path::{self, MANAGER};
use crate::wire::{Body, Message};
use crate::world::World;

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Of a change that the world knows.
pub fn of(world: &World, event: &Event) -> Vec<Message> {
    match event {
        Event::UnitNew(unit) => vec![of_manager("UnitNew", &(&unit.name, object(path::unit(&unit.name))))],
        Event::Unit(unit) => of_unit(world, &unit.name),
        Event::UnitRemoved(name) => vec![of_manager("UnitRemoved", &(name, object(path::unit(name))))],
        Event::JobNew(job) => {
            let new = of_manager("JobNew", &(job.id, object(path::job(job.id)), &job.unit));
            [new].into_iter().chain(of_job_of(world, &job.unit)).collect()
        }
        Event::Job(job) => {
            let changed = BTreeMap::from([("State", text(&job.state))]);
            changes(&path::job(job.id), job::INTERFACE.name, changed).into_iter().collect()
        }
        Event::JobRemoved(job, result) => {
            let removed = of_manager("JobRemoved", &(job.id, object(path::job(job.id)), &job.unit, result));
            [removed].into_iter().chain(of_job_of(world, &job.unit)).collect()
        }
        Event::Reloading(begins) => vec![of_manager("Reloading", &(*begins,))],
        Event::UnitFilesChanged => vec![of_manager("UnitFilesChanged", &())],
        Event::StartupFinished(usec) => {
            let zero = 0u64;
            vec![of_manager("StartupFinished", &(zero, zero, zero, zero, *usec, *usec))]
        }
    }
}

fn of_manager<T: serde::Serialize + zbus::DynamicType>(member: &str, arguments: &T) -> Message {
    Message::signal(MANAGER, manager::INTERFACE.name, member, Body::of(arguments))
}

fn of_unit(world: &World, name: &str) -> Vec<Message> {
    let Some(view) = world.glance(name).map(Rc::new) else { return Vec::new() };
    let path = path::unit(name);
    let facets = unit_facets(&view).into_iter();
    facets.filter_map(|facet| changes(&path, facet.name(), facet.told().into_iter().collect())).collect()
}

/// The number of a unit's job.
fn of_job_of(world: &World, name: &str) -> Option<Message> {
    let changed = BTreeMap::from([("Job", unit::job_property(world.job_of(name)))]);
    changes(&path::unit(name), unit::INTERFACE.name, changed)
}

fn changes(path: &str, interface: &str, changed: BTreeMap<&str, Variant<'static>>) -> Option<Message> {
    let body = || Body::of(&(interface, &changed, Vec::<String>::new()));
    (!changed.is_empty()).then(|| Message::signal(path, PROPERTIES, "PropertiesChanged", body()))
}
