//! The machine's configuration, `machine.toml`: who may log in, the name, the network, the clock, the kernel's settings.
//!
//! It is read leniently: whatever is wrong is an [`Error`] with its line and is left out, down to the single key or list
//! entry, and the rest holds. A machine that nobody can reach any more because of a misspelt word helps nobody. What only
//! the machine itself can know, such as which groups there are, is for `provision` to check: each value knows its place.

mod address;
mod name;
mod network;
mod section;
mod ssh_key;
mod update;

use toml::de::DeTable;

use crate::Error;

pub use network::Network;
use section::{Section, Source};
pub use update::{Check, CheckKind, Lock, Peers, Update};

/// Longest file that is looked at, in bytes.
pub const LIMIT: usize = 64 << 10;

/// A configuration, with what was wrong left out. In doubt a list is empty and a value `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// `hostname = "web-1"`.
    pub hostname: Option<Placed<String>>,
    /// `[[users]]`, in order.
    pub users: Vec<User>,
    /// `[console] autologin = "core"`: the serial console logs this user in.
    pub autologin: Option<Placed<String>>,
    /// `[[network]]`, in order: the first that matches an interface counts.
    pub networks: Vec<Network>,
    /// `timezone = "Europe/Vienna"`.
    pub timezone: Option<Placed<String>>,
    /// `time-servers = ["ntp.example.net"]`.
    pub time_servers: Vec<Placed<String>>,
    /// `[sysctl]`: key with dots, value.
    pub sysctl: Vec<(Placed<String>, String)>,
    /// `modules = ["br_netfilter"]`.
    pub modules: Vec<Placed<String>>,
    /// `[update]`.
    pub update: Update,
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// As in /etc/passwd.
    pub name: Placed<String>,
    /// Public keys as in authorized_keys, without options.
    pub ssh_keys: Vec<Placed<String>>,
    /// Further groups.
    pub groups: Vec<Placed<String>>,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// The value.
    pub value: T,
    /// The file, as its author knows it.
    pub file: String,
    /// Line in it, counted from 1.
    pub line: usize,
}

impl<T> Placed<T> {
    /// Something that is wrong with it.
    pub fn error(&self, message: impl Into<String>) -> Error {
        Error { file: self.file.clone(), line: Some(self.line), message: message.into() }
    }
}

/// Reads a file's text; `file` is only named in errors.
pub fn parse(file: &str, text: &str) -> (Machine, Vec<Error>) {
    if text.len() > LIMIT {
        let error = Error::whole(file, format!("has {} bytes, at most {LIMIT} are taken", text.len()));
        return (Machine::default(), vec![error]);
    }
    let (table, mistakes) = DeTable::parse_recoverable(text);
    let mut source = Source::new(file, text);
    mistakes.iter().for_each(|mistake| source.toml(mistake));
    let mut top = Section::new("", table.get_ref());
    let machine = machine(&mut top, &mut source);
    top.finish(&mut source);
    (machine, source.into_errors())
}

fn machine(top: &mut Section<'_>, source: &mut Source<'_>) -> Machine {
    let hostname = top.text(source, "hostname").filter(|text| source.holds(text, name::host));
    let users = top.sections(source, "users").into_iter().filter_map(|entry| user(entry, source)).collect();
    let networks = top.sections(source, "network").into_iter();
    let networks = networks.filter_map(|entry| network::read(entry, source)).collect();
    let mut machine = Machine {
        hostname,
        users: without_twins(users, source),
        autologin: None,
        networks,
        timezone: top.text(source, "timezone").filter(|text| source.holds(text, name::zone)),
        time_servers: top.checked(source, "time-servers", address::server),
        sysctl: top.settings(source, "sysctl"),
        modules: top.checked(source, "modules", name::module),
        update: Update::default(),
    };
    if let Some(mut console) = top.section(source, "console") {
        machine.autologin = console.text(source, "autologin").filter(|text| source.holds(text, name::user));
        console.finish(source);
    }
    if let Some(section) = top.section(source, "update") {
        machine.update = update::read(section, source);
    }
    machine
}

fn user(mut entry: Section<'_>, source: &mut Source<'_>) -> Option<User> {
    let name = entry.required_text(source, "name").filter(|text| source.holds(text, name::user));
    let ssh_keys = entry.checked(source, "ssh-keys", ssh_key::check);
    let groups = entry.checked(source, "groups", name::user);
    entry.finish(source);
    Some(User { name: name?, ssh_keys, groups })
}

/// Of two users of one name the first counts.
fn without_twins(users: Vec<User>, source: &mut Source<'_>) -> Vec<User> {
    let mut kept: Vec<User> = Vec::new();
    for user in users {
        match kept.iter().find(|other| other.name.value == user.name.value) {
            Some(other) => {
                let first = other.name.line;
                source.push(user.name.error(format!("user `{}` is already in line {first}", user.name.value)));
            }
            None => kept.push(user),
        }
    }
    kept
}

impl Machine {
    /// Another configuration over this one: what it says at all, it says instead.
    pub fn overridden_by(self, other: Self) -> Self {
        fn list<T>(ours: Vec<T>, theirs: Vec<T>) -> Vec<T> {
            if theirs.is_empty() { ours } else { theirs }
        }
        Self {
            hostname: other.hostname.or(self.hostname),
            users: list(self.users, other.users),
            autologin: other.autologin.or(self.autologin),
            networks: list(self.networks, other.networks),
            timezone: other.timezone.or(self.timezone),
            time_servers: list(self.time_servers, other.time_servers),
            sysctl: list(self.sysctl, other.sysctl),
            modules: list(self.modules, other.modules),
            update: self.update.overridden_by(other.update),
        }
    }
}

#[cfg(test)]
mod tests;
