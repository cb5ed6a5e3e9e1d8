//! Units that are made by a call: the properties that programs really send (systemd-run, podman, crun, runc, containerd,
//! logind, machined), as a unit's settings.
//!
//! They apply in order; lists append, an empty one resets. What is not understood is refused with systemd's own words,
//! out of which programs read the property's name to try without it.

mod written;

use std::os::fd::OwnedFd;

use ashlar_config::quantity::Span;
use ashlar_config::unit::{
    Body as Kind, Command, Dependencies, Exec, GroupLimits, KillMode, NotifyAccess, OomPolicy, Output, Restart, Scope,
    Service, ServiceType, Signal, Slice, Timer, Unit,
};
use ashlar_control::message::Method as Ask;
use zbus::Variant;

use crate::actions::{self, job_reply, mode_of, pid_of, valid};
use crate::fault::{self, Fault};
use crate::interface::Call;
use crate::limits;
use crate::value::{Take, get, mistyped, unknown, word};
use crate::wire::Body;
use crate::world::World;
use written::{as_written, read};

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
    let mut units = vec![first.finish()?];
    for (name, properties) in others {
        valid(&name)?;
        let mut draft = Draft::new(&name)?;
        draft.apply(&properties)?;
        units.push(draft.finish()?);
    }
    // A timer's service is what it starts: it has to be there first.
    let reply = world.act(&Ask::StartTransient { units, mode, processes }, &descriptors)?;
    if hold {
        actions::hold(world, call.caller, &name, true)?;
    }
    job_reply(reply)
}

/// A unit that is being described.
#[derive(Debug, Default)]
struct Draft {
    unit: Unit,
    service: Service,
    host: Exec,
    /// What is written as a unit file writes it: setting and value.
    written: Vec<(String, String)>,
    scope: Scope,
    timer: Timer,
    timer_unit: String,
    limits: GroupLimits,
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
                || limits::take(&mut self.limits, name, value)?
                || match () {
                    () if self.is(".service") => self.take_service(name, value)?,
                    () if self.is(".scope") => self.take_scope(name, value)?,
                    () if self.is(".timer") => self.take_timer(name, value)?,
                    () => false,
                }
                || (self.is(".service") && self.take_written(name, value));
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
            name if name.starts_with("Exec") => return self.take_commands(name, value),
            "RuntimeMaxUSec" => {
                supervision.runtime_max = Some(Span(get(name, value)?)).filter(|s| s.0 != 0 && s.0 != INFINITY);
            }
            "BusName" => service.bus_name = Some(get(name, value)?),
            "PIDFile" => service.pid_file = Some(get(name, value)?),
            "SyslogIdentifier" => self.host.syslog_identifier = get(name, value)?,
            "SupplementaryGroups" => self.host.groups.extend(get::<Vec<String>>(name, value)?),
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
            "SendSIGHUP" | "SendSIGKILL" | "IgnoreSIGPIPE" | "ExitType" | "GuessMainPID" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// `ExecStart`, `ExecStartPreEx` and so on: rows of a path, arguments, and a flag or flags.
    fn take_commands(&mut self, name: &str, value: &Variant<'_>) -> Result<bool, Fault> {
        let Variant::Array(rows) = value else { return Err(mistyped(name)) };
        let commands = &mut self.service.commands;
        let list = match name.trim_end_matches("Ex") {
            "ExecCondition" => &mut commands.condition,
            "ExecStartPre" => &mut commands.start_pre,
            "ExecStart" => &mut commands.start,
            "ExecStartPost" => &mut commands.start_post,
            "ExecReload" => &mut commands.reload,
            "ExecStop" => &mut commands.stop,
            "ExecStopPost" => &mut commands.stop_post,
            _ => return Ok(false),
        };
        if rows.is_empty() {
            list.clear();
        }
        for row in rows.iter() {
            list.push(command(row).ok_or_else(|| mistyped(name))?);
        }
        Ok(true)
    }

    /// Anything that a unit file could say, too: what a seal is made of, folders, limits of processes.
    fn take_written(&mut self, name: &str, value: &Variant<'_>) -> bool {
        let Some((name, text)) = as_written(name, value) else { return false };
        let mut written = self.written.clone();
        written.push((name, text));
        let understood = read(&written).is_some();
        if understood {
            self.written = written;
        }
        understood
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
            "TimersCalendar" => {
                let Variant::Array(list) = value else { return Err(mistyped(name)) };
                for one in list.iter() {
                    let Variant::Structure(row) = one else { return Err(mistyped(name)) };
                    let [Variant::Str(_), Variant::Str(text)] = row.fields() else { return Err(mistyped(name)) };
                    ashlar_config::systemd::calendar::Calendar::parse(text).map_err(Fault::invalid)?;
                    self.timer.on_calendar.push(text.to_string());
                }
            }
            "Persistent" => self.timer.persistent = get(name, value)?,
            "AccuracyUSec" | "RemainAfterElapse" | "WakeSystem" | "FixedRandomDelay" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The whole unit.
    fn finish(mut self) -> Result<Unit, Fault> {
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
                if self.service.commands.start.is_empty() {
                    let text = format!("Service {} has no ExecStart= setting.", self.unit.name);
                    return Err(Fault::new(fault::BAD_UNIT, text));
                }
                if self.service.commands.start.len() > 1 && self.service.service_type != ServiceType::Oneshot {
                    return Err(Fault::invalid("Only a oneshot has more than one ExecStart= setting."));
                }
                let written = read(&self.written).unwrap_or_default();
                let host = Exec {
                    user: self.host.user,
                    group: self.host.group,
                    groups: self.host.groups,
                    environment: self.host.environment,
                    working_directory: self.host.working_directory,
                    syslog_identifier: self.host.syslog_identifier,
                    ..written
                };
                let mut service = self.service;
                (service.resources, service.delegate, service.host) = (resources, self.delegate, Some(Box::new(host)));
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

/// A command: its path, its arguments, and whether a failure is ignored, or flags.
fn command(row: &Variant<'_>) -> Option<Command> {
    let Variant::Structure(row) = row else { return None };
    let [Variant::Str(path), words, how] = row.fields() else { return None };
    let mut command = Command { path: path.to_string(), arguments: Vec::<String>::take(words)?, ..Command::default() };
    match how {
        Variant::Bool(ignore) => command.ignore_failure = *ignore,
        flags => {
            for flag in Vec::<String>::take(flags)? {
                match flag.as_str() {
                    "ignore-failure" => command.ignore_failure = true,
                    "privileged" => command.privileged = true,
                    "no-setuid" => command.keep_user = true,
                    "no-env-expand" => command.verbatim = true,
                    _ => return None,
                }
            }
        }
    }
    Some(command)
}

fn service_type(word: &str) -> Result<ServiceType, Fault> {
    match word {
        "simple" | "idle" => Ok(ServiceType::Simple),
        "exec" => Ok(ServiceType::Exec),
        "notify" => Ok(ServiceType::Notify),
        "notify-reload" => Ok(ServiceType::NotifyReload),
        "oneshot" => Ok(ServiceType::Oneshot),
        "forking" => Ok(ServiceType::Forking),
        "dbus" => Ok(ServiceType::Dbus),
        other => Err(Fault::invalid(format!("Services of type {other} are not supported here."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_unit_files_are_taken() {
        let check = |name: &str, value: Variant<'static>, taken: bool| {
            let mut draft = Draft::new("a.service").unwrap();
            assert_eq!(draft.apply(&[(name.to_owned(), value)]).is_ok(), taken, "{name}");
        };
        check("ProtectSystem", text("strict"), true);
        check("ProtectSystem", text("nonsense"), false);
        check("PrivateTmp", Variant::Bool(true), true);
        check("ReadWritePaths", Variant::new(vec!["/var/x y".to_owned()]), true);
        check("LimitNOFILE", Variant::U64(64), true);
        check("CapabilityBoundingSet", Variant::U64(3), true);
        check("RestrictAddressFamilies", Variant::new((true, vec!["AF_UNIX".to_owned()])), true);
        check("PrivateUsers", Variant::Bool(true), true);
        check("PrivateUsersEx", text("identity"), true);
        check("PrivatePIDs", Variant::Bool(true), false);
        check("Nice", Variant::I32(5), true);
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
}
