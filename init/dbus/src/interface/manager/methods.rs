//! The manager's methods.

use std::io::{Seek as _, Write as _};

use ashlar_config::glob;
use ashlar_control::message::{BindMount, Event, FileChange, JobKind, Method as Ask, Reply, Shutdown};
use ashlar_control::status::Unit;
use ashlar_sys::memfd;
use zbus::{OwnedObjectPath, Variant};

use super::VERSION;
use crate::actions::{
    abandon, attach, bind, clean, done, enqueue, freeze, hold, kill, loadable, mode_of, no_images, pid_of, processes,
    reset_failed, set_properties, store, valid,
};
use crate::fault::{self, Fault};
use crate::interface::job::{self, LISTED as JOBS, QUEUED};
use crate::interface::unit::bytes_of;
use crate::interface::unit_files::{self, FORCE, RUNTIME, changed, file, files, informed, three};
use crate::interface::{Call, Method, manages, object, reads};
use crate::path;
use crate::transient;
use crate::wire::Body;
use crate::world::World;

pub static METHODS: &[Method] = &[
    manages("StartUnit", "ss", "o", |world, call| start(world, call, JobKind::Start)),
    manages("StartUnitWithFlags", "sst", "o", |world, call| {
        let (name, mode, _): (String, String, u64) = call.arguments()?;
        enqueue(world, &name, JobKind::Start, mode_of(&mode)?)
    }),
    manages("StartUnitReplace", "sss", "o", |world, call| {
        let (_, name, mode): (String, String, String) = call.arguments()?;
        enqueue(world, &name, JobKind::Start, mode_of(&mode)?)
    }),
    manages("EnqueueUnitJob", "sss", QUEUED, |world, call| {
        let (name, kind, mode): (String, String, String) = call.arguments()?;
        loadable(&name)?;
        world.load(&name);
        job::queued(world, &name, &kind, &mode)
    }),
    manages("EnqueueMarkedJobs", "", "ao", |_, _| Ok(Body::of(&(Vec::<OwnedObjectPath>::new(),)))),
    manages("StopUnit", "ss", "o", |world, call| start(world, call, JobKind::Stop)),
    manages("ReloadUnit", "ss", "o", |world, call| start(world, call, JobKind::Reload)),
    manages("RestartUnit", "ss", "o", |world, call| start(world, call, JobKind::Restart)),
    manages("TryRestartUnit", "ss", "o", |world, call| start(world, call, JobKind::TryRestart)),
    manages("ReloadOrRestartUnit", "ss", "o", |world, call| start(world, call, JobKind::ReloadOrRestart)),
    manages("ReloadOrTryRestartUnit", "ss", "o", |world, call| start(world, call, JobKind::TryReloadOrRestart)),
    reads("GetUnit", "s", "o", |world, call| {
        let (name,): (String,) = call.arguments()?;
        let unit = world.unit(&name).ok_or_else(|| Fault::not_loaded(&name))?;
        Ok(path_of(&unit.name))
    }),
    reads("LoadUnit", "s", "o", |world, call| {
        let (name,): (String,) = call.arguments()?;
        valid(&name)?;
        Ok(path_of(world.resolve(&name)))
    }),
    reads("GetUnitByPID", "u", "o", |world, call| {
        let (pid,): (u32,) = call.arguments()?;
        let unit = unit_of(world, if pid == 0 { call.caller.pid } else { pid })?;
        Ok(path_of(&unit.name))
    }),
    reads("GetUnitByPIDFD", "h", "osay", by_pidfd),
    reads("GetUnitByInvocationID", "ay", "o", |world, call| {
        let (id,): (Vec<u8>,) = call.arguments()?;
        let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let missing = || {
            Fault::new(
                fault::NO_UNIT_FOR_INVOCATION,
                format!("No unit with the specified invocation ID {digits} known."),
            )
        };
        world.unit_of_invocation(&digits).ok_or_else(missing)?;
        Ok(path_of(&digits))
    }),
    reads("GetUnitByControlGroup", "s", "o", |world, call| {
        let (group,): (String,) = call.arguments()?;
        let fits = |unit: &&std::rc::Rc<Unit>| {
            let own = &unit.control_group;
            !own.is_empty() && (group == *own || group.starts_with(&format!("{own}/")))
        };
        let unit = world.units().filter(fits).max_by_key(|unit| unit.control_group.len());
        let missing = || {
            Fault::new(
                fault::NO_SUCH_UNIT,
                format!("Control group '{group}' is not valid or not managed by this instance"),
            )
        };
        Ok(path_of(&unit.ok_or_else(missing)?.name))
    }),
    reads("GetUnitProcesses", "s", "a(sus)", |world, call| {
        let (name,): (String,) = call.arguments()?;
        processes(world, &name)
    }),
    reads("ListUnits", "", LISTED, |world, _| Ok(list(world, |_| true))),
    reads("ListUnitsFiltered", "as", LISTED, |world, call| {
        let (states,): (Vec<String>,) = call.arguments()?;
        Ok(list(world, |unit| in_state(unit, &states)))
    }),
    reads("ListUnitsByPatterns", "asas", LISTED, |world, call| {
        let (states, patterns): (Vec<String>, Vec<String>) = call.arguments()?;
        let fits = |unit: &Unit| {
            let names = [&unit.name].into_iter().chain(&unit.aliases);
            patterns.is_empty() || names.into_iter().any(|name| patterns.iter().any(|p| glob::fits(p, name)))
        };
        Ok(list(world, |unit| in_state(unit, &states) && fits(unit)))
    }),
    reads("ListUnitsByNames", "as", LISTED, |world, call| {
        let (names,): (Vec<String>,) = call.arguments()?;
        let mut rows = Vec::new();
        for name in names {
            valid(&name)?;
            let status = std::rc::Rc::clone(&world.view(&name).status);
            rows.push(row(world, &status));
        }
        Ok(Body::of(&(rows,)))
    }),
    reads("ListUnitFiles", "", "a(ss)", |world, _| files(world, &[], &[])),
    reads("ListUnitFilesByPatterns", "asas", "a(ss)", |world, call| {
        let (states, patterns): (Vec<String>, Vec<String>) = call.arguments()?;
        files(world, &states, &patterns)
    }),
    reads("GetUnitFileState", "s", "s", |world, call| {
        let (name,): (String,) = call.arguments()?;
        valid(&name)?;
        Ok(Body::of(&(file(world, &name)?.state,)))
    }),
    reads("GetUnitFileLinks", "sb", "as", |world, call| {
        let (name, _): (String, bool) = call.arguments()?;
        valid(&name)?;
        Ok(Body::of(&(file(world, &name)?.links,)))
    }),
    reads("GetDefaultTarget", "", "s", |world, _| Ok(Body::of(&(world.machine().machine.default_target,)))),
    manages("EnableUnitFiles", "asbb", "ba(sss)", |world, call| informed(world, FileChange::Enable, three(call)?)),
    manages("ReenableUnitFiles", "asbb", "ba(sss)", |world, call| informed(world, FileChange::Reenable, three(call)?)),
    manages("PresetUnitFiles", "asbb", "ba(sss)", |world, call| informed(world, FileChange::Preset, three(call)?)),
    manages("PresetUnitFilesWithMode", "assbb", "ba(sss)", |world, call| {
        let (names, mode, runtime, force): (Vec<String>, String, bool, bool) = call.arguments()?;
        // There are no presets that would disable anything.
        let names = if mode == "disable-only" { Vec::new() } else { names };
        informed(world, FileChange::Preset, (names, runtime, force))
    }),
    manages("PresetAllUnitFiles", "sbb", "a(sss)", |_, _| Ok(Body::of(&(Vec::<unit_files::Row>::new(),)))),
    manages("EnableUnitFilesWithFlags", "ast", "ba(sss)", |world, call| {
        let (names, flags): (Vec<String>, u64) = call.arguments()?;
        informed(world, FileChange::Enable, (names, flags & RUNTIME != 0, flags & FORCE != 0))
    }),
    manages("DisableUnitFiles", "asb", "a(sss)", |world, call| {
        let (names, runtime): (Vec<String>, bool) = call.arguments()?;
        changed(world, FileChange::Disable, (names, runtime, false))
    }),
    manages("DisableUnitFilesWithFlags", "ast", "a(sss)", |world, call| {
        let (names, flags): (Vec<String>, u64) = call.arguments()?;
        changed(world, FileChange::Disable, (names, flags & RUNTIME != 0, false))
    }),
    manages("DisableUnitFilesWithFlagsAndInstallInfo", "ast", "ba(sss)", |world, call| {
        let (names, flags): (Vec<String>, u64) = call.arguments()?;
        informed(world, FileChange::Disable, (names, flags & RUNTIME != 0, false))
    }),
    manages("LinkUnitFiles", "asbb", "a(sss)", |world, call| changed(world, FileChange::Link, three(call)?)),
    manages("MaskUnitFiles", "asbb", "a(sss)", |world, call| changed(world, FileChange::Mask, three(call)?)),
    manages("UnmaskUnitFiles", "asb", "a(sss)", |world, call| {
        let (names, runtime): (Vec<String>, bool) = call.arguments()?;
        changed(world, FileChange::Unmask, (names, runtime, false))
    }),
    manages("RevertUnitFiles", "as", "a(sss)", |world, call| {
        let (names,): (Vec<String>,) = call.arguments()?;
        changed(world, FileChange::Revert, (names, false, false))
    }),
    manages("AddDependencyUnitFiles", "asssbb", "a(sss)", |world, call| {
        let (names, target, kind, runtime, force): (Vec<String>, String, String, bool, bool) = call.arguments()?;
        let requires = match kind.as_str() {
            "Wants" => false,
            "Requires" => true,
            other => return Err(Fault::invalid(format!("Invalid dependency type: {other}"))),
        };
        changed(world, FileChange::AddDependency { target, requires }, (names, runtime, force))
    }),
    manages("SetDefaultTarget", "sb", "a(sss)", |world, call| {
        let (name, force): (String, bool) = call.arguments()?;
        changed(world, FileChange::SetDefault, (vec![name], false, force))
    }),
    reads("ListJobs", "", JOBS, |world, _| Ok(Body::of(&(world.jobs().map(job::row).collect::<Vec<_>>(),)))),
    reads("GetJob", "u", "o", |world, call| {
        let (id,): (u32,) = call.arguments()?;
        job::known(world, id)?;
        Ok(Body::of(&(object(path::job(id)),)))
    }),
    reads("GetJobAfter", "u", JOBS, |world, call| job::around(world, call.arguments::<(u32,)>()?.0, "Before")),
    reads("GetJobBefore", "u", JOBS, |world, call| job::around(world, call.arguments::<(u32,)>()?.0, "After")),
    manages("CancelJob", "u", "", |world, call| {
        let (id,): (u32,) = call.arguments()?;
        done(world, &Ask::CancelJob { id })
    }),
    manages("ClearJobs", "", "", |world, _| {
        let ids: Vec<u32> = world.jobs().map(|job| job.id).collect();
        for id in ids {
            // Others end with the ones before.
            let _ = world.act(&Ask::CancelJob { id }, &[]);
        }
        Ok(Body::empty())
    }),
    manages("KillUnit", "ssi", "", |world, call| {
        let (name, whom, signal): (String, String, i32) = call.arguments()?;
        kill(world, &name, &whom, signal)
    }),
    manages("QueueSignalUnit", "ssii", "", |world, call| {
        let (name, whom, signal, _): (String, String, i32, i32) = call.arguments()?;
        kill(world, &name, &whom, signal)
    }),
    manages("ResetFailed", "", "", |world, _| reset_failed(world, "")),
    manages("ResetFailedUnit", "s", "", |world, call| {
        let (name,): (String,) = call.arguments()?;
        reset_failed(world, &name)
    }),
    reads("RefUnit", "s", "", |world, call| {
        let (name,): (String,) = call.arguments()?;
        world.load(&name);
        hold(world, call.caller, &name, true)
    }),
    reads("UnrefUnit", "s", "", |world, call| {
        let (name,): (String,) = call.arguments()?;
        hold(world, call.caller, &name, false)
    }),
    manages("AttachProcessesToUnit", "ssau", "", |world, call| {
        let (name, below, processes): (String, String, Vec<u32>) = call.arguments()?;
        attach(world, &name, &below, processes)
    }),
    manages("FreezeUnit", "s", "", |world, call| {
        let (name,): (String,) = call.arguments()?;
        freeze(world, &name, true)
    }),
    manages("ThawUnit", "s", "", |world, call| {
        let (name,): (String,) = call.arguments()?;
        freeze(world, &name, false)
    }),
    manages("CleanUnit", "sas", "", |world, call| {
        let (name, what): (String, Vec<String>) = call.arguments()?;
        clean(world, &name, what)
    }),
    manages("AbandonScope", "s", "", |world, call| {
        let (name,): (String,) = call.arguments()?;
        abandon(world, &name)
    }),
    manages("BindMountUnit", "sssbb", "", |world, call| {
        let (name, source, target, read_only, make): (String, String, String, bool, bool) = call.arguments()?;
        bind(world, &name, BindMount { source, target, read_only, make })
    }),
    manages("MountImageUnit", "sssbba(ss)", "", |_, _| Err(no_images())),
    reads("DumpUnitFileDescriptorStore", "s", "a(suuutuusu)", |world, call| {
        let (name,): (String,) = call.arguments()?;
        store(world, &name)
    }),
    reads("LookupDynamicUserByName", "s", "u", |_, call| Err(no_dynamic_user(&call.arguments::<(String,)>()?.0))),
    reads("LookupDynamicUserByUID", "u", "s", |_, call| {
        Err(no_dynamic_user(&call.arguments::<(u32,)>()?.0.to_string()))
    }),
    // They are numbers that follow from the units' names.
    reads("GetDynamicUsers", "", "a(us)", |_, _| Ok(Body::of(&(Vec::<(u32, String)>::new(),)))),
    manages("StartAuxiliaryScope", "sahta(sv)", "o", |_, _| {
        Err(not_here("Processes are moved by AttachProcessesToUnit, or started in a scope."))
    }),
    manages("SetShowStatus", "s", "", |_, _| Err(not_here("The console says what it says."))),
    manages("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", transient::start),
    manages("SetUnitProperties", "sba(sv)", "", |world, call| {
        let (name, runtime, properties): (String, bool, Vec<(String, Variant<'_>)>) =
            call.message.body.borrow().ok_or_else(|| Fault::invalid("the properties cannot be read"))?;
        set_properties(world, &name, runtime, &properties)
    }),
    reads("Subscribe", "", "", |world, call| match world.subscribers.insert(call.caller.peer.clone()) {
        true => Ok(Body::empty()),
        false => Err(Fault::new(fault::ALREADY_SUBSCRIBED, "Client is already subscribed.")),
    }),
    reads("Unsubscribe", "", "", |world, call| match world.subscribers.remove(&call.caller.peer) {
        true => Ok(Body::empty()),
        false => Err(Fault::new(fault::NOT_SUBSCRIBED, "Client is not subscribed.")),
    }),
    manages("Reload", "", "", |world, _| done(world, &Ask::Reload {})),
    manages("Reexecute", "", "", |world, _| {
        world.tell(&Event::Reloading(true));
        done(world, &Ask::Reexecute {})?;
        world.tell(&Event::Reloading(false));
        Ok(Body::empty())
    }),
    reads("Dump", "", "s", |world, _| Ok(Body::of(&(dump(world, &[]),)))),
    reads("DumpUnitsMatchingPatterns", "as", "s", |world, call| {
        let (patterns,): (Vec<String>,) = call.arguments()?;
        Ok(Body::of(&(dump(world, &patterns),)))
    }),
    reads("DumpByFileDescriptor", "", "h", |world, _| in_memory(&dump(world, &[]))),
    reads("DumpUnitsMatchingPatternsByFileDescriptor", "as", "h", |world, call| {
        let (patterns,): (Vec<String>,) = call.arguments()?;
        in_memory(&dump(world, &patterns))
    }),
    manages("SetEnvironment", "as", "", |world, call| {
        let (set,): (Vec<String>,) = call.arguments()?;
        change_environment(world, &[], &set)
    }),
    manages("UnsetEnvironment", "as", "", |world, call| {
        let (unset,): (Vec<String>,) = call.arguments()?;
        change_environment(world, &unset, &[])
    }),
    manages("UnsetAndSetEnvironment", "asas", "", |world, call| {
        let (unset, set): (Vec<String>, Vec<String>) = call.arguments()?;
        change_environment(world, &unset, &set)
    }),
    manages("Reboot", "", "", |world, _| done(world, &Ask::Shutdown { how: Shutdown::Reboot })),
    manages("PowerOff", "", "", |world, _| done(world, &Ask::Shutdown { how: Shutdown::Poweroff })),
    manages("Halt", "", "", |world, _| done(world, &Ask::Shutdown { how: Shutdown::Halt })),
    manages("KExec", "", "", |world, _| done(world, &Ask::Shutdown { how: Shutdown::Kexec })),
    manages("Exit", "", "", |_, _| Err(not_here("Exit is for user managers and containers: power off or reboot."))),
    manages("SetExitCode", "y", "", |_, _| Err(not_here("SetExitCode is for user managers and containers."))),
    manages("SoftReboot", "s", "", |world, call| match call.arguments::<(String,)>()?.0.as_str() {
        "" | "/" => done(world, &Ask::Shutdown { how: Shutdown::SoftReboot }),
        _ => Err(not_here("A soft reboot goes to the root that runs.")),
    }),
    manages("SwitchRoot", "ss", "", |_, _| Err(not_here("The root of this machine is fixed when it boots."))),
];

const LISTED: &str = "a(ssssssouso)";

fn not_here(why: &str) -> Fault {
    Fault::new(fault::NOT_SUPPORTED, why)
}

fn no_dynamic_user(name: &str) -> Fault {
    Fault::new(fault::NO_DYNAMIC_USER, format!("Dynamic user {name} does not exist."))
}

/// A text as a file that is read from its beginning.
fn in_memory(text: &str) -> Result<Body, Fault> {
    let made = memfd::create(c"dump").and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.rewind()?;
        Ok(file)
    });
    let file = made.map_err(|error| Fault::new(fault::FAILED, format!("cannot make a file in memory: {error}")))?;
    Ok(Body::of(&(zbus::OwnedFd::from(std::os::fd::OwnedFd::from(file)),)))
}

fn path_of(name: &str) -> Body {
    Body::of(&(object(path::unit(name)),))
}

fn start(world: &mut World, call: &Call<'_>, kind: JobKind) -> Result<Body, Fault> {
    let (name, mode): (String, String) = call.arguments()?;
    let mode = mode_of(&mode)?;
    loadable(&name)?;
    world.load(&name);
    if kind == JobKind::Stop && world.unit(&name).is_none() {
        return Err(Fault::not_loaded(&name));
    }
    enqueue(world, &name, kind, mode)
}

fn unit_of(world: &mut World, pid: u32) -> Result<Unit, Fault> {
    match world.ask(&Ask::GetUnitByProcess { pid }) {
        Ok(Reply::Unit { unit }) => Ok(*unit),
        _ => Err(Fault::new(fault::NO_UNIT_FOR_PID, format!("PID {pid} does not belong to any loaded unit."))),
    }
}

fn by_pidfd(world: &mut World, call: &Call<'_>) -> Result<Body, Fault> {
    let (fd,): (zbus::Fd<'_>,) = call.message.body.borrow().ok_or_else(|| Fault::invalid("no process descriptor"))?;
    let pid = pid_of(&fd)?;
    let unit = unit_of(world, pid)?;
    Ok(Body::of(&(object(path::unit(&unit.name)), &unit.name, bytes_of(&unit.invocation_id))))
}

/// One row of a list of units.
type Row = (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

fn row(world: &World, unit: &Unit) -> Row {
    let job = world.jobs().find(|job| job.unit == unit.name);
    let (id, kind, job_path) = match job {
        Some(job) => (job.id, job.kind.clone(), path::job(job.id)),
        None => (0, String::new(), "/".to_owned()),
    };
    let [name, description, load, active, sub] =
        [&unit.name, &unit.description, &unit.load, &unit.active, &unit.sub].map(Clone::clone);
    let path = object(path::unit(&name));
    (name, description, load, active, sub, String::new(), path, id, kind, object(job_path))
}

fn list(world: &World, fits: impl Fn(&Unit) -> bool) -> Body {
    let rows: Vec<Row> = world.units().filter(|unit| fits(unit)).map(|unit| row(world, unit)).collect();
    Body::of(&(rows,))
}

fn in_state(unit: &Unit, states: &[String]) -> bool {
    states.is_empty() || states.iter().any(|state| [&unit.load, &unit.active, &unit.sub].contains(&state))
}

fn change_environment(world: &mut World, unset: &[String], set: &[String]) -> Result<Body, Fault> {
    let pair = |entry: &String| entry.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
    let set: Option<Vec<(String, String)>> = set.iter().map(pair).collect();
    let set = set.ok_or_else(|| Fault::invalid("Invalid environment assignments"))?;
    let name = |entry: &String| entry.split_once('=').map_or(entry.clone(), |(key, _)| key.to_owned());
    done(world, &Ask::SetEnvironment { unset: unset.iter().map(name).collect(), set })
}

fn dump(world: &World, patterns: &[String]) -> String {
    let fits = |unit: &&std::rc::Rc<Unit>| patterns.is_empty() || patterns.iter().any(|p| glob::fits(p, &unit.name));
    let line = |unit: &std::rc::Rc<Unit>| {
        format!(
            "-> Unit {}:\n\tDescription: {}\n\tUnit Active State: {}\n\tUnit Sub State: {}\n\tCGroup: {}\n",
            unit.name, unit.description, unit.active, unit.sub, unit.control_group
        )
    };
    format!("Manager: {VERSION}\n") + &world.units().filter(fits).map(line).collect::<String>()
}
