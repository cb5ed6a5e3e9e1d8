//! Directives, a file for each kind of them. Each takes one assignment: a list is added to, an empty value empties it.

mod calls;
mod exec;
mod finish;
mod resources;
mod seal;
mod service;
mod triggers;
mod unit;

use super::specifier::Context;
use super::value;
use super::words::split;
use crate::quantity::Span;
use crate::unit::{
    Accept, Body, Exec, FolderKind, GroupLimits, Load, Mountable, Scope, Service, ServiceType, Socket, Timer, Unit,
    Watched,
};

/// Whether a directive was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was.
    Yes,
    /// Nobody here knows it.
    Unknown,
}

/// Sockets as they are written: one set of options for all of them.
#[derive(Debug, Default)]
pub struct SocketDraft {
    listen: Vec<Socket>,
    options: Socket,
    service: String,
    accepts: bool,
    accept: Accept,
}

/// A unit that is being read.
#[derive(Debug)]
pub struct Draft<'a> {
    pub context: Context<'a>,
    pub unit: Unit,
    pub problems: Vec<String>,
    service: Service,
    exec: Exec,
    limits: GroupLimits,
    socket: SocketDraft,
    timer: Timer,
    timer_unit: String,
    watched: Watched,
    mount: Mountable,
    scope: Scope,
    /// The image brought it: it has a container, and only some settings can change.
    in_container: bool,
    default_dependencies: bool,
    mounts_for: Vec<String>,
    type_is_set: bool,
    timeout_is_set: bool,
    folder_modes: Vec<(FolderKind, u32)>,
    call_error: Option<u32>,
    only_start_is_restricted: bool,
}

impl<'a> Draft<'a> {
    pub fn new(name: &str, context: Context<'a>, base: Option<Unit>) -> Self {
        let in_container = base.is_some();
        let unit =
            base.unwrap_or_else(|| Unit { name: name.to_owned(), description: name.to_owned(), ..Unit::default() });
        let mut draft = Self {
            context,
            unit,
            problems: Vec::new(),
            service: Service { service_type: ServiceType::Simple, ..Service::default() },
            exec: Exec::default(),
            limits: GroupLimits::default(),
            socket: SocketDraft::default(),
            timer: Timer::default(),
            timer_unit: String::new(),
            watched: Watched::default(),
            mount: Mountable::default(),
            scope: Scope::default(),
            in_container,
            default_dependencies: !in_container,
            mounts_for: Vec::new(),
            type_is_set: false,
            timeout_is_set: false,
            folder_modes: Vec::new(),
            call_error: None,
            only_start_is_restricted: false,
        };
        draft.take_over();
        draft
    }

    /// Goes on from what the image says.
    fn take_over(&mut self) {
        match &self.unit.body {
            Body::Service(service) if self.in_container => self.service = (**service).clone(),
            Body::Timer { service, timer } => (self.timer_unit, self.timer) = (service.clone(), timer.clone()),
            Body::Socket { service, sockets, .. } => {
                (self.socket.service, self.socket.listen) = (service.clone(), sockets.clone());
            }
            Body::Scope(scope) => self.scope = (**scope).clone(),
            _ => {}
        }
    }

    /// It cannot be loaded; the first reason counts.
    pub fn refuse(&mut self, load: Load, reason: String) {
        if self.unit.source.load == Load::Loaded {
            (self.unit.source.load, self.unit.source.error) = (load, reason);
        }
    }

    fn is(&self, kind: &str) -> bool {
        super::kind_of(&self.unit.name) == kind
    }

    fn expand(&self, text: &str) -> Result<String, String> {
        self.context.expand(text)
    }

    /// Words with their specifiers put in.
    fn words(&self, text: &str) -> Result<Vec<String>, String> {
        split(text)?.iter().map(|word| self.expand(word)).collect()
    }

    /// Adds to a list, or empties it.
    fn add(&self, list: &mut Vec<String>, text: &str) -> Result<(), String> {
        match text.is_empty() {
            true => list.clear(),
            false => list.extend(self.words(text)?),
        }
        Ok(())
    }

    fn path(&self, text: &str) -> Result<String, String> {
        value::path(&self.expand(text)?)
    }

    fn has_own_processes(&self) -> bool {
        ["service", "socket", "mount"].iter().any(|kind| self.is(kind))
    }
}

/// Takes one assignment.
pub fn take(draft: &mut Draft<'_>, section: &str, key: &str, text: &str) -> Result<Taken, String> {
    let kind = super::kind_of(&draft.unit.name).to_owned();
    let own = format!("{}{}", kind[..1].to_uppercase(), &kind[1..]);
    match section {
        _ if is_as_it_is(key, text) => Ok(Taken::Yes),
        "Unit" => unit::take(draft, key, text),
        "Install" => Ok(Taken::Yes),
        // For others than the manager.
        other if other.starts_with("X-") => Ok(Taken::Yes),
        _ if key.starts_with("X-") => Ok(Taken::Yes),
        other if other == own => take_own(draft, &kind, key, text),
        _ => Ok(Taken::Unknown),
    }
}

/// Settings with the only value that they have here: what is done anyway. With any other value they are not supported.
const AS_IT_IS: [(&str, &str); 22] = [
    ("ExitType", "main"),
    ("FinalKillSignal", "SIGKILL"),
    ("FixedRandomDelay", "yes"),
    ("FlushPending", "no"),
    ("ForceUnmount", "no"),
    ("GuessMainPID", "yes"),
    ("IgnoreSIGPIPE", "no"),
    ("JobRunningTimeoutSec", "infinity"),
    ("KeyringMode", "private"),
    ("LogLevelMax", "debug"),
    ("OnClockChange", "no"),
    ("OnTimezoneChange", "no"),
    ("ReadWriteOnly", "no"),
    ("RemainAfterElapse", "yes"),
    ("RemoveOnStop", "yes"),
    ("RestartSteps", "0"),
    ("SloppyOptions", "no"),
    ("SurviveFinalKillSignal", "no"),
    ("SyslogLevelPrefix", "yes"),
    ("TimeoutStopFailureMode", "terminate"),
    ("WakeSystem", "no"),
    ("WatchdogSignal", "SIGABRT"),
];

fn is_as_it_is(key: &str, text: &str) -> bool {
    let known = AS_IT_IS.iter().find(|(known, _)| *known == key);
    let same = |own: &str| own == text || value::boolean(own).is_ok_and(|own| value::boolean(text) == Ok(own));
    known.is_some_and(|(_, own)| same(own))
}

fn take_own(draft: &mut Draft<'_>, kind: &str, key: &str, text: &str) -> Result<Taken, String> {
    let own: fn(&mut Draft<'_>, &str, &str) -> Result<Taken, String> = match kind {
        "service" => service::take,
        "socket" => triggers::socket,
        "timer" => triggers::timer,
        "path" => triggers::path,
        "mount" => triggers::mount,
        "scope" => triggers::scope,
        _ => |_, _, _| Ok(Taken::Unknown),
    };
    if own(draft, key, text)? == Taken::Yes {
        return Ok(Taken::Yes);
    }
    if ["service", "socket", "mount", "slice", "scope"].contains(&kind)
        && resources::take(draft, key, text)? == Taken::Yes
    {
        return Ok(Taken::Yes);
    }
    if draft.has_own_processes() && exec::take(draft, key, text)? == Taken::Yes {
        return Ok(Taken::Yes);
    }
    match draft.has_own_processes() {
        true => seal::take(draft, key, text),
        false => Ok(Taken::Unknown),
    }
}

/// Whether a directive keeps its unit from doing something: one that is not understood must not be passed over.
pub fn guards(key: &str) -> bool {
    const NAMED: [&str; 21] = [
        "Accept",
        "User",
        "Group",
        "DynamicUser",
        "SupplementaryGroups",
        "CapabilityBoundingSet",
        "AmbientCapabilities",
        "NoNewPrivileges",
        "SystemCallFilter",
        "SystemCallArchitectures",
        "RootDirectory",
        "RootImage",
        "IPAddressAllow",
        "IPAddressDeny",
        "SELinuxContext",
        "AppArmorProfile",
        "SmackProcessLabel",
        "LockPersonality",
        "MemoryDenyWriteExecute",
        "DevicePolicy",
        "DeviceAllow",
    ];
    const BEGINNINGS: [&str; 8] =
        ["Protect", "Private", "Restrict", "ReadOnly", "Inaccessible", "NoExec", "SocketBind", "TemporaryFileSystem"];
    let not = ["RestrictMode", "PrivateSend"];
    NAMED.contains(&key) || (BEGINNINGS.iter().any(|word| key.starts_with(word)) && !not.contains(&key))
}

/// A switch, a number or a word that is put in its place.
fn put<T>(place: &mut T, value: Result<T, String>) -> Result<Taken, String> {
    *place = value?;
    Ok(Taken::Yes)
}

/// A span of time that is none if it is not said or infinite.
fn put_span(place: &mut Option<Span>, text: &str) -> Result<Taken, String> {
    let span = value::span(text)?;
    *place = Some(span).filter(|span| *span != Span::INFINITY && span.0 != 0);
    Ok(Taken::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_anyway() {
        assert!(is_as_it_is("GuessMainPID", "true") && is_as_it_is("ExitType", "main"));
        assert!(!is_as_it_is("GuessMainPID", "no") && !is_as_it_is("ExitType", "cgroup") && !is_as_it_is("Nice", "no"));
    }

    #[test]
    fn what_guards() {
        for key in ["PrivateUsers", "ProtectSystem", "RestrictFileSystems", "IPAddressDeny", "RootDirectory", "User"] {
            assert!(guards(key), "{key}");
        }
        for key in ["Nice", "TimeoutSec", "Restart", "Description", "LogLevelMax", "RemoveIPC"] {
            assert!(!guards(key), "{key}");
        }
    }
}
