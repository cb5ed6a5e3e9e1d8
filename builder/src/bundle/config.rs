//! `config.json` of a bundle (OCI runtime specification 1.2): what a unit file's keys become there.

use ashlar_config::Error;
use ashlar_config::quantity::Size;
use ashlar_config::unit::{CAPABILITIES, Limits, Namespace, Rootfs, Seccomp, UserNamespace};
use serde_json::{Value, json};

use super::mounts::{Entry, Shift};
use super::{IDS, devices, near, seccomp};
use crate::sources::UnitSource;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";
/// What systemd gives a service.
const OPEN_FILES: (u64, u64) = (1024, 524_288);
const CPU_PERIOD: u64 = 100_000;

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Whose process it is.
pub struct Who {
    /// User and group, as the container sees them.
    pub owner: (u32, u32),
    /// Further groups.
    pub groups: Vec<u32>,
    /// First id of its private user namespace.
    pub first_id: Option<u32>,
}

/// The whole file.
///
/// # Errors
/// A capability or device that is not known.
pub fn write(unit: &UnitSource, who: &Who, mounts: &[Entry]) -> Result<Value, Error> {
    let seal = &unit.written.seal;
    let shift = who.first_id.map(|first| Shift { first, size: IDS });
    let machine = unit.written.rootfs == Rootfs::Machine;
    let mut config = json!({
        "ociVersion": "1.2.0",
        "process": process(unit, who)?,
        "root": {"path": if machine { "/" } else { "rootfs" }, "readonly": !seal.writable_root},
        "mounts": mounts.iter().map(|entry| entry.json(shift)).collect::<Vec<_>>(),
        "linux": linux(unit, shift)?,
    });
    let mut annotations = serde_json::Map::new();
    if shift.is_some() {
        annotations.insert("io.ashlar.rootfs.idmap".into(), json!("true"));
    }
    if seal.writable_root {
        annotations.insert("io.ashlar.rootfs.overlay".into(), json!("tmpfs"));
    }
    if !annotations.is_empty() {
        config["annotations"] = annotations.into();
    }
    Ok(config)
}

fn process(unit: &UnitSource, who: &Who) -> Result<Value, Error> {
    let written = &unit.written;
    let mut environment = vec![PATH.to_owned(), "LANG=C.UTF-8".to_owned()];
    environment.retain(|line| line.split('=').next().is_none_or(|name| !written.environment.contains_key(name)));
    environment.extend(written.environment.iter().map(|(name, value)| format!("{name}={value}")));
    let limit = written.limits.open_files;
    let (soft, hard) = limit.map_or(OPEN_FILES, |files| (files, files));
    let mut process = json!({
        "terminal": false,
        "user": {"uid": who.owner.0, "gid": who.owner.1, "additionalGids": who.groups},
        "args": written.command,
        "env": environment,
        "cwd": written.working_directory.as_deref().unwrap_or("/"),
        "capabilities": capability_sets(unit, who.owner.0 == 0)?,
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": soft, "hard": hard}],
        "noNewPrivileges": written.seal.no_new_privileges,
    });
    if let Some(score) = written.limits.oom_score_adjust {
        process["oomScoreAdj"] = json!(score);
    }
    Ok(process)
}

/// Only ambient capabilities outlive the change from root to another user.
fn capability_sets(unit: &UnitSource, root: bool) -> Result<Value, Error> {
    let named = &unit.written.seal.capabilities;
    if let Some(unknown) = named.iter().find(|name| !CAPABILITIES.contains(&name.as_str())) {
        let what = format!("capability `{unknown}` is not known");
        return Err(unit.mistake(unknown, what, near(unknown, CAPABILITIES.into_iter())));
    }
    let kept: &[String] = if root { &[] } else { named };
    Ok(json!({"bounding": named, "effective": named, "permitted": named, "inheritable": kept, "ambient": kept}))
}

fn linux(unit: &UnitSource, shift: Option<Shift>) -> Result<Value, Error> {
    let seal = &unit.written.seal;
    let identity = Shift { first: 0, size: u32::MAX };
    let mappings = match seal.user_namespace {
        UserNamespace::Private => shift,
        UserNamespace::Identity => Some(identity),
        UserNamespace::Host => None,
    };
    let kinds = [
        ("pid", Namespace::Pid),
        ("network", Namespace::Net),
        ("ipc", Namespace::Ipc),
        ("uts", Namespace::Uts),
        ("mount", Namespace::Mount),
        ("cgroup", Namespace::Cgroup),
    ];
    let own = kinds.iter().filter(|(_, kind)| !seal.host_namespaces.contains(kind)).map(|(name, _)| *name);
    let namespaces: Vec<Value> = own.chain(mappings.map(|_| "user")).map(|name| json!({"type": name})).collect();
    let mut nodes = Vec::new();
    let mut rules = vec![json!({"allow": false, "access": "rwm"})];
    for line in &seal.devices {
        let device = devices::read(line).map_err(|message| unit.mistake(line, message, String::new()))?;
        nodes.extend(device.node);
        rules.push(device.rule);
    }
    let mut linux = json!({
        "namespaces": namespaces,
        "devices": nodes,
        "resources": resources(&unit.written.limits, rules),
    });
    if let Some(mappings) = mappings {
        linux["uidMappings"] = mappings.json();
        linux["gidMappings"] = mappings.json();
    }
    if seal.seccomp == Seccomp::Default {
        linux["seccomp"] = seccomp::profile(&seal.capabilities);
    }
    if seal.mask_paths {
        linux["maskedPaths"] = json!(MASKED);
        linux["readonlyPaths"] = json!(READ_ONLY);
    }
    Ok(linux)
}

fn resources(limits: &Limits, devices: Vec<Value>) -> Value {
    let mut resources = json!({"devices": devices});
    let bytes = |size: &Option<Size>| size.map(|size| if size == Size::INFINITY { -1 } else { size.0.cast_signed() });
    let mut memory = serde_json::Map::new();
    for (key, size) in [("limit", &limits.memory_max), ("reservation", &limits.memory_low)] {
        memory.extend(bytes(size).map(|size| (key.to_owned(), json!(size))));
    }
    if !memory.is_empty() {
        resources["memory"] = memory.into();
    }
    if let Some(tasks) = limits.tasks_max {
        resources["pids"] = json!({"limit": tasks});
    }
    if let Some(percent) = limits.cpu_quota_percent {
        resources["cpu"] = json!({"quota": percent * CPU_PERIOD / 100, "period": CPU_PERIOD});
    }
    let high = limits.memory_high.filter(|size| *size != Size::INFINITY).map(|size| size.0.to_string());
    let unified = [
        ("memory.high", high),
        ("cpu.weight", limits.cpu_weight.map(|weight| weight.to_string())),
        ("io.weight", limits.io_weight.map(|weight| format!("default {weight}"))),
    ];
    let unified: serde_json::Map<String, Value> =
        unified.into_iter().filter_map(|(file, text)| Some((file.to_owned(), json!(text?)))).collect();
    if !unified.is_empty() {
        resources["unified"] = unified.into();
    }
    resources
}
