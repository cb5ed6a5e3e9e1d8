//! org.freedesktop.systemd1.Service.

use ashlar_config::unit::{Command, NotifyAccess, ServiceType, Supervision};
use ashlar_control::message::BindMount;
use zbus::Variant;

use super::settings::{service, supervision, word, words};
use super::{Interface, Property, emits, fixed, manages, none_of, reads, silent, text};
use crate::actions;
use crate::cgroup::NONE;
use crate::interface::{absent, exec, kinds};
use crate::world::UnitView;

pub static INTERFACE: Interface<UnitView> = Interface {
    name: "org.freedesktop.systemd1.Service",
    properties: &[
        STATE,
        COMMANDS,
        SETTINGS,
        absent::SERVICE,
        exec::CONTEXT,
        exec::SEAL,
        exec::RLIMITS,
        absent::EXEC,
        kinds::KILL,
        kinds::ACCOUNTING,
        kinds::LIMITS,
        absent::RESOURCES,
    ],
    methods: &[
        reads("GetProcesses", "", "a(sus)", |world, call| actions::processes(world, call.unit())),
        manages("AttachProcesses", "sau", "", |world, call| {
            let (below, processes): (String, Vec<u32>) = call.arguments()?;
            actions::attach(world, call.unit(), &below, processes)
        }),
        manages("BindMount", "ssbb", "", |world, call| {
            let (source, target, read_only, make): (String, String, bool, bool) = call.arguments()?;
            actions::bind(world, call.unit(), BindMount { source, target, read_only, make })
        }),
        manages("MountImage", "ssbba(ss)", "", |_, _| Err(actions::no_images())),
        reads("DumpFileDescriptorStore", "", "a(suuutuusu)", |world, call| actions::store(world, call.unit())),
    ],
    signals: &[],
};

static STATE: &[Property<UnitView>] = &[
    emits("MainPID", "u", |unit| Variant::U32(unit.status.main_pid)),
    emits("ControlPID", "u", |unit| Variant::U32(unit.status.control_pid)),
    emits("Result", "s", |unit| text(&unit.status.result)),
    emits("ReloadResult", "s", |_| text("success")),
    emits("CleanResult", "s", |_| text("success")),
    emits("LiveMountResult", "s", |_| text("success")),
    emits("StatusText", "s", |unit| text(&unit.status.status_text)),
    emits("StatusErrno", "i", |_| Variant::I32(0)),
    emits("StatusBusError", "s", |_| text("")),
    emits("StatusVarlinkError", "s", |_| text("")),
    emits("NRestarts", "u", |unit| Variant::U32(unit.status.restarts)),
    silent("NFileDescriptorStore", "u", |unit| Variant::U32(unit.status.fd_stored)),
    emits("ExecMainStartTimestamp", "t", |unit| Variant::U64(unit.status.main_started.real)),
    emits("ExecMainStartTimestampMonotonic", "t", |unit| Variant::U64(unit.status.main_started.monotonic)),
    emits("ExecMainExitTimestamp", "t", |unit| Variant::U64(ended(unit).0)),
    emits("ExecMainExitTimestampMonotonic", "t", |unit| Variant::U64(ended(unit).1)),
    emits("ExecMainPID", "u", |unit| Variant::U32(unit.status.main_pid)),
    emits("ExecMainCode", "i", |unit| Variant::I32(unit.status.exit_code)),
    emits("ExecMainStatus", "i", |unit| Variant::I32(unit.status.exit_status)),
    emits("UID", "u", |_| Variant::U32(u32::MAX)),
    emits("GID", "u", |_| Variant::U32(u32::MAX)),
    silent("WatchdogTimestamp", "t", |_| Variant::U64(0)),
    silent("WatchdogTimestampMonotonic", "t", |_| Variant::U64(0)),
];

static COMMANDS: &[Property<UnitView>] = &[
    silent("ExecStart", "a(sasbttttuii)", |unit| plain(main(unit))),
    silent("ExecStartEx", "a(sasasttttuii)", |unit| extended(main(unit))),
    silent("ExecCondition", "a(sasbttttuii)", |unit| plain(others(&service(unit).commands.condition))),
    silent("ExecConditionEx", "a(sasasttttuii)", |unit| extended(others(&service(unit).commands.condition))),
    silent("ExecStartPre", "a(sasbttttuii)", |unit| plain(others(&service(unit).commands.start_pre))),
    silent("ExecStartPreEx", "a(sasasttttuii)", |unit| extended(others(&service(unit).commands.start_pre))),
    silent("ExecStartPost", "a(sasbttttuii)", |unit| plain(others(&service(unit).commands.start_post))),
    silent("ExecStartPostEx", "a(sasasttttuii)", |unit| extended(others(&service(unit).commands.start_post))),
    silent("ExecReload", "a(sasbttttuii)", |unit| plain(others(&service(unit).commands.reload))),
    silent("ExecReloadEx", "a(sasasttttuii)", |unit| extended(others(&service(unit).commands.reload))),
    silent("ExecStop", "a(sasbttttuii)", |unit| plain(others(&service(unit).commands.stop))),
    silent("ExecStopEx", "a(sasasttttuii)", |unit| extended(others(&service(unit).commands.stop))),
    silent("ExecStopPost", "a(sasbttttuii)", |unit| plain(others(&service(unit).commands.stop_post))),
    silent("ExecStopPostEx", "a(sasasttttuii)", |unit| extended(others(&service(unit).commands.stop_post))),
];

static SETTINGS: &[Property<UnitView>] = &[
    fixed("Type", "s", |unit| text(word(&service(unit).service_type))),
    fixed("ExitType", "s", |_| text("main")),
    fixed("Restart", "s", |unit| text(word(&supervision(unit).restart))),
    fixed("RestartMode", "s", |unit| text(if supervision(unit).restart_direct { "direct" } else { "normal" })),
    fixed("PIDFile", "s", |unit| text(service(unit).pid_file.as_deref().unwrap_or_default())),
    fixed("NotifyAccess", "s", |unit| text(word(&access(unit)))),
    fixed("RestartUSec", "t", |unit| Variant::U64(supervision(unit).restart_delay.0)),
    silent("RestartUSecNext", "t", |unit| Variant::U64(unit.status.restart_pause)),
    fixed("RestartMaxDelayUSec", "t", |unit| Variant::U64(supervision(unit).restart_delay_max.0)),
    fixed("TimeoutStartUSec", "t", |unit| Variant::U64(supervision(unit).timeout_start.0)),
    fixed("TimeoutStopUSec", "t", |unit| Variant::U64(supervision(unit).timeout_stop.0)),
    fixed("TimeoutAbortUSec", "t", |unit| Variant::U64(supervision(unit).timeout_stop.0)),
    fixed("TimeoutStartFailureMode", "s", |_| text("terminate")),
    fixed("TimeoutStopFailureMode", "s", |_| text("terminate")),
    fixed("RuntimeMaxUSec", "t", |unit| Variant::U64(supervision(unit).runtime_max.map_or(NONE, |span| span.0))),
    fixed("RuntimeRandomizedExtraUSec", "t", |_| Variant::U64(0)),
    fixed("WatchdogUSec", "t", |unit| Variant::U64(supervision(unit).watchdog.map_or(0, |span| span.0))),
    fixed("RootDirectoryStartOnly", "b", |_| Variant::Bool(false)),
    fixed("RemainAfterExit", "b", |unit| Variant::Bool(supervision(unit).remain_after_exit)),
    fixed("GuessMainPID", "b", |_| Variant::Bool(true)),
    fixed("SuccessExitStatus", "(aiai)", |unit| {
        let Supervision { success_exit_status, success_signals, .. } = supervision(unit);
        Variant::new((success_exit_status.clone(), success_signals.clone()))
    }),
    fixed("FileDescriptorStoreMax", "u", |unit| Variant::U32(supervision(unit).fd_store)),
    fixed("FileDescriptorStorePreserve", "s", |unit| {
        text(if supervision(unit).fd_store_preserve { "yes" } else { "restart" })
    }),
    fixed("BusName", "s", |unit| text(service(unit).bus_name.as_deref().unwrap_or_default())),
    fixed("OOMPolicy", "s", |unit| text(word(&supervision(unit).oom_policy))),
    fixed("RestartPreventExitStatus", "(aiai)", |unit| {
        Variant::new((supervision(unit).restart_prevent_exit_status.clone(), Vec::<i32>::new()))
    }),
    fixed("RestartForceExitStatus", "(aiai)", |unit| {
        Variant::new((supervision(unit).restart_force_exit_status.clone(), Vec::<i32>::new()))
    }),
    fixed("ReloadSignal", "i", |unit| Variant::I32(supervision(unit).reload_signal.0)),
];

/// A command, and what became of it.
struct Row {
    command: Command,
    started: (u64, u64),
    ended: (u64, u64),
    pid: u32,
    code: i32,
    status: i32,
}

fn access(unit: &UnitView) -> NotifyAccess {
    let service = service(unit);
    let notifies = matches!(service.service_type, ServiceType::Notify | ServiceType::NotifyReload);
    let default = if notifies { NotifyAccess::Main } else { NotifyAccess::None };
    service.supervision.notify_access.unwrap_or(default)
}

fn ended(unit: &UnitView) -> (u64, u64) {
    // The end of the run before says nothing of the one that runs.
    match unit.status.main_pid {
        0 => (unit.status.main_ended.real, unit.status.main_ended.monotonic),
        _ => (0, 0),
    }
}

fn main(unit: &UnitView) -> Vec<Row> {
    let own = service(unit).commands.start.clone();
    let commands = match own.is_empty() {
        true => vec![Command::of(&words(unit, "/process/args"))],
        false => own,
    };
    let status = &unit.status;
    let started = (status.main_started.real, status.main_started.monotonic);
    let (code, exit) = if status.main_pid == 0 { (status.exit_code, status.exit_status) } else { (0, 0) };
    let row = |command| Row { command, started, ended: ended(unit), pid: status.main_pid, code, status: exit };
    commands.into_iter().filter(|command| !command.path.is_empty()).map(row).collect()
}

fn others(commands: &[Command]) -> Vec<Row> {
    let row = |command: &Command| Row {
        command: command.clone(),
        started: (0, 0),
        ended: (0, 0),
        pid: 0,
        code: 0,
        status: 0,
    };
    commands.iter().map(row).collect()
}

/// With whether a failure is ignored.
fn plain(rows: Vec<Row>) -> Variant<'static> {
    let row = |r: Row| {
        let Command { path, arguments, ignore_failure, .. } = r.command;
        (path, arguments, ignore_failure, r.started.0, r.started.1, r.ended.0, r.ended.1, r.pid, r.code, r.status)
    };
    match rows.is_empty() {
        true => none_of("(sasbttttuii)"),
        false => Variant::new(rows.into_iter().map(row).collect::<Vec<_>>()),
    }
}

/// With flags.
fn extended(rows: Vec<Row>) -> Variant<'static> {
    let row = |r: Row| {
        let flags = [
            (r.command.ignore_failure, "ignore-failure"),
            (r.command.privileged, "privileged"),
            (r.command.keep_user, "no-setuid"),
            (r.command.verbatim, "no-env-expand"),
        ];
        let flags: Vec<String> = flags.into_iter().filter(|(set, _)| *set).map(|(_, word)| word.to_owned()).collect();
        let (path, arguments) = (r.command.path, r.command.arguments);
        (path, arguments, flags, r.started.0, r.started.1, r.ended.0, r.ended.1, r.pid, r.code, r.status)
    };
    match rows.is_empty() {
        true => none_of("(sasasttttuii)"),
        false => Variant::new(rows.into_iter().map(row).collect::<Vec<_>>()),
    }
}
