//! Units that are made by a call: the properties that programs really send (systemd-run, podman, crun, runc, containerd,
//! logind, machined), as a unit's settings.
//!
//! They apply in order; lists append, an empty one resets. What is not understood is refused with systemd's own words,
//! out of which programs read the property's name to try without it.

use std::os::fd::OwnedFd;

use ashlar_config::quantity::Span;
use ashlar_config::unit::{
    Body as Kind, Dependencies, HostCommand, KillMode, NotifyAccess, OomPolicy, Output, Restart, Scope, Service,
    ServiceType, Signal, Slice, Timer, Unit,
};
use ashlar_control::message::Method as Ask;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use zbus::Variant;

use crate::actions::{self, job_reply, mode_of, pid_of, valid};
use crate::devices;
use crate::fault::{self, Fault};
use crate::interface::Call;
use crate::wire::Body;
use crate::world::World;

type Properties<'a> = Vec<(String, Variant<'a>)>;

/// No limit.
const INFINITY: u64 = u64::MAX;

/// StartTransientUnit.
pub fn start(world: &mut World, call: &Call<'_>) -> Result<Body, Fault> {
    let arguments = call.message.body.borrow::<(String, String, Properties<'_>, Vec<(String, Properties<'_>)>)>();
    let (name, mode, properties, others) = arguments.ok_or_else(|| Fault::invalid("the properties cannot be read"))?;
    let mode = mode_of(&mode)?;
    valid(&name)?;
    let mut first = Draft::new(&name)?;
    first.apply(&properties)?;
    // Before anything else: engines ask again for one that is there, and go on with it.
    if world.unit(&name).is_some() {
        return Err(ashlar_control::message::Refusal::UnitExists { unit: name }.into());
    }
    let (hold, descriptors, mut processes) =
        (first.hold, std::mem::take(&mut first.descriptors), std::mem::take(&mut first.processes));
    processes.iter_mut().filter(|pid| **pid == 0).for_each(|pid| *pid = call.caller.pid);
    if name.ends_with(".scope") && processes.is_empty() {
        return Err(Fault::new(fault::FILE_NOT_FOUND, "No processes to put into the scope were given."));
    }
    let environment = world.machine().machine.environment;
    let mut units = vec![first.finish(&environment)?];
    for (name, properties) in others {
        valid(&name)?;
        let mut draft = Draft::new(&name)?;
        draft.apply(&properties)?;
        units.push(draft.finish(&environment)?);
    }
    // A timer's service is what it starts: it has to be there first.
    let reply = world.act(&Ask::StartTransient { units, mode, processes }, &descriptors)?;
    if hold {
        actions::hold(world, call.caller, &name, true)?;
    }
    job_reply(reply)
}

/// SetUnitProperties: limits only.
pub fn resources(properties: &[(String, Variant<'_>)]) -> Result<Value, Fault> {
    let mut limits = Limits::default();
    for (name, value) in properties {
        if name == "Description" {
            continue;
        }
        if !limits.take(name, value)? {
            return Err(unknown(name));
        }
    }
    Ok(limits.finish())
}

fn unknown(name: &str) -> Fault {
    Fault::new(fault::PROPERTY_READ_ONLY, format!("Cannot set property {name}, or unknown property."))
}

fn mistyped(name: &str) -> Fault {
    Fault::invalid(format!("Property {name} has a value of a wrong type."))
}

/// A unit that is being described.
#[derive(Debug, Default)]
struct Draft {
    unit: Unit,
    service: Service,
    host: HostCommand,
    scope: Scope,
    timer: Timer,
    timer_unit: String,
    limits: Limits,
    processes: Vec<u32>,
    descriptors: Vec<OwnedFd>,
    hold: bool,
    default_dependencies: bool,
    delegate: bool,
    tty: bool,
}

impl Draft {
    fn new(name: &str) -> Result<Self, Fault> {
        let kind = name.rsplit_once('.').map_or("", |(_, kind)| kind);
        if !["service", "scope", "slice", "timer"].contains(&kind) {
            return Err(Fault::invalid(format!("Unit type {kind} does not support transient units.")));
        }
        let unit = Unit { name: name.to_owned(), description: name.to_owned(), transient: true, ..Unit::default() };
        let service = Service { service_type: ServiceType::Simple, ..Service::default() };
        Ok(Self { unit, service, default_dependencies: true, ..Self::default() })
    }

    fn is(&self, kind: &str) -> bool {
        self.unit.name.ends_with(kind)
    }

    fn apply(&mut self, properties: &[(String, Variant<'_>)]) -> Result<(), Fault> {
        for (name, value) in properties {
            let taken = self.take_common(name, value)?
                || self.limits.take(name, value)?
                || match () {
                    () if self.is(".service") => self.take_service(name, value)?,
                    () if self.is(".scope") => self.take_scope(name, value)?,
                    () if self.is(".timer") => self.take_timer(name, value)?,
                    () => false,
                };
            if !taken {
                return Err(unknown(name));
            }
        }
        Ok(())
    }

    fn take_common(&mut self, name: &str, value: &Variant<'_>) -> Result<bool, Fault> {
        match name {
            "Description" => self.unit.description = get(name, value)?,
            "Documentation" => self.unit.documentation = get(name, value)?,
            "Slice" => self.unit.slice = get(name, value)?,
            "DefaultDependencies" => self.default_dependencies = get(name, value)?,
            "CollectMode" => self.unit.collect_failed = get::<String>(name, value)? == "inactive-or-failed",
            "AddRef" => self.hold = get(name, value)?,
            "Delegate" if self.is(".slice") => {
                return Err(Fault::invalid("Delegation not available for unit type"));
            }
            "Delegate" => self.delegate = get(name, value)?,
            "DelegateSubgroup" => self.service.delegate_subgroup = Some(get(name, value)?),
            "Requires" | "Wants" | "BindsTo" | "PartOf" | "Conflicts" | "After" | "Before" | "Requisite" => {
                self.depend(name, get(name, value)?);
            }
            // Whatever is mounted here was mounted before anything was asked for.
            "RequiresMountsFor" | "WantsMountsFor" => drop(get::<Vec<String>>(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn depend(&mut self, kind: &str, names: Vec<String>) {
        let dependencies: &mut Dependencies = &mut self.unit.dependencies;
        let list = match kind {
            "Requires" | "Requisite" => &mut dependencies.requires,
            "Wants" => &mut dependencies.wants,
            "BindsTo" => &mut dependencies.binds_to,
            "PartOf" => &mut dependencies.part_of,
            "Conflicts" => &mut dependencies.conflicts,
            "After" => &mut dependencies.after,
            _ => &mut dependencies.before,
        };
        list.extend(names);
    }

    fn take_scope(&mut self, name: &str, value: &Variant<'_>) -> Result<bool, Fault> {
        let scope = &mut self.scope;
        match name {
            "PIDs" => self.processes.extend(get::<Vec<u32>>(name, value)?),
            "PIDFDs" => {
                let Variant::Array(list) = value else { return Err(mistyped(name)) };
                for one in list.iter() {
                    let Variant::Fd(fd) = one else { return Err(mistyped(name)) };
                    self.processes.push(pid_of(fd)?);
                }
            }
            "KillSignal" => scope.kill_signal = Signal(get(name, value)?),
            "KillMode" => scope.kill_mode = word(name, value)?,
            "SendSIGHUP" => scope.send_sighup = get(name, value)?,
            "TimeoutStopUSec" => scope.timeout_stop = Span(get(name, value)?),
            "RuntimeMaxUSec" => {
                scope.runtime_max = Some(Span(get(name, value)?)).filter(|span| span.0 != INFINITY);
            }
            "OOMPolicy" => scope.oom_policy = word::<OomPolicy>(name, value)?,
            "SendSIGKILL" | "Controller" | "User" | "Group" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_service(&mut self, name: &str, value: &Variant<'_>) -> Result<bool, Fault> {
        let service = &mut self.service;
        let supervision = &mut service.supervision;
        match name {
            "Type" => service.service_type = service_type(&get::<String>(name, value)?)?,
            "RemainAfterExit" => supervision.remain_after_exit = get(name, value)?,
            "Restart" => supervision.restart = word::<Restart>(name, value)?,
            "RestartUSec" => supervision.restart_delay = Span(get(name, value)?),
            "TimeoutStartUSec" => supervision.timeout_start = Span(get(name, value)?),
            "TimeoutStopUSec" => supervision.timeout_stop = Span(get(name, value)?),
            "TimeoutUSec" => {
                supervision.timeout_start = Span(get(name, value)?);
                supervision.timeout_stop = supervision.timeout_start;
            }
            "WatchdogUSec" => {
                supervision.watchdog = Some(Span(get(name, value)?)).filter(|s| s.0 != 0 && s.0 != INFINITY);
            }
            "KillSignal" => supervision.kill_signal = Signal(get(name, value)?),
            "KillMode" => supervision.kill_mode = word::<KillMode>(name, value)?,
            "NotifyAccess" => supervision.notify_access = Some(word::<NotifyAccess>(name, value)?),
            "OOMPolicy" => supervision.oom_policy = word::<OomPolicy>(name, value)?,
            "FileDescriptorStoreMax" => supervision.fd_store = get(name, value)?,
            "StartLimitBurst" => supervision.start_limit_burst = get(name, value)?,
            "StartLimitIntervalUSec" => supervision.start_limit_interval = Span(get(name, value)?),
            "User" => self.host.user = Some(get(name, value)?).filter(|user: &String| !user.is_empty()),
            "Group" => self.host.group = Some(get(name, value)?).filter(|group: &String| !group.is_empty()),
            "WorkingDirectory" => self.host.working_directory = Some(get(name, value)?),
            "Environment" => {
                for entry in get::<Vec<String>>(name, value)? {
                    let (key, text) = entry.split_once('=').ok_or_else(|| mistyped(name))?;
                    self.host.environment.push((key.to_owned(), text.to_owned()));
                }
            }
            "ExecStart" | "ExecStartEx" => self.take_command(name, value)?,
            "StandardInputFileDescriptor" | "StandardOutputFileDescriptor" | "StandardErrorFileDescriptor" => {
                let Variant::Fd(fd) = value else { return Err(mistyped(name)) };
                use std::os::fd::AsFd;
                let own = fd.as_fd().try_clone_to_owned();
                self.descriptors.push(own.map_err(|error| Fault::new(fault::FAILED, error.to_string()))?);
            }
            "StandardInput" => self.tty = get::<String>(name, value)?.starts_with("tty"),
            "StandardOutput" => {
                service.output = match get::<String>(name, value)?.as_str() {
                    "null" => Output::Null,
                    "tty" => Output::Tty,
                    _ => Output::Journal,
                };
            }
            "StandardError" => drop(get::<String>(name, value)?),
            "TTYPath" => service.tty = Some(get(name, value)?),
            "SendSIGHUP" | "SendSIGKILL" | "IgnoreSIGPIPE" | "SyslogIdentifier" | "ExitType" | "GuessMainPID" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn take_command(&mut self, name: &str, value: &Variant<'_>) -> Result<(), Fault> {
        let Variant::Array(list) = value else { return Err(mistyped(name)) };
        let commands: Vec<Vec<String>> = list.iter().filter_map(command).collect();
        match commands.as_slice() {
            [] => self.host.command.clear(),
            [one] if self.host.command.is_empty() => self.host.command.clone_from(one),
            _ => return Err(Fault::invalid("A transient service has one command here.")),
        }
        Ok(())
    }

    fn take_timer(&mut self, name: &str, value: &Variant<'_>) -> Result<bool, Fault> {
        match name {
            "TimersMonotonic" => {
                let Variant::Array(list) = value else { return Err(mistyped(name)) };
                for one in list.iter() {
                    let Variant::Structure(row) = one else { return Err(mistyped(name)) };
                    let [Variant::Str(base), Variant::U64(usec)] = row.fields() else { return Err(mistyped(name)) };
                    let span = Some(Span(*usec));
                    match base.as_str() {
                        "OnActiveSec" | "OnActiveUSec" => self.timer.on_active = span,
                        "OnBootSec" | "OnBootUSec" | "OnStartupSec" | "OnStartupUSec" => self.timer.on_boot = span,
                        "OnUnitActiveSec" | "OnUnitActiveUSec" => self.timer.on_unit_active = span,
                        "OnUnitInactiveSec" | "OnUnitInactiveUSec" => self.timer.on_unit_inactive = span,
                        other => return Err(Fault::invalid(format!("Invalid timer base: {other}"))),
                    }
                }
            }
            "OnActiveUSec" => self.timer.on_active = Some(Span(get(name, value)?)),
            "OnBootUSec" => self.timer.on_boot = Some(Span(get(name, value)?)),
            "OnUnitActiveUSec" => self.timer.on_unit_active = Some(Span(get(name, value)?)),
            "OnUnitInactiveUSec" => self.timer.on_unit_inactive = Some(Span(get(name, value)?)),
            "RandomizedDelayUSec" => self.timer.randomized_delay = Some(Span(get(name, value)?)),
            "Unit" => self.timer_unit = get(name, value)?,
            "AccuracyUSec" | "RemainAfterElapse" | "WakeSystem" | "Persistent" | "FixedRandomDelay" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The whole unit.
    fn finish(mut self, environment: &[(String, String)]) -> Result<Unit, Fault> {
        let resources = std::mem::take(&mut self.limits).finish();
        let stem = self.unit.name.rsplit_once('.').map_or("", |(stem, _)| stem).to_owned();
        if self.unit.slice.is_empty() && !self.is(".slice") {
            self.unit.slice = "system.slice".to_owned();
        }
        if self.default_dependencies {
            self.unit.dependencies.conflicts.push("shutdown.target".to_owned());
            self.unit.dependencies.before.push("shutdown.target".to_owned());
        }
        self.unit.body = match () {
            () if self.is(".slice") => Kind::Slice(Slice { resources }),
            () if self.is(".scope") => {
                Kind::Scope(Box::new(Scope { resources, delegate: self.delegate, ..self.scope }))
            }
            () if self.is(".timer") => {
                let service = if self.timer_unit.is_empty() { format!("{stem}.service") } else { self.timer_unit };
                Kind::Timer { service, timer: self.timer }
            }
            () => {
                if self.host.command.is_empty() {
                    let text = format!("Service {} has no ExecStart= setting.", self.unit.name);
                    return Err(Fault::new("org.freedesktop.systemd1.BadUnitSetting", text));
                }
                let mut host = self.host;
                let all: Vec<(String, String)> = environment.iter().chain(&host.environment).cloned().collect();
                host.command = host.command.iter().map(|word| expand(word, &all)).collect();
                let mut service = self.service;
                (service.resources, service.delegate, service.host) = (resources, self.delegate, Some(host));
                if !self.tty {
                    service.tty = None;
                } else if service.output == Output::Journal {
                    service.output = Output::Tty;
                }
                Kind::Service(Box::new(service))
            }
        };
        Ok(self.unit)
    }
}

/// `$$` is `$`, `${NAME}` is the variable (systemd.service(5), "Command lines").
fn expand(word: &str, environment: &[(String, String)]) -> String {
    let (mut out, mut rest) = (String::new(), word);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            let value = environment.iter().rev().find(|(key, _)| key == name);
            out.push_str(value.map_or("", |(_, value)| value));
            rest = tail;
        } else {
            out.push('$');
        }
    }
    out + rest
}

/// Arguments of one command; the path stands in the place of the first.
fn command(row: &Variant<'_>) -> Option<Vec<String>> {
    let Variant::Structure(row) = row else { return None };
    let (Variant::Str(path), Variant::Array(words)) = (row.fields().first()?, row.fields().get(1)?) else {
        return None;
    };
    let words =
        words.iter().filter_map(|word| if let Variant::Str(word) = word { Some(word.to_string()) } else { None });
    Some([path.to_string()].into_iter().chain(words.skip(1)).collect())
}

fn service_type(word: &str) -> Result<ServiceType, Fault> {
    match word {
        "simple" | "idle" => Ok(ServiceType::Simple),
        "exec" => Ok(ServiceType::Exec),
        "notify" => Ok(ServiceType::Notify),
        "notify-reload" => Ok(ServiceType::NotifyReload),
        "oneshot" => Ok(ServiceType::Oneshot),
        other => Err(Fault::invalid(format!("Services of type {other} are not supported here."))),
    }
}

/// A value of the type that a property has.
fn get<T: Take>(name: &str, value: &Variant<'_>) -> Result<T, Fault> {
    T::take(value).ok_or_else(|| mistyped(name))
}

/// A value that is one of systemd's words.
fn word<T: DeserializeOwned>(name: &str, value: &Variant<'_>) -> Result<T, Fault> {
    let text: String = get(name, value)?;
    let invalid = || Fault::invalid(format!("Invalid {name} setting: {text}"));
    serde_json::from_value(Value::from(text.as_str())).map_err(|_| invalid())
}

trait Take: Sized {
    fn take(value: &Variant<'_>) -> Option<Self>;
}

macro_rules! take {
    ($($type:ty, $variant:pat => $value:expr;)*) => {
        $(impl Take for $type {
            fn take(value: &Variant<'_>) -> Option<Self> {
                match value { $variant => Some($value), _ => None }
            }
        })*
    };
}

take! {
    bool, Variant::Bool(value) => *value;
    u32, Variant::U32(value) => *value;
    i32, Variant::I32(value) => *value;
    u64, Variant::U64(value) => *value;
    String, Variant::Str(value) => value.to_string();
}

impl<T: Take> Take for Vec<T> {
    fn take(value: &Variant<'_>) -> Option<Self> {
        let Variant::Array(list) = value else { return None };
        list.iter().map(T::take).collect()
    }
}

impl Take for u8 {
    fn take(value: &Variant<'_>) -> Option<Self> {
        if let Variant::U8(value) = value { Some(*value) } else { None }
    }
}

/// Limits as they are collected, in the shape of OCI's `linux.resources`.
#[derive(Debug, Default)]
struct Limits {
    unified: Map<String, Value>,
    quota: Option<u64>,
    period: Option<u64>,
    devices: Option<Vec<Value>>,
    strict: Option<String>,
}

impl Limits {
    fn take(&mut self, name: &str, value: &Variant<'_>) -> Result<bool, Fault> {
        const FILES: [(&str, &str); 12] = [
            ("MemoryMax", "memory.max"),
            ("MemoryHigh", "memory.high"),
            ("MemoryLow", "memory.low"),
            ("MemoryMin", "memory.min"),
            ("MemorySwapMax", "memory.swap.max"),
            ("MemoryZSwapMax", "memory.zswap.max"),
            ("TasksMax", "pids.max"),
            ("CPUWeight", "cpu.weight"),
            ("StartupCPUWeight", "cpu.weight"),
            ("IOWeight", "io.weight"),
            ("AllowedCPUs", "cpuset.cpus"),
            ("AllowedMemoryNodes", "cpuset.mems"),
        ];
        if let Some((_, file)) = FILES.iter().find(|(property, _)| *property == name) {
            let text = match (*file, value) {
                ("cpuset.cpus" | "cpuset.mems", _) => list_of(&get::<Vec<u8>>(name, value)?),
                ("cpu.weight", Variant::U64(0)) => "1".to_owned(),
                ("cpu.weight", Variant::U64(INFINITY)) => "100".to_owned(),
                ("io.weight", Variant::U64(INFINITY)) => "default 100".to_owned(),
                ("io.weight", _) => format!("default {}", get::<u64>(name, value)?),
                (_, Variant::U64(INFINITY)) => "max".to_owned(),
                _ => get::<u64>(name, value)?.to_string(),
            };
            self.unified.insert((*file).to_owned(), text.into());
            return Ok(true);
        }
        match name {
            "CPUQuotaPerSecUSec" => self.quota = Some(get(name, value)?),
            "CPUQuotaPeriodUSec" => self.period = Some(get(name, value)?),
            "DevicePolicy" => self.strict = Some(get(name, value)?),
            "DeviceAllow" => self.allow(name, value)?,
            // All of it is counted always, but for addresses.
            "CPUAccounting" | "MemoryAccounting" | "IOAccounting" | "TasksAccounting" | "BlockIOAccounting"
            | "IPAccounting" => drop(get::<bool>(name, value)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn allow(&mut self, name: &str, value: &Variant<'_>) -> Result<(), Fault> {
        let Variant::Array(list) = value else { return Err(mistyped(name)) };
        if list.is_empty() {
            self.devices = Some(Vec::new());
        }
        for row in list.iter() {
            let Variant::Structure(row) = row else { return Err(mistyped(name)) };
            let [Variant::Str(device), Variant::Str(access)] = row.fields() else { return Err(mistyped(name)) };
            let rules = devices::rules(device, access).map_err(Fault::invalid)?;
            self.devices.get_or_insert_default().extend(rules);
        }
        Ok(())
    }

    fn finish(self) -> Value {
        let mut resources = Map::new();
        if !self.unified.is_empty() {
            resources.insert("unified".to_owned(), self.unified.into());
        }
        if let Some(quota) = self.quota {
            const SECOND: u64 = 1_000_000;
            let period = self.period.filter(|period| *period != INFINITY && *period != 0).unwrap_or(100_000);
            let share = u128::from(quota) * u128::from(period) / u128::from(SECOND);
            let quota = if quota == INFINITY { json!(-1) } else { json!((share as u64).max(1000)) };
            resources.insert("cpu".to_owned(), json!({ "quota": quota, "period": period }));
        }
        let restricts = self.strict.as_deref().is_some_and(|policy| policy != "auto") || self.devices.is_some();
        if restricts {
            let none = json!({ "allow": false, "access": "rwm" });
            let rules: Vec<Value> = [none].into_iter().chain(self.devices.into_iter().flatten()).collect();
            resources.insert("devices".to_owned(), rules.into());
        }
        Value::Object(resources)
    }
}

/// A bit mask, its first byte the lowest, as the kernel lists it.
fn list_of(mask: &[u8]) -> String {
    let bits = (0..mask.len() * 8).filter(|bit| mask[bit / 8] >> (bit % 8) & 1 != 0);
    bits.map(|bit| bit.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(properties: &[(&str, Variant<'static>)]) -> Value {
        let mut limits = Limits::default();
        for (name, value) in properties {
            assert!(limits.take(name, value).unwrap(), "{name}");
        }
        limits.finish()
    }

    #[test]
    fn limits_become_files() {
        let check = |properties: &[(&str, Variant<'static>)], expect: Value| assert_eq!(limits(properties), expect);
        check(&[("MemoryMax", Variant::U64(1024))], json!({ "unified": { "memory.max": "1024" } }));
        check(&[("TasksMax", Variant::U64(u64::MAX))], json!({ "unified": { "pids.max": "max" } }));
        check(&[("AllowedCPUs", Variant::new(vec![5u8, 1]))], json!({ "unified": { "cpuset.cpus": "0,2,8" } }));
        check(
            &[("CPUQuotaPerSecUSec", Variant::U64(500_000))],
            json!({ "cpu": { "quota": 50_000, "period": 100_000 } }),
        );
        check(&[("CPUQuotaPerSecUSec", Variant::U64(u64::MAX))], json!({ "cpu": { "quota": -1, "period": 100_000 } }));
        check(&[("MemoryAccounting", Variant::Bool(true))], json!({}));
        let allow = Variant::new(vec![("/dev/char/1:3".to_owned(), "rw".to_owned())]);
        let rules = limits(&[("DevicePolicy", text("strict")), ("DeviceAllow", allow)]);
        assert_eq!(rules["devices"][0]["allow"], false);
        assert_eq!(rules["devices"][1], json!({ "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rw" }));
    }

    fn text(value: &str) -> Variant<'static> {
        Variant::from(value.to_owned())
    }

    #[test]
    fn what_is_not_known_is_said_in_systemds_words() {
        let mut draft = Draft::new("a.scope").unwrap();
        let fault = draft.apply(&[("Nonsense".to_owned(), Variant::Bool(true))]).unwrap_err();
        assert_eq!(
            (fault.name, fault.text.as_str()),
            (fault::PROPERTY_READ_ONLY, "Cannot set property Nonsense, or unknown property.")
        );
        let fault = draft.apply(&[("Slice".to_owned(), Variant::Bool(true))]).unwrap_err();
        assert_eq!(fault.name, fault::INVALID_ARGUMENTS);
        let mut slice = Draft::new("a.slice").unwrap();
        let fault = slice.apply(&[("Delegate".to_owned(), Variant::Bool(true))]).unwrap_err();
        assert_eq!(fault.text, "Delegation not available for unit type");
        assert!(Draft::new("a.target").is_err());
    }

    #[test]
    fn commands_are_expanded() {
        let environment = [("A".to_owned(), "x y".to_owned())];
        let check = |word, expect: &str| assert_eq!(expand(word, &environment), expect, "{word}");
        check("$$HOME", "$HOME");
        check("a${A}b", "ax yb");
        check("${B}", "");
        check("$A", "$A");
        check("cost: 5$", "cost: 5$");
    }
}
