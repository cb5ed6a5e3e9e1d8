//! Objects: which interfaces each one has, with their methods and their values.

use std::rc::Rc;

use ashlar_config::unit::is_unit_name;

use crate::interface::{Bound, Facet, Interface, Method, job, kinds, manager, service, unit};
use crate::path::Object;
use crate::world::{UnitView, World};

/// Interfaces of an object with their methods; `None` if there is no such object.
pub fn methods(world: &World, object: &Object) -> Option<Vec<(&'static str, &'static [Method])>> {
    match object {
        Object::Folder => Some(Vec::new()),
        Object::Manager => Some(vec![(manager::INTERFACE.name, manager::INTERFACE.methods)]),
        Object::LogControl => Some(vec![(manager::LOG_CONTROL.name, manager::LOG_CONTROL.methods)]),
        Object::Unit(name) if is_unit_name(name) => {
            Some(unit_interfaces(name).into_iter().map(|interface| (interface.name, interface.methods)).collect())
        }
        Object::Unit(_) => None,
        Object::Job(id) => world.job(*id).map(|_| vec![(job::INTERFACE.name, job::INTERFACE.methods)]),
    }
}

/// The interfaces of an object with their values; `None` if there is none.
pub fn facets(world: &mut World, object: &Object) -> Option<Vec<Box<dyn Facet>>> {
    match object {
        Object::Folder => Some(Vec::new()),
        Object::Manager => {
            let subject = Rc::new(world.machine());
            Some(vec![Box::new(Bound { interface: &manager::INTERFACE, subject })])
        }
        Object::LogControl => {
            let subject = Rc::new(world.machine());
            Some(vec![Box::new(Bound { interface: &manager::LOG_CONTROL, subject })])
        }
        Object::Unit(name) if is_unit_name(name) => Some(unit_facets(&Rc::new(world.view(name)))),
        Object::Unit(_) => None,
        Object::Job(id) => {
            let subject = Rc::new(world.job(*id)?.clone());
            Some(vec![Box::new(Bound { interface: &job::INTERFACE, subject })])
        }
    }
}

/// Those of a unit.
pub fn unit_facets(view: &Rc<UnitView>) -> Vec<Box<dyn Facet>> {
    let bound = |interface| -> Box<dyn Facet> { Box::new(Bound { interface, subject: Rc::clone(view) }) };
    unit_interfaces(&view.status.name).into_iter().map(bound).collect()
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
