//! How commands run (systemd.exec(5)), of services and of whatever else has processes.

use ashlar_config::unit::{
    CAPABILITIES, CredentialSource, Exec, FolderKind, HostSeal, IoClass, Keep, Policy, PrivateUsers, Protect, Stream,
    Treatment,
};
use serde_json::Value;
use zbus::Variant;

use super::settings::{exec_of, output, root, service, words};
use super::{Property, fixed, none_of, text, texts};
use crate::cgroup::NONE;
use crate::world::UnitView;

pub static CONTEXT: &[Property<UnitView>] = &[
    fixed("User", "s", |unit| text(exec_of(unit).user.unwrap_or_default())),
    fixed("Group", "s", |unit| text(exec_of(unit).group.unwrap_or_default())),
    fixed("SupplementaryGroups", "as", |unit| texts(exec_of(unit).groups)),
    fixed("DynamicUser", "b", |unit| Variant::Bool(exec_of(unit).dynamic_user)),
    fixed("WorkingDirectory", "s", |unit| {
        let exec = exec_of(unit);
        let own =
            exec.working_directory.map(|path| if exec.working_directory_optional { format!("!{path}") } else { path });
        text(own.unwrap_or_else(|| bundled(unit, "/process/cwd")))
    }),
    fixed("RootDirectory", "s", |unit| text(root(unit))),
    fixed("Environment", "as", |unit| {
        let service = service(unit);
        let own = service.host.map(|exec| exec.environment).unwrap_or(service.environment);
        texts(
            words(unit, "/process/env")
                .into_iter()
                .chain(own.into_iter().map(|(name, value)| format!("{name}={value}"))),
        )
    }),
    fixed("EnvironmentFiles", "a(sb)", |unit| match exec_of(unit).environment_files {
        list if list.is_empty() => none_of("(sb)"),
        list => Variant::new(list),
    }),
    fixed("PassEnvironment", "as", |_| none_of("s")),
    fixed("UnsetEnvironment", "as", |unit| texts(exec_of(unit).unset_environment)),
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
        for number in exec_of(unit).processors {
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
    fixed("SyslogFacility", "i", |unit| Variant::I32(exec_of(unit).syslog_facility.map_or(3, i32::from))),
    fixed("SyslogLevel", "i", |unit| Variant::I32(exec_of(unit).syslog_level.map_or(6, i32::from))),
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
    fixed("StandardOutput", "s", |unit| text(stream(unit, 1, output(unit)))),
    fixed("StandardError", "s", |unit| {
        let own = if service(unit).host.is_some() { "inherit" } else { output(unit) };
        text(stream(unit, 2, own))
    }),
    fixed("TTYPath", "s", |unit| text(service(unit).tty.unwrap_or_default())),
    fixed("SyslogIdentifier", "s", |unit| text(exec_of(unit).syslog_identifier)),
    fixed("LoadCredential", "a(ss)", |unit| {
        let named = exec_of(unit).credentials.into_iter().filter_map(|one| match one.source {
            CredentialSource::Path(place) | CredentialSource::Store(place) => Some((one.name, place)),
            _ => None,
        });
        let rows: Vec<(String, String)> = named.collect();
        if rows.is_empty() { none_of("(ss)") } else { Variant::new(rows) }
    }),
    fixed("SetCredential", "a(say)", |unit| {
        let named = exec_of(unit).credentials.into_iter().filter_map(|one| match one.source {
            CredentialSource::Value(text) => Some((one.name, text.into_bytes())),
            _ => None,
        });
        let rows: Vec<(String, Vec<u8>)> = named.collect();
        if rows.is_empty() { none_of("(say)") } else { Variant::new(rows) }
    }),
    fixed("ImportCredential", "as", |unit| {
        let imported = |source: &CredentialSource| matches!(source, CredentialSource::Import(_));
        texts(exec_of(unit).credentials.into_iter().filter(|one| imported(&one.source)).map(|one| one.name))
    }),
    fixed("RemoveIPC", "b", |unit| Variant::Bool(exec_of(unit).remove_ipc || exec_of(unit).dynamic_user)),
    fixed("NonBlocking", "b", |unit| Variant::Bool(exec_of(unit).non_blocking)),
    fixed("LogNamespace", "s", |_| text("")),
    fixed("RuntimeDirectory", "as", |unit| match service(unit).runtime_directory {
        list if list.is_empty() => texts(folders(unit, FolderKind::Runtime)),
        list => texts(list),
    }),
    fixed("StateDirectory", "as", |unit| match service(unit).state_directory {
        list if list.is_empty() => texts(folders(unit, FolderKind::State)),
        list => texts(list),
    }),
    fixed("CacheDirectory", "as", |unit| texts(folders(unit, FolderKind::Cache))),
    fixed("LogsDirectory", "as", |unit| texts(folders(unit, FolderKind::Logs))),
    fixed("ConfigurationDirectory", "as", |unit| texts(folders(unit, FolderKind::Configuration))),
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
            fixed("ProtectSystem", "s", |unit| text(protect(exec_of(unit).seal.system))),
            fixed("ProtectHome", "s", |unit| text(protect(exec_of(unit).seal.home))),
            fixed("ProtectProc", "s", |unit| text(exec_of(unit).seal.proc_access.unwrap_or_else(|| "default".into()))),
            fixed("ProcSubset", "s", |unit| text(if exec_of(unit).seal.proc_only_processes { "pid" } else { "all" })),
            fixed("CapabilityBoundingSet", "t", |unit| {
                Variant::U64(exec_of(unit).seal.bounding.map_or((1 << CAPABILITIES.len()) - 1, |names| bits(&names)))
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
};

/// sched(7).
const POLICIES: [(Policy, i32); 5] =
    [(Policy::Other, 0), (Policy::Fifo, 1), (Policy::Rr, 2), (Policy::Batch, 3), (Policy::Idle, 5)];

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

fn folders(unit: &UnitView, kind: FolderKind) -> Vec<String> {
    exec_of(unit).folders.into_iter().filter(|folder| folder.kind == kind).map(|folder| folder.name).collect()
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

fn rlimit(unit: &UnitView, kind: &str) -> (u64, u64) {
    let own = |exec: &Exec| exec.rlimits.iter().find(|(known, ..)| known == kind).map(|(_, soft, hard)| (*soft, *hard));
    own(&exec_of(unit)).unwrap_or((NONE, NONE))
}
