//! What an interface is here: tables of properties, methods and signals. Dispatch, `GetAll` and introspection read the
//! same tables, so that none of them can say something else than the others.

pub mod absent;
pub mod exec;
pub mod job;
pub mod kinds;
pub mod manager;
pub mod service;
pub mod settings;
pub mod unit;
pub mod unit_files;

use std::rc::Rc;

use zbus::{Signature, Variant};

use crate::fault::Fault;
use crate::path::Object;
use crate::wire::{Body, Message};
use crate::world::World;

/// Whether a change of a property is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// With its new value. Such a property comes from a unit's status alone.
    Emits,
    /// It never changes.
    Const,
    /// Who wants to know asks.
    Silent,
    /// Likewise, and it may be set.
    Written,
}

/// A property of a subject.
pub struct Property<S> {
    pub name: &'static str,
    pub signature: &'static str,
    pub change: Change,
    pub get: fn(&S) -> Variant<'static>,
}

/// A property whose changes are told.
pub const fn emits<S>(name: &'static str, signature: &'static str, get: fn(&S) -> Variant<'static>) -> Property<S> {
    Property { name, signature, change: Change::Emits, get }
}

/// A property that stays as it is.
pub const fn fixed<S>(name: &'static str, signature: &'static str, get: fn(&S) -> Variant<'static>) -> Property<S> {
    Property { name, signature, change: Change::Const, get }
}

/// A property that callers set, by [`manager::write`].
pub const fn written<S>(name: &'static str, signature: &'static str, get: fn(&S) -> Variant<'static>) -> Property<S> {
    Property { name, signature, change: Change::Written, get }
}

/// A property that changes by itself.
pub const fn silent<S>(name: &'static str, signature: &'static str, get: fn(&S) -> Variant<'static>) -> Property<S> {
    Property { name, signature, change: Change::Silent, get }
}

/// Who may make a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Everybody.
    Read,
    /// Root and the group `os`.
    Manage,
}

/// A method.
pub struct Method {
    pub name: &'static str,
    pub input: &'static str,
    pub output: &'static str,
    pub need: Need,
    pub run: fn(&mut World, &Call<'_>) -> Result<Body, Fault>,
}

/// A method that everybody may call.
pub const fn reads(
    name: &'static str,
    input: &'static str,
    output: &'static str,
    run: fn(&mut World, &Call<'_>) -> Result<Body, Fault>,
) -> Method {
    Method { name, input, output, need: Need::Read, run }
}

/// A method that changes something.
pub const fn manages(
    name: &'static str,
    input: &'static str,
    output: &'static str,
    run: fn(&mut World, &Call<'_>) -> Result<Body, Fault>,
) -> Method {
    Method { name, input, output, need: Need::Manage, run }
}

/// A signal and the signature of its arguments.
pub type Signal = (&'static str, &'static str);

/// An interface over subjects of one type.
pub struct Interface<S: 'static> {
    pub name: &'static str,
    /// In groups.
    pub properties: &'static [&'static [Property<S>]],
    pub methods: &'static [Method],
    pub signals: &'static [Signal],
}

/// Who calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// How it is known on its transport: a unique name on the bus, a number on the private socket.
    pub peer: String,
    pub pid: u32,
    pub uid: u32,
    pub manages: bool,
}

/// A call.
pub struct Call<'a> {
    pub object: Object,
    pub message: &'a Message,
    pub caller: &'a Caller,
}

impl Call<'_> {
    /// Its arguments. The dispatcher has held their signature against the method's.
    pub fn arguments<T: serde::de::DeserializeOwned + zbus::Type>(&self) -> Result<T, Fault> {
        self.message.body.get().ok_or_else(|| Fault::invalid("the arguments cannot be read"))
    }

    /// The name of the unit that it is made on.
    pub fn unit(&self) -> &str {
        match &self.object {
            Object::Unit(name) => name,
            _ => "",
        }
    }
}

impl<S> Interface<S> {
    fn all(&self) -> impl Iterator<Item = &'static Property<S>> {
        self.properties.iter().copied().flatten()
    }
}

/// An interface with its subject.
pub trait Facet {
    fn name(&self) -> &'static str;
    fn methods(&self) -> &'static [Method];
    fn signals(&self) -> &'static [Signal];
    /// Name, signature and change of every property.
    fn properties(&self) -> Vec<(&'static str, &'static str, Change)>;
    fn get(&self, name: &str) -> Option<Variant<'static>>;
    fn all(&self) -> Vec<(&'static str, Variant<'static>)>;
    /// Those whose changes are told.
    fn told(&self) -> Vec<(&'static str, Variant<'static>)>;
}

/// The one implementation.
pub struct Bound<S: 'static> {
    pub interface: &'static Interface<S>,
    pub subject: Rc<S>,
}

impl<S> Facet for Bound<S> {
    fn name(&self) -> &'static str {
        self.interface.name
    }

    fn methods(&self) -> &'static [Method] {
        self.interface.methods
    }

    fn signals(&self) -> &'static [Signal] {
        self.interface.signals
    }

    fn properties(&self) -> Vec<(&'static str, &'static str, Change)> {
        self.interface.all().map(|p| (p.name, p.signature, p.change)).collect()
    }

    fn get(&self, name: &str) -> Option<Variant<'static>> {
        let property = self.interface.all().find(|property| property.name == name)?;
        Some((property.get)(&self.subject))
    }

    fn all(&self) -> Vec<(&'static str, Variant<'static>)> {
        self.interface.all().map(|property| (property.name, (property.get)(&self.subject))).collect()
    }

    fn told(&self) -> Vec<(&'static str, Variant<'static>)> {
        let told = self.interface.all().filter(|property| property.change == Change::Emits);
        told.map(|property| (property.name, (property.get)(&self.subject))).collect()
    }
}

/// A string.
pub fn text(value: impl Into<String>) -> Variant<'static> {
    Variant::from(value.into())
}

/// An array of strings.
pub fn texts(values: impl IntoIterator<Item = impl Into<String>>) -> Variant<'static> {
    Variant::new(values.into_iter().map(Into::into).collect::<Vec<String>>())
}

/// An object path.
pub fn object(path: String) -> zbus::OwnedObjectPath {
    zbus::OwnedObjectPath::try_from(path).unwrap_or_default()
}

/// An array without elements.
pub fn none_of(element: &str) -> Variant<'static> {
    let element = Signature::try_from(element).unwrap_or(Signature::Str);
    Variant::Array(zbus::Array::new(&element))
}
