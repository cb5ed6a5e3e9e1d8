//! org.freedesktop.systemd1.Manager.

use ashlar_config::glob;
use ashlar_config::systemd::FOLDERS;
use ashlar_control::message::{Event, FileChange, JobKind, Method as Ask, Reply, Shutdown};
use ashlar_control::status::Unit;
use zbus::{OwnedObjectPath, Variant};

use super::settings::real_of;
use super::unit::bytes_of;
use super::unit_files::{self, FORCE, RUNTIME, changed, file, files, informed, three};
use super::{Call, Interface, Method, Property, emits, fixed, manages, object, reads, silent, text, texts};
use crate::actions::{
    abandon, attach, done, enqueue, freeze, hold, kill, loadable, mode_of, pid_of, processes, reset_failed,
    set_properties, valid,
};
use crate::fault::{self, Fault};
use crate::path;
use crate::transient;
use crate::wire::Body;
use crate::world::{MachineView, World};

/// What runs here has the interfaces of this version of systemd. Programs read the number in front.
const VERSION: &str = "257.13-ashlar";

pub static INTERFACE: Interface<MachineView> = Interface {
    name: "org.freedesktop.systemd1.Manager",
    properties: &[PROPERTIES, PHASES],
    methods: METHODS,
    signals: &[
        ("UnitNew", "so"),
        ("UnitRemoved", "so"),
        ("JobNew", "uos"),
        ("JobRemoved", "uoss"),
        ("StartupFinished", "tttttt"),
        ("UnitFilesChanged", ""),
        ("Reloading", "b"),
    ],
};

/// What systemctl log-level reads. PID 1 says what there is to say; it has no levels.
pub static LOG_CONTROL: Interface<()> = Interface {
    name: "org.freedesktop.LogControl1",
    properties: &[&[
        fixed("LogLevel", "s", |_| text("info")),
        fixed("LogTarget", "s", |_| text("journal-or-kmsg")),
        fixed("SyslogIdentifier", "s", |_| text("systemd")),
    ]],
    methods: &[],
    signals: &[],
};

static PROPERTIES: &[Property<MachineView>] = &[
    fixed("Version", "s", |_| text(VERSION)),
    fixed("Features", "s", |_| text("+SECCOMP +BLKID +KMOD default-hierarchy=unified")),
    fixed("Virtualization", "s", |_| text("")),
    fixed("ConfidentialVirtualization", "s", |_| text("")),
    fixed("Architecture", "s", |_| text(if cfg!(target_arch = "aarch64") { "arm64" } else { "x86-64" })),
    fixed("Tainted", "s", |_| text("")),
    fixed("FirmwareTimestamp", "t", |_| Variant::U64(0)),
    fixed("FirmwareTimestampMonotonic", "t", |_| Variant::U64(0)),
    fixed("LoaderTimestamp", "t", |_| Variant::U64(0)),
    fixed("LoaderTimestampMonotonic", "t", |_| Variant::U64(0)),
    fixed("KernelTimestamp", "t", |_| Variant::U64(real_of(0))),
    fixed("KernelTimestampMonotonic", "t", |_| Variant::U64(0)),
    fixed("InitRDTimestamp", "t", |view| Variant::U64(real(view.machine.boot_usec))),
    fixed("InitRDTimestampMonotonic", "t", |view| Variant::U64(view.machine.boot_usec)),
    fixed("UserspaceTimestamp", "t", |view| Variant::U64(real(view.machine.init_usec))),
    fixed("UserspaceTimestampMonotonic", "t", |view| Variant::U64(view.machine.init_usec)),
    fixed("FinishTimestamp", "t", |view| Variant::U64(real(finish(view)))),
    fixed("FinishTimestampMonotonic", "t", |view| Variant::U64(finish(view))),
    silent("NNames", "u", |view| Variant::U32(view.units)),
    emits("NFailedUnits", "u", |view| Variant::U32(view.failed)),
    silent("NJobs", "u", |view| Variant::U32(view.jobs)),
    silent("NInstalledJobs", "u", |view| Variant::U32(view.jobs)),
    silent("NFailedJobs", "u", |_| Variant::U32(0)),
    silent("Progress", "d", |view| Variant::F64(if finish(view) == 0 { 0.5 } else { 1.0 })),
    silent("Environment", "as", |view| {
        texts(view.machine.environment.iter().map(|(key, value)| format!("{key}={value}")))
    }),
    fixed("ConfirmSpawn", "b", |_| Variant::Bool(false)),
    fixed("ShowStatus", "b", |_| Variant::Bool(false)),
    fixed("UnitPath", "as", |_| texts(FOLDERS)),
    fixed("DefaultStandardOutput", "s", |_| text("journal")),
    fixed("DefaultStandardError", "s", |_| text("inherit")),
    fixed("WatchdogDevice", "s", |_| text("")),
    fixed("RuntimeWatchdogUSec", "t", |_| Variant::U64(0)),
    fixed("RebootWatchdogUSec", "t", |_| Variant::U64(0)),
    fixed("KExecWatchdogUSec", "t", |_| Variant::U64(0)),
    fixed("ServiceWatchdogs", "b", |_| Variant::Bool(true)),
    silent("ControlGroup", "s", |_| text("")),
    silent("SystemState", "s", |view| text(&view.machine.state)),
    silent("ExitCode", "y", |_| Variant::U8(0)),
    fixed("DefaultTimerAccuracyUSec", "t", |_| Variant::U64(0)),
    fixed("DefaultTimeoutStartUSec", "t", |_| Variant::U64(90_000_000)),
    fixed("DefaultTimeoutStopUSec", "t", |_| Variant::U64(90_000_000)),
    fixed("DefaultRestartUSec", "t", |_| Variant::U64(100_000)),
    fixed("DefaultStartLimitIntervalUSec", "t", |_| Variant::U64(10_000_000)),
    fixed("DefaultStartLimitBurst", "u", |_| Variant::U32(5)),
    fixed("DefaultOOMPolicy", "s", |_| text("stop")),
    fixed("DefaultTasksMax", "t", |_| Variant::U64(u64::MAX)),
    fixed("DefaultMemoryAccounting", "b", |_| Variant::Bool(true)),
    fixed("DefaultTasksAccounting", "b", |_| Variant::Bool(true)),
    fixed("DefaultCPUAccounting", "b", |_| Variant::Bool(true)),
    fixed("DefaultIOAccounting", "b", |_| Variant::Bool(true)),
    fixed("DefaultIPAccounting", "b", |_| Variant::Bool(false)),
];

macro_rules! at_the_start {
    ($($real:literal $monotonic:literal)*) => {
        &[$(
            fixed($real, "t", |view: &MachineView| Variant::U64(real(view.machine.init_usec))),
            fixed($monotonic, "t", |view: &MachineView| Variant::U64(view.machine.init_usec)),
        )*]
    };
}

/// Phases of systemd's that take no time here. Without the first one systemd-analyze takes the machine for a container.
static PHASES: &[Property<MachineView>] = at_the_start! {
    "SecurityStartTimestamp" "SecurityStartTimestampMonotonic"
    "SecurityFinishTimestamp" "SecurityFinishTimestampMonotonic"
    "GeneratorsStartTimestamp" "GeneratorsStartTimestampMonotonic"
    "GeneratorsFinishTimestamp" "GeneratorsFinishTimestampMonotonic"
    "UnitsLoadStartTimestamp" "UnitsLoadStartTimestampMonotonic"
    "UnitsLoadFinishTimestamp" "UnitsLoadFinishTimestampMonotonic"
};

fn real(monotonic: u64) -> u64 {
    if monotonic == 0 { 0 } else { real_of(monotonic) }
}

fn finish(view: &MachineView) -> u64 {
    match view.machine.userspace_usec {
        0 => 0,
        span => view.machine.boot_usec + span,
    }
}

static METHODS: &[Method] = &[
    manages("StartUnit", "ss", "o", |world, call| job(world, call, JobKind::Start)),
    manages("StartUnitWithFlags", "sst", "o", |world, call| {
        let (name, mode, _): (String, String, u64) = call.arguments()?;
        enqueue(world, &name, JobKind::Start, mode_of(&mode)?)
    }),
    manages("StartUnitReplace", "sss", "o", |world, call| {
        let (_, name, mode): (String, String, String) = call.arguments()?;
        enqueue(world, &name, JobKind::Start, mode_of(&mode)?)
    }),
    manages("StopUnit", "ss", "o", |world, call| job(world, call, JobKind::Stop)),
    manages("ReloadUnit", "ss", "o", |world, call| job(world, call, JobKind::Reload)),
    manages("RestartUnit", "ss", "o", |world, call| job(world, call, JobKind::Restart)),
    manages("TryRestartUnit", "ss", "o", |world, call| job(world, call, JobKind::TryRestart)),
    manages("ReloadOrRestartUnit", "ss", "o", |world, call| job(world, call, JobKind::ReloadOrRestart)),
    manages("ReloadOrTryRestartUnit", "ss", "o", |world, call| job(world, call, JobKind::TryReloadOrRestart)),
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
    reads("ListJobs", "", "a(usssoo)", |world, _| {
        let row = |job: &ashlar_control::status::Job| {
            let paths = (object(path::job(job.id)), object(path::unit(&job.unit)));
            (job.id, job.unit.clone(), job.kind.clone(), job.state.clone(), paths.0, paths.1)
        };
        Ok(Body::of(&(world.jobs().map(row).collect::<Vec<_>>(),)))
    }),
    reads("GetJob", "u", "o", |world, call| {
        let (id,): (u32,) = call.arguments()?;
        let missing = || Fault::new(fault::NO_SUCH_JOB, format!("Job {id} does not exist."));
        world.job(id).ok_or_else(missing)?;
        Ok(Body::of(&(object(path::job(id)),)))
    }),
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
    manages("CleanUnit", "sas", "", |_, _| Err(Fault::new(fault::NOTHING_TO_CLEAN, "No matching resources found."))),
    manages("AbandonScope", "s", "", |world, call| {
        let (name,): (String,) = call.arguments()?;
        abandon(world, &name)
    }),
    manages("StartTransientUnit", "ssa(sv)a(sa(sv))", "o", transient::start),
    manages("SetUnitProperties", "sba(sv)", "", |world, call| {
        let (name, _, properties): (String, bool, Vec<(String, Variant<'_>)>) =
            call.message.body.borrow().ok_or_else(|| Fault::invalid("the properties cannot be read"))?;
        set_properties(world, &name, &properties)
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
    manages("SoftReboot", "s", "", |_, _| Err(not_here("A soft reboot has no root to go to: reboot."))),
    manages("SwitchRoot", "ss", "", |_, _| Err(not_here("The root of this machine is fixed when it boots."))),
];

const LISTED: &str = "a(ssssssouso)";

fn not_here(why: &str) -> Fault {
    Fault::new(fault::NOT_SUPPORTED, why)
}

fn path_of(name: &str) -> Body {
    Body::of(&(object(path::unit(name)),))
}

fn job(world: &mut World, call: &Call<'_>, kind: JobKind) -> Result<Body, Fault> {
    let (name, mode): (String, String) = call.arguments()?;
    let mode = mode_of(&mode)?;
    loadable(&name)?;
    if kind != JobKind::Stop {
        world.load(&name);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_have_the_types_that_are_said() {
        for property in INTERFACE.properties.iter().copied().flatten() {
            let value = (property.get)(&MachineView::default());
            assert_eq!(value.value_signature().to_string(), property.signature, "{}", property.name);
        }
    }
}
