//! How commands run (systemd.exec(5)), of services and of whatever else has processes.

use std::collections::HashMap;
use std::fs;
use std::sync::LazyLock;

use ashlar_config::unit::{
    CAPABILITIES, CredentialSource, Exec, FAMILIES, FolderKind, HostSeal, IoClass, Keep, Policy, PrivateUsers, Protect,
    Stream, Treatment,
};
use serde_json::Value;
use zbus::Variant;

use super::settings::{exec_of, output, root, service, words};
use super::{Property, absent, fixed, none_of, text, texts};
use crate::cgroup::NONE;
use crate::world::UnitView;

pub static CONTEXT: &[Property<UnitView>] = &[
    fixed("User", "s", |unit| text(exec_of(unit).user.as_deref().unwrap_or_default())),
    fixed("Group", "s", |unit| text(exec_of(unit).group.as_deref().unwrap_or_default())),
    fixed("SupplementaryGroups", "as", |unit| texts(&exec_of(unit).groups)),
    fixed("DynamicUser", "b", |unit| Variant::Bool(exec_of(unit).dynamic_user)),
    fixed("WorkingDirectory", "s", |unit| {
        let exec = exec_of(unit);
        let said = |path: &String| if exec.working_directory_optional { format!("!{path}") } else { path.clone() };
        let own = exec.working_directory.as_ref().map(said);
        text(own.unwrap_or_else(|| bundled(unit, "/process/cwd")))
    }),
    fixed("RootDirectory", "s", |unit| text(root(unit))),
    fixed("Environment", "as", |unit| {
        let service = service(unit);
        let own = service.host.as_ref().map_or(&service.environment, |exec| &exec.environment);
        texts(words(unit, "/process/env").into_iter().chain(own.iter().map(|(name, value)| format!("{name}={value}"))))
    }),
    fixed("EnvironmentFiles", "a(sb)", |unit| match &exec_of(unit).environment_files {
        list if list.is_empty() => none_of("(sb)"),
        list => Variant::new(list.clone()),
    }),
    fixed("UnsetEnvironment", "as", |unit| texts(&exec_of(unit).unset_environment)),
    fixed("UMask", "u", |unit| Variant::U32(exec_of(unit).umask.unwrap_or(0o022))),
    fixed("Nice", "i", |unit| Variant::I32(exec_of(unit).nice.unwrap_or(0))),
    fixed("CPUSchedulingPolicy", "i", |unit| {
        let policy = exec_of(unit).scheduling.policy.unwrap_or(Policy::Other);
        Variant::I32(POLICIES.iter().find(|(known, _)| *known == policy).map_or(0, |(_, number)| *number))
    }),
    fixed("CPUSchedulingPriority", "i", |unit| Variant::I32(exec_of(unit).scheduling.priority as i32)),
    fixed("CPUSchedulingResetOnFork", "b", |unit| Variant::Bool(exec_of(unit).scheduling.reset_on_fork)),
    fixed("CPUAffinity", "ay", |unit| {
        let mut mask = Vec::new();
        for number in exec_of(unit).processors.iter().copied() {
            let (byte, bit) = (number as usize / 8, number % 8);
            mask.resize(mask.len().max(byte + 1), 0u8);
            mask[byte] |= 1 << bit;
        }
        Variant::new(mask)
    }),
    fixed("IOSchedulingClass", "i", |unit| {
        Variant::I32(match exec_of(unit).io_priority {
            Some((IoClass::Realtime, _)) => 1,
            Some((IoClass::Idle, _)) => 3,
            _ => 2,
        })
    }),
    fixed("IOSchedulingPriority", "i", |unit| {
        Variant::I32(exec_of(unit).io_priority.map_or(4, |(_, priority)| priority as i32))
    }),
    fixed("SyslogFacility", "i", |unit| Variant::I32(facility(unit))),
    fixed("SyslogLevel", "i", |unit| Variant::I32(level(unit))),
    fixed("SyslogPriority", "i", |unit| Variant::I32(facility(unit) << 3 | level(unit))),
    fixed("OOMScoreAdjust", "i", |unit| {
        let bundled = || unit.bundle("/process/oomScoreAdj").and_then(Value::as_i64).unwrap_or_default() as i32;
        Variant::I32(exec_of(unit).oom_score_adjust.unwrap_or_else(bundled))
    }),
    fixed("StandardInput", "s", |unit| {
        text(match exec_of(unit).streams[0] {
            _ if service(unit).tty.is_some() => "tty",
            Stream::Data(_) => "data",
            Stream::File(_) => "file",
            Stream::Socket => "socket",
            _ => "null",
        })
    }),
    fixed("StandardInputData", "ay", |unit| {
        let data = if let Stream::Data(data) = &exec_of(unit).streams[0] { data.as_bytes() } else { &[] };
        Variant::new(data.to_vec())
    }),
    fixed("StandardOutput", "s", |unit| text(stream(unit, 1, output(unit)))),
    fixed("StandardError", "s", |unit| {
        let own = if service(unit).host.is_some() { "inherit" } else { output(unit) };
        text(stream(unit, 2, own))
    }),
    fixed("TTYPath", "s", |unit| text(service(unit).tty.as_deref().unwrap_or_default())),
    fixed("SyslogIdentifier", "s", |unit| text(&exec_of(unit).syslog_identifier)),
    fixed("LoadCredential", "a(ss)", |unit| {
        let named = exec_of(unit).credentials.iter().filter_map(|one| match &one.source {
            CredentialSource::Path(place) | CredentialSource::Store(place) => Some((one.name.clone(), place.clone())),
            _ => None,
        });
        let rows: Vec<(String, String)> = named.collect();
        if rows.is_empty() { none_of("(ss)") } else { Variant::new(rows) }
    }),
    fixed("SetCredential", "a(say)", |unit| {
        let named = exec_of(unit).credentials.iter().filter_map(|one| match &one.source {
            CredentialSource::Value(text) => Some((one.name.clone(), text.clone().into_bytes())),
            _ => None,
        });
        let rows: Vec<(String, Vec<u8>)> = named.collect();
        if rows.is_empty() { none_of("(say)") } else { Variant::new(rows) }
    }),
    fixed("ImportCredential", "as", |unit| {
        let imported = |source: &CredentialSource| matches!(source, CredentialSource::Import(_));
        texts(exec_of(unit).credentials.iter().filter(|one| imported(&one.source)).map(|one| &one.name))
    }),
    fixed("ImportCredentialEx", "a(ss)", |unit| {
        let imported = exec_of(unit).credentials.iter().filter_map(|one| match &one.source {
            CredentialSource::Import(renamed) => Some((one.name.clone(), renamed.clone())),
            _ => None,
        });
        let rows: Vec<(String, String)> = imported.collect();
        if rows.is_empty() { none_of("(ss)") } else { Variant::new(rows) }
    }),
    fixed("SetLoginEnvironment", "b", |unit| Variant::Bool(exec_of(unit).user.is_some() || exec_of(unit).dynamic_user)),
    fixed("RemoveIPC", "b", |unit| Variant::Bool(exec_of(unit).remove_ipc || exec_of(unit).dynamic_user)),
    fixed("NonBlocking", "b", |unit| Variant::Bool(exec_of(unit).non_blocking)),
    fixed("RuntimeDirectory", "as", |unit| texts(service(unit).folders(FolderKind::Runtime))),
    fixed("StateDirectory", "as", |unit| texts(service(unit).folders(FolderKind::State))),
    fixed("CacheDirectory", "as", |unit| texts(service(unit).folders(FolderKind::Cache))),
    fixed("LogsDirectory", "as", |unit| texts(service(unit).folders(FolderKind::Logs))),
    fixed("ConfigurationDirectory", "as", |unit| texts(service(unit).folders(FolderKind::Configuration))),
    fixed("RuntimeDirectoryMode", "u", |unit| Variant::U32(mode(unit, FolderKind::Runtime))),
    fixed("StateDirectoryMode", "u", |unit| Variant::U32(mode(unit, FolderKind::State))),
    fixed("CacheDirectoryMode", "u", |unit| Variant::U32(mode(unit, FolderKind::Cache))),
    fixed("LogsDirectoryMode", "u", |unit| Variant::U32(mode(unit, FolderKind::Logs))),
    fixed("ConfigurationDirectoryMode", "u", |unit| Variant::U32(mode(unit, FolderKind::Configuration))),
    fixed("RuntimeDirectoryPreserve", "s", |unit| {
        text(match exec_of(unit).keep_runtime_folders {
            _ if service(unit).runtime_directory_preserve => "yes",
            Keep::No => "no",
            Keep::Restart => "restart",
            Keep::Yes => "yes",
        })
    }),
];

macro_rules! switches {
    ($($name:literal = $field:ident;)*) => {
        &[$(fixed($name, "b", |unit: &UnitView| Variant::Bool(exec_of(unit).seal.$field)),)*
            fixed("NoNewPrivileges", "b", |unit| {
                let bundled = || unit.bundle("/process/noNewPrivileges").and_then(Value::as_bool).unwrap_or_default();
                Variant::Bool(exec_of(unit).seal.no_new_privileges || bundled())
            }),
            fixed("PrivateUsers", "b", |unit| Variant::Bool(exec_of(unit).seal.private_users != PrivateUsers::No)),
            fixed("PrivateUsersEx", "s", |unit| {
                text(match exec_of(unit).seal.private_users {
                    PrivateUsers::No => "no",
                    PrivateUsers::Own => "self",
                    PrivateUsers::Identity => "identity",
                    PrivateUsers::Full => "full",
                })
            }),
            fixed("PrivateTmpEx", "s", |unit| {
                text(if exec_of(unit).seal.private_tmp { "disconnected" } else { "no" })
            }),
            fixed("ProtectControlGroupsEx", "s", |unit| {
                text(if exec_of(unit).seal.control_groups { "yes" } else { "no" })
            }),
            fixed("ProtectSystem", "s", |unit| text(protect(exec_of(unit).seal.system))),
            fixed("ProtectHome", "s", |unit| text(protect(exec_of(unit).seal.home))),
            fixed("ProtectProc", "s", |unit| text(exec_of(unit).seal.proc_access.as_deref().unwrap_or("default"))),
            fixed("ProcSubset", "s", |unit| text(if exec_of(unit).seal.proc_only_processes { "pid" } else { "all" })),
            fixed("CapabilityBoundingSet", "t", |unit| {
                Variant::U64(exec_of(unit).seal.bounding.as_ref().map_or((1 << CAPABILITIES.len()) - 1, |names| bits(names)))
            }),
            fixed("AmbientCapabilities", "t", |unit| Variant::U64(bits(&exec_of(unit).seal.ambient))),
            fixed("RestrictNamespaces", "t", |unit| {
                Variant::U64(ALL_NAMESPACES & !exec_of(unit).seal.no_namespaces)
            }),
            fixed("ReadWritePaths", "as", |unit| texts(paths(&exec_of(unit).seal, Treatment::Writable))),
            fixed("ReadOnlyPaths", "as", |unit| texts(paths(&exec_of(unit).seal, Treatment::ReadOnly))),
            fixed("InaccessiblePaths", "as", |unit| texts(paths(&exec_of(unit).seal, Treatment::Inaccessible))),
            fixed("ExecPaths", "as", |unit| texts(paths(&exec_of(unit).seal, Treatment::Exec))),
            fixed("NoExecPaths", "as", |unit| texts(paths(&exec_of(unit).seal, Treatment::NoExec))),
            fixed("BindPaths", "a(ssbt)", |unit| binds(&exec_of(unit).seal, Treatment::Bind)),
            fixed("BindReadOnlyPaths", "a(ssbt)", |unit| binds(&exec_of(unit).seal, Treatment::BindReadOnly)),
            fixed("TemporaryFileSystem", "a(ss)", |unit| {
                let own = exec_of(unit).seal.paths.iter().filter(|sealed| sealed.treatment == Treatment::Tmpfs);
                let rows: Vec<(String, String)> =
                    own.map(|sealed| (sealed.path.clone(), sealed.source.clone())).collect();
                if rows.is_empty() { none_of("(ss)") } else { Variant::new(rows) }
            }),
            fixed("RestrictAddressFamilies", "(bas)", |unit| {
                let families = exec_of(unit).seal.families.clone().unwrap_or_default();
                let name = |number: &u64| {
                    let known = FAMILIES.iter().find(|(_, known)| known == number);
                    known.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
                };
                Variant::new((families.allow, families.numbers.iter().map(name).collect::<Vec<_>>()))
            }),
            fixed("SystemCallFilter", "(bas)", |unit| {
                let calls = exec_of(unit).seal.calls.clone().unwrap_or_default();
                Variant::new((calls.allow, calls.names))
            }),
            fixed("SystemCallErrorNumber", "i", |unit| {
                let said = exec_of(unit).seal.calls.as_ref().and_then(|calls| calls.errno);
                Variant::I32(said.map_or(absent::KILL, |number| number as i32))
            }),
            fixed("AppArmorProfile", "(bs)", |unit| {
                let (name, optional) = exec_of(unit).seal.apparmor_profile.clone().unwrap_or_default();
                Variant::new((optional, name))
            }),
        ]
    };
}

/// Every kind of namespace, by its bit in clone(2).
const ALL_NAMESPACES: u64 = 0x7e02_0080;

pub static SEAL: &[Property<UnitView>] = switches! {
    "PrivateTmp" = private_tmp;
    "PrivateDevices" = private_devices;
    "PrivateNetwork" = private_network;
    "PrivateIPC" = private_ipc;
    "PrivateMounts" = private_mounts;
    "ProtectHostname" = hostname;
    "ProtectKernelTunables" = kernel_tunables;
    "ProtectKernelModules" = kernel_modules;
    "ProtectKernelLogs" = kernel_logs;
    "ProtectControlGroups" = control_groups;
    "ProtectClock" = clock;
    "RestrictRealtime" = no_realtime;
    "RestrictSUIDSGID" = no_suid;
    "LockPersonality" = lock_personality;
    "MemoryDenyWriteExecute" = no_write_execute;
};

macro_rules! rlimits {
    ($($hard:literal $soft:literal $kind:literal;)*) => {
        &[$(
            fixed($hard, "t", |unit: &UnitView| Variant::U64(rlimit(unit, $kind).1)),
            fixed($soft, "t", |unit: &UnitView| Variant::U64(rlimit(unit, $kind).0)),
        )*]
    };
}

pub static RLIMITS: &[Property<UnitView>] = rlimits! {
    "LimitNOFILE" "LimitNOFILESoft" "RLIMIT_NOFILE";
    "LimitNPROC" "LimitNPROCSoft" "RLIMIT_NPROC";
    "LimitCORE" "LimitCORESoft" "RLIMIT_CORE";
    "LimitMEMLOCK" "LimitMEMLOCKSoft" "RLIMIT_MEMLOCK";
    "LimitAS" "LimitASSoft" "RLIMIT_AS";
    "LimitCPU" "LimitCPUSoft" "RLIMIT_CPU";
    "LimitDATA" "LimitDATASoft" "RLIMIT_DATA";
    "LimitFSIZE" "LimitFSIZESoft" "RLIMIT_FSIZE";
    "LimitSTACK" "LimitSTACKSoft" "RLIMIT_STACK";
    "LimitRTPRIO" "LimitRTPRIOSoft" "RLIMIT_RTPRIO";
    "LimitRSS" "LimitRSSSoft" "RLIMIT_RSS";
    "LimitLOCKS" "LimitLOCKSSoft" "RLIMIT_LOCKS";
    "LimitSIGPENDING" "LimitSIGPENDINGSoft" "RLIMIT_SIGPENDING";
    "LimitMSGQUEUE" "LimitMSGQUEUESoft" "RLIMIT_MSGQUEUE";
    "LimitNICE" "LimitNICESoft" "RLIMIT_NICE";
    "LimitRTTIME" "LimitRTTIMESoft" "RLIMIT_RTTIME";
};

/// sched(7).
const POLICIES: [(Policy, i32); 5] =
    [(Policy::Other, 0), (Policy::Fifo, 1), (Policy::Rr, 2), (Policy::Batch, 3), (Policy::Idle, 5)];

fn facility(unit: &UnitView) -> i32 {
    exec_of(unit).syslog_facility.map_or(3, i32::from)
}

fn level(unit: &UnitView) -> i32 {
    exec_of(unit).syslog_level.map_or(6, i32::from)
}

fn bundled(unit: &UnitView, pointer: &str) -> String {
    unit.bundle(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn stream(unit: &UnitView, place: usize, own: &str) -> String {
    match &exec_of(unit).streams[place] {
        Stream::Default => own.to_owned(),
        Stream::Null => "null".to_owned(),
        Stream::Journal => "journal".to_owned(),
        Stream::Tty => "tty".to_owned(),
        Stream::Inherit => "inherit".to_owned(),
        Stream::File(path) => format!("file:{path}"),
        Stream::Append(path) => format!("append:{path}"),
        Stream::Truncate(path) => format!("truncate:{path}"),
        Stream::Data(_) => "data".to_owned(),
        Stream::Socket => "socket".to_owned(),
        Stream::JournalAndConsole => "journal+console".to_owned(),
    }
}

fn mode(unit: &UnitView, kind: FolderKind) -> u32 {
    exec_of(unit).folders.iter().find(|folder| folder.kind == kind).map_or(0o755, |folder| folder.mode)
}

fn protect(protect: Protect) -> &'static str {
    match protect {
        Protect::No => "no",
        Protect::Yes => "yes",
        Protect::Full => "full",
        Protect::Strict => "strict",
        Protect::ReadOnly => "read-only",
        Protect::Tmpfs => "tmpfs",
    }
}

fn bits(names: &[String]) -> u64 {
    let place = |name: &String| CAPABILITIES.iter().position(|known| known == name);
    names.iter().filter_map(place).fold(0, |bits, place| bits | 1 << place)
}

fn paths(seal: &HostSeal, treatment: Treatment) -> Vec<String> {
    let own = seal.paths.iter().filter(|sealed| sealed.treatment == treatment);
    own.map(|sealed| format!("{}{}", if sealed.optional { "-" } else { "" }, sealed.path)).collect()
}

/// What is bound where; whether the source need not be there; mount(2)'s flag for all that is mounted below it.
fn binds(seal: &HostSeal, treatment: Treatment) -> Variant<'static> {
    const RECURSIVELY: u64 = 0x4000;
    let own = seal.paths.iter().filter(|sealed| sealed.treatment == treatment);
    let rows: Vec<(String, String, bool, u64)> =
        own.map(|sealed| (sealed.source.clone(), sealed.path.clone(), sealed.optional, RECURSIVELY)).collect();
    if rows.is_empty() { none_of("(ssbt)") } else { Variant::new(rows) }
}

/// Soft and hard: its own, its container's, or those that it inherits.
fn rlimit(unit: &UnitView, kind: &str) -> (u64, u64) {
    let own = |exec: &Exec| exec.rlimits.iter().find(|(known, ..)| known == kind).map(|(_, soft, hard)| (*soft, *hard));
    let bundled = || {
        let rows = unit.bundle("/process/rlimits")?.as_array()?;
        let row = rows.iter().find(|row| row.get("type").and_then(Value::as_str) == Some(kind))?;
        Some((row.get("soft")?.as_u64()?, row.get("hard")?.as_u64()?))
    };
    own(exec_of(unit)).or_else(bundled).unwrap_or_else(|| inherited(kind))
}

/// PID 1's own limits, which everything has that it starts: soft and hard.
pub fn inherited(kind: &str) -> (u64, u64) {
    static LIMITS: LazyLock<HashMap<&str, (u64, u64)>> =
        LazyLock::new(|| limits(&fs::read_to_string("/proc/1/limits").unwrap_or_default()));
    LIMITS.get(kind).copied().unwrap_or((NONE, NONE))
}

/// As proc_pid_limits(5) has them.
fn limits(text: &str) -> HashMap<&'static str, (u64, u64)> {
    let number = |word: &str| word.parse().unwrap_or(NONE);
    let row = |(kind, line): &(&'static str, &str)| {
        let mut words = text.lines().find_map(|row| row.strip_prefix(line))?.split_ascii_whitespace();
        Some((*kind, (number(words.next()?), number(words.next()?))))
    };
    LINES.iter().filter_map(row).collect()
}

/// Kinds of limits, and what their lines begin with.
const LINES: [(&str, &str); 16] = [
    ("RLIMIT_CPU", "Max cpu time"),
    ("RLIMIT_FSIZE", "Max file size"),
    ("RLIMIT_DATA", "Max data size"),
    ("RLIMIT_STACK", "Max stack size"),
    ("RLIMIT_CORE", "Max core file size"),
    ("RLIMIT_RSS", "Max resident set"),
    ("RLIMIT_NPROC", "Max processes"),
    ("RLIMIT_NOFILE", "Max open files"),
    ("RLIMIT_MEMLOCK", "Max locked memory"),
    ("RLIMIT_AS", "Max address space"),
    ("RLIMIT_LOCKS", "Max file locks"),
    ("RLIMIT_SIGPENDING", "Max pending signals"),
    ("RLIMIT_MSGQUEUE", "Max msgqueue size"),
    ("RLIMIT_NICE", "Max nice priority"),
    ("RLIMIT_RTPRIO", "Max realtime priority"),
    ("RLIMIT_RTTIME", "Max realtime timeout"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_as_the_kernel_lists_them() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
                    Max cpu time              unlimited            unlimited            seconds   \n\
                    Max open files            1024                 524288               files     \n\
                    Max nice priority         0                    0                    \n";
        let limits = limits(text);
        let expect = [("RLIMIT_CPU", (NONE, NONE)), ("RLIMIT_NOFILE", (1024, 524_288)), ("RLIMIT_NICE", (0, 0))];
        assert_eq!(limits, HashMap::from(expect));
    }
}
