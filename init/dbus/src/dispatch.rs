//! From a call to its answer: the interfaces that every object has (D-Bus Specification, "Standard Interfaces"), and
//! those of the tables. Errors are the ones that sd-bus gives.

use std::collections::BTreeMap;

use zbus::Variant;

use crate::fault::{self, Fault};
use crate::interface::{Call, Caller, Change, Facet, Method, Need, manager};
use crate::introspect;
use crate::objects;
use crate::path::{self, Object};
use crate::wire::{Body, Message};
use crate::world::World;

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
const PEER: &str = "org.freedesktop.DBus.Peer";
const MACHINE_ID: &str = "/run/ashlar/etc/machine-id";

/// Answers a call.
///
/// # Errors
/// The call is wrong, or refused.
pub fn answer(world: &mut World, message: &Message, caller: &Caller) -> Result<Body, Fault> {
    let header = &message.header;
    if header.interface == PEER {
        return peer(&header.member);
    }
    let unknown = || Fault::new(fault::UNKNOWN_OBJECT, format!("Unknown object '{}'.", header.path));
    let object = path::parse(&header.path).ok_or_else(unknown)?;
    let object = stand_in(world, object, caller).ok_or_else(unknown)?;
    let methods = objects::methods(world, &object).ok_or_else(unknown)?;
    match header.interface.as_str() {
        PROPERTIES => {
            let facets = objects::facets(world, &object).ok_or_else(unknown)?;
            properties(world, &facets, &Call { object, message, caller })
        }
        INTROSPECTABLE if header.member == "Introspect" => {
            let facets = objects::facets(world, &object).ok_or_else(unknown)?;
            Ok(Body::of(&(introspect::document(&facets, &world.children(&header.path)),)))
        }
        _ => call(world, &methods, &Call { object, message, caller }),
    }
}

/// A unit by the number of a run of it, or as the caller's own, is the unit by its name.
fn stand_in(world: &mut World, object: Object, caller: &Caller) -> Option<Object> {
    let Object::Unit(name) = object else { return Some(object) };
    if name == "self" {
        let ask = ashlar_control::message::Method::GetUnitByProcess { pid: caller.pid };
        let Ok(ashlar_control::message::Reply::Unit { unit }) = world.ask(&ask) else { return None };
        return Some(Object::Unit(unit.name));
    }
    if name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return world.unit_of_invocation(&name).map(|name| Object::Unit(name.to_owned()));
    }
    Some(Object::Unit(name))
}

fn peer(member: &str) -> Result<Body, Fault> {
    match member {
        "Ping" => Ok(Body::empty()),
        "GetMachineId" => {
            let id = std::fs::read_to_string(MACHINE_ID).unwrap_or_default();
            Ok(Body::of(&(id.trim(),)))
        }
        _ => Err(unknown_method(PEER, member)),
    }
}

fn unknown_method(interface: &str, member: &str) -> Fault {
    Fault::new(fault::UNKNOWN_METHOD, format!("Unknown method {member} or interface {interface}."))
}

fn wrong_signature(message: &Message, expected: &str) -> Fault {
    let (header, got) = (&message.header, message.body.signature());
    let method = format!("{}.{}()", header.interface, header.member);
    Fault::invalid(format!("Invalid arguments '{got}' to call {method}, expecting '{expected}'."))
}

fn properties(world: &mut World, facets: &[Box<dyn Facet>], call: &Call<'_>) -> Result<Body, Fault> {
    let message = call.message;
    match message.header.member.as_str() {
        "Get" => {
            let (interface, name): (String, String) =
                message.body.get().ok_or_else(|| wrong_signature(message, "ss"))?;
            let value = of(facets, &interface).find_map(|facet| facet.get(&name));
            value.map(|value| Body::of(&(value,))).ok_or_else(|| unknown_property(&interface, &name))
        }
        "GetAll" => {
            let (interface,): (String,) = message.body.get().ok_or_else(|| wrong_signature(message, "s"))?;
            let standard = [PROPERTIES, INTROSPECTABLE, PEER].contains(&interface.as_str());
            if !interface.is_empty() && !standard && of(facets, &interface).next().is_none() {
                return Err(Fault::new(
                    "org.freedesktop.DBus.Error.UnknownInterface",
                    format!("Unknown interface {interface}."),
                ));
            }
            let all: BTreeMap<&str, Variant<'static>> = of(facets, &interface).flat_map(Facet::all).collect();
            Ok(Body::of(&(all,)))
        }
        "Set" => {
            let (interface, name, value): (String, String, Variant<'_>) =
                message.body.borrow().ok_or_else(|| wrong_signature(message, "ssv"))?;
            let found = of(facets, &interface).flat_map(|facet| facet.properties()).find(|(own, ..)| *own == name);
            match found {
                Some((.., Change::Written)) => manages(call.caller).and_then(|()| manager::write(world, &name, &value)),
                Some(_) => Err(Fault::new(fault::PROPERTY_READ_ONLY, format!("Property '{name}' is not writable."))),
                None => Err(unknown_property(&interface, &name)),
            }
        }
        other => Err(unknown_method(PROPERTIES, other)),
    }
}

fn unknown_property(interface: &str, name: &str) -> Fault {
    Fault::new(fault::UNKNOWN_PROPERTY, format!("Unknown interface {interface} or property {name}."))
}

/// The facets of an interface; of all of them if it has no name, as systemctl asks.
fn of<'a>(facets: &'a [Box<dyn Facet>], interface: &'a str) -> impl Iterator<Item = &'a dyn Facet> {
    facets.iter().map(|facet| &**facet).filter(move |facet| interface.is_empty() || facet.name() == interface)
}

fn call(world: &mut World, interfaces: &[(&str, &'static [Method])], call: &Call<'_>) -> Result<Body, Fault> {
    let header = &call.message.header;
    let meant = |name: &str| header.interface.is_empty() || header.interface == name;
    let mut methods = interfaces.iter().filter(|(name, _)| meant(name)).flat_map(|(_, methods)| *methods);
    let method = methods.find(|method| method.name == header.member);
    let method = method.ok_or_else(|| unknown_method(&header.interface, &header.member))?;
    if call.message.body.signature() != method.input {
        return Err(wrong_signature(call.message, method.input));
    }
    if method.need == Need::Manage {
        manages(call.caller)?;
    }
    (method.run)(world, call)
}

fn manages(caller: &Caller) -> Result<(), Fault> {
    match caller.manages {
        true => Ok(()),
        false => Err(Fault::new(fault::ACCESS_DENIED, "Access denied: this is for root and members of group os")),
    }
}
