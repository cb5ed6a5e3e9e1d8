//! org.freedesktop.systemd1.Service.

use std::time::{SystemTime, UNIX_EPOCH};

use ashlar_config::unit::{Body as Kind, KillMode, NotifyAccess, Output, Service, ServiceType, Supervision};
use serde::Serialize;
use serde_json::Value;
use zbus::Variant;

use super::{Interface, Property, emits, fixed, manages, none_of, reads, silent, text, texts};
use crate::actions;
use crate::cgroup::NONE;
use crate::fault::{self, Fault};
use crate::interface::kinds;
use crate::world::UnitView;

pub static INTERFACE: Interface<UnitView> = Interface {
    name: "org.freedesktop.systemd1.Service",
    properties: &[STATE, COMMANDS, SETTINGS, kinds::KILL, kinds::ACCOUNTING, kinds::LIMITS],
    methods: &[
        reads("GetProcesses", "", "a(sus)", |world, call| actions::processes(world, call.unit())),
        manages("AttachProcesses", "sau", "", |world, call| {
            let (below, processes): (String, Vec<u32>) = call.arguments()?;
            actions::attach(world, call.unit(), &below, processes)
        }),
        reads("DumpFileDescriptorStore", "", "a(suuutuusu)", |_, _| {
            Err(Fault::new(fault::NOT_SUPPORTED, "What services left with PID 1 is not shown."))
        }),
    ],
    signals: &[],
};

static STATE: &[Property<UnitView>] = &[
    emits("MainPID", "u", |unit| Variant::U32(unit.status.main_pid)),
    emits("ControlPID", "u", |unit| Variant::U32(unit.status.control_pid)),
    emits("Result", "s", |unit| text(&unit.status.result)),
    emits("ReloadResult", "s", |_| text("success")),
    emits("CleanResult", "s", |_| text("success")),
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
    silent("ExecStartPre", "a(sasbttttuii)", |unit| plain(others(unit, |service| service.start_pre.clone()))),
    silent("ExecStartPreEx", "a(sasasttttuii)", |unit| extended(others(unit, |service| service.start_pre.clone()))),
    silent("ExecReload", "a(sasbttttuii)", |unit| plain(others(unit, reload))),
    silent("ExecReloadEx", "a(sasasttttuii)", |unit| extended(others(unit, reload))),
    fixed("ExecCondition", "a(sasbttttuii)", |_| plain(Vec::new())),
    fixed("ExecConditionEx", "a(sasasttttuii)", |_| extended(Vec::new())),
    fixed("ExecStartPost", "a(sasbttttuii)", |_| plain(Vec::new())),
    fixed("ExecStartPostEx", "a(sasasttttuii)", |_| extended(Vec::new())),
    fixed("ExecStop", "a(sasbttttuii)", |_| plain(Vec::new())),
    fixed("ExecStopEx", "a(sasasttttuii)", |_| extended(Vec::new())),
    fixed("ExecStopPost", "a(sasbttttuii)", |_| plain(Vec::new())),
    fixed("ExecStopPostEx", "a(sasasttttuii)", |_| extended(Vec::new())),
];

static SETTINGS: &[Property<UnitView>] = &[
    fixed("Type", "s", |unit| text(word(&service(unit).service_type))),
    fixed("ExitType", "s", |_| text("main")),
    fixed("Restart", "s", |unit| text(word(&supervision(unit).restart))),
    fixed("RestartMode", "s", |_| text("normal")),
    fixed("PIDFile", "s", |_| text("")),
    fixed("NotifyAccess", "s", |unit| text(word(&access(unit)))),
    fixed("RestartUSec", "t", |unit| Variant::U64(supervision(unit).restart_delay.0)),
    fixed("RestartMaxDelayUSec", "t", |unit| Variant::U64(supervision(unit).restart_delay_max.0)),
    fixed("TimeoutStartUSec", "t", |unit| Variant::U64(supervision(unit).timeout_start.0)),
    fixed("TimeoutStopUSec", "t", |unit| Variant::U64(supervision(unit).timeout_stop.0)),
    fixed("TimeoutAbortUSec", "t", |unit| Variant::U64(supervision(unit).timeout_stop.0)),
    fixed("TimeoutStartFailureMode", "s", |_| text("terminate")),
    fixed("TimeoutStopFailureMode", "s", |_| text("terminate")),
    fixed("RuntimeMaxUSec", "t", |_| Variant::U64(NONE)),
    fixed("RuntimeRandomizedExtraUSec", "t", |_| Variant::U64(0)),
    fixed("WatchdogUSec", "t", |unit| Variant::U64(supervision(unit).watchdog.map_or(0, |span| span.0))),
    fixed("RootDirectoryStartOnly", "b", |_| Variant::Bool(false)),
    fixed("RemainAfterExit", "b", |unit| Variant::Bool(supervision(unit).remain_after_exit)),
    fixed("GuessMainPID", "b", |_| Variant::Bool(true)),
    fixed("SuccessExitStatus", "(aiai)", |unit| {
        Variant::new((supervision(unit).success_exit_status, Vec::<i32>::new()))
    }),
    fixed("FileDescriptorStoreMax", "u", |unit| Variant::U32(supervision(unit).fd_store)),
    fixed("FileDescriptorStorePreserve", "s", |unit| {
        text(if supervision(unit).fd_store_preserve { "yes" } else { "restart" })
    }),
    fixed("BusName", "s", |_| text("")),
    fixed("OOMPolicy", "s", |unit| text(word(&supervision(unit).oom_policy))),
    fixed("ReloadSignal", "i", |_| Variant::I32(1)),
    fixed("User", "s", |unit| text(host(unit, |host| host.user.clone().unwrap_or_default()))),
    fixed("Group", "s", |unit| text(host(unit, |host| host.group.clone().unwrap_or_default()))),
    fixed("WorkingDirectory", "s", |unit| {
        text(unit.bundle("/process/cwd").and_then(Value::as_str).unwrap_or_default())
    }),
    fixed("RootDirectory", "s", |unit| text(root(unit))),
    fixed("Environment", "as", |unit| texts(words(unit, "/process/env"))),
    fixed("StandardInput", "s", |unit| text(if service(unit).tty.is_some() { "tty" } else { "null" })),
    fixed("StandardOutput", "s", |unit| text(output(unit))),
    fixed("StandardError", "s", |unit| text(output(unit))),
    fixed("TTYPath", "s", |unit| text(service(unit).tty.unwrap_or_default())),
    fixed("SyslogIdentifier", "s", |_| text("")),
    fixed("LogNamespace", "s", |_| text("")),
    fixed("NoNewPrivileges", "b", |unit| {
        Variant::Bool(unit.bundle("/process/noNewPrivileges").and_then(Value::as_bool).unwrap_or_default())
    }),
    fixed("StateDirectory", "as", |unit| texts(service(unit).state_directory)),
    fixed("RuntimeDirectory", "as", |unit| texts(service(unit).runtime_directory)),
    fixed("RuntimeDirectoryPreserve", "s", |unit| {
        text(if service(unit).runtime_directory_preserve { "yes" } else { "no" })
    }),
    fixed("OOMScoreAdjust", "i", |unit| {
        let score = unit.bundle("/process/oomScoreAdj").and_then(Value::as_i64).unwrap_or_default();
        Variant::I32(score as i32)
    }),
];

/// Path, arguments, and what became of it.
struct Command {
    words: Vec<String>,
    started: (u64, u64),
    ended: (u64, u64),
    pid: u32,
    code: i32,
    status: i32,
}

fn service(unit: &UnitView) -> Service {
    match &unit.settings.body {
        Kind::Service(service) => (**service).clone(),
        _ => Service::default(),
    }
}

fn supervision(unit: &UnitView) -> Supervision {
    match &unit.settings.body {
        Kind::Service(service) => service.supervision.clone(),
        _ => Supervision::default(),
    }
}

fn host<T: Default>(unit: &UnitView, get: impl Fn(&ashlar_config::unit::HostCommand) -> T) -> T {
    service(unit).host.as_ref().map(get).unwrap_or_default()
}

fn root(unit: &UnitView) -> String {
    let service = service(unit);
    if service.bundle.is_empty() { String::new() } else { format!("{}/rootfs", service.bundle) }
}

fn output(unit: &UnitView) -> &'static str {
    match service(unit).output {
        Output::Journal => "journal",
        Output::Null => "null",
        Output::Tty => "tty",
    }
}

fn access(unit: &UnitView) -> NotifyAccess {
    let service = service(unit);
    let notifies = matches!(service.service_type, ServiceType::Notify | ServiceType::NotifyReload);
    let default = if notifies { NotifyAccess::Main } else { NotifyAccess::None };
    service.supervision.notify_access.unwrap_or(default)
}

/// A setting's word, which is systemd's.
pub fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Whom a stop is for.
pub fn kill_mode(unit: &UnitView) -> KillMode {
    match &unit.settings.body {
        Kind::Service(service) => service.supervision.kill_mode,
        Kind::Scope(scope) => scope.kill_mode,
        _ => KillMode::default(),
    }
}

fn words(unit: &UnitView, pointer: &str) -> Vec<String> {
    let list = unit.bundle(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

fn ended(unit: &UnitView) -> (u64, u64) {
    // The end of the run before says nothing of the one that runs.
    match unit.status.main_pid {
        0 => (unit.status.main_ended.real, unit.status.main_ended.monotonic),
        _ => (0, 0),
    }
}

fn main(unit: &UnitView) -> Vec<Command> {
    let own = host(unit, |host| host.command.clone());
    let words = if own.is_empty() { words(unit, "/process/args") } else { own };
    if words.is_empty() {
        return Vec::new();
    }
    let status = &unit.status;
    let started = (status.main_started.real, status.main_started.monotonic);
    let (code, exit) = if status.main_pid == 0 { (status.exit_code, status.exit_status) } else { (0, 0) };
    vec![Command { words, started, ended: ended(unit), pid: status.main_pid, code, status: exit }]
}

fn others(unit: &UnitView, get: impl Fn(&Service) -> Vec<Vec<String>>) -> Vec<Command> {
    let plain = |words| Command { words, started: (0, 0), ended: (0, 0), pid: 0, code: 0, status: 0 };
    get(&service(unit)).into_iter().map(plain).collect()
}

fn reload(service: &Service) -> Vec<Vec<String>> {
    service.reload.iter().cloned().collect()
}

/// With whether a failure is ignored.
fn plain(commands: Vec<Command>) -> Variant<'static> {
    let row = |c: Command| {
        let path = c.words.first().cloned().unwrap_or_default();
        (path, c.words, false, c.started.0, c.started.1, c.ended.0, c.ended.1, c.pid, c.code, c.status)
    };
    match commands.is_empty() {
        true => none_of("(sasbttttuii)"),
        false => Variant::new(commands.into_iter().map(row).collect::<Vec<_>>()),
    }
}

/// With flags.
fn extended(commands: Vec<Command>) -> Variant<'static> {
    let row = |c: Command| {
        let path = c.words.first().cloned().unwrap_or_default();
        let flags = Vec::<String>::new();
        (path, c.words, flags, c.started.0, c.started.1, c.ended.0, c.ended.1, c.pid, c.code, c.status)
    };
    match commands.is_empty() {
        true => none_of("(sasasttttuii)"),
        false => Variant::new(commands.into_iter().map(row).collect::<Vec<_>>()),
    }
}

/// Microseconds since the epoch of a moment that is so long after the kernel started.
pub fn real_of(monotonic: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    now.saturating_sub(ashlar_sys::clock::monotonic()).saturating_add(monotonic)
}
