//! How a command runs on the host (systemd.exec(5)): of PID 1's own helpers, transient services and unit files.

use serde::{Deserialize, Serialize};

use super::folder::Folder;

/// One command line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Command {
    /// The program.
    pub path: String,
    /// Its own name first.
    pub arguments: Vec<String>,
    /// `-`: a failure is none.
    #[serde(skip_serializing_if = "is_false")]
    pub ignore_failure: bool,
    /// `+`: as root and without a seal.
    #[serde(skip_serializing_if = "is_false")]
    pub privileged: bool,
    /// `!`: as root, with all else.
    #[serde(skip_serializing_if = "is_false")]
    pub keep_user: bool,
    /// `:`: variables are not expanded.
    #[serde(skip_serializing_if = "is_false")]
    pub verbatim: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Command {
    /// A program and its arguments.
    pub fn of(words: &[String]) -> Self {
        Self { path: words.first().cloned().unwrap_or_default(), arguments: words.to_vec(), ..Self::default() }
    }

    /// What is executed: the program, then what follows its own name.
    pub fn words(&self) -> Vec<String> {
        [self.path.clone()].into_iter().chain(self.arguments.iter().skip(1).cloned()).collect()
    }
}

/// A standard stream (systemd.exec(5), StandardInput=, StandardOutput=).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Input from nowhere; output to the journal.
    #[default]
    Default,
    /// /dev/null.
    Null,
    /// The journal.
    Journal,
    /// The terminal of `Service::tty`.
    Tty,
    /// As the one before it.
    Inherit,
    /// A file, read or written from its start.
    File(String),
    /// A file that is added to.
    Append(String),
    /// A file that is emptied first.
    Truncate(String),
    /// This text.
    Data(String),
    /// The connection, or the only socket, that it was started for.
    Socket,
    /// The journal, and the console as well.
    JournalAndConsole,
}

/// How commands run on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Exec {
    /// User by name or number; root if absent.
    pub user: Option<String>,
    /// Group, likewise; the user's own if absent.
    pub group: Option<String>,
    /// Further groups, besides those that the user is in.
    pub groups: Vec<String>,
    /// A user that is there only as long as the service.
    pub dynamic_user: bool,
    /// Variables.
    pub environment: Vec<(String, String)>,
    /// Files of variables; those with `true` need not be there.
    pub environment_files: Vec<(String, bool)>,
    /// Variables that go.
    pub unset_environment: Vec<String>,
    /// Where it begins; `~` is the user's home.
    pub working_directory: Option<String>,
    /// It may begin in `/` if that is not there.
    pub working_directory_optional: bool,
    /// Permissions that new files do not get.
    pub umask: Option<u32>,
    /// nice(2).
    pub nice: Option<i32>,
    /// How it is given the processor, if not as others are.
    pub scheduling: Scheduling,
    /// How it is given disks: class and priority.
    pub io_priority: Option<(IoClass, u32)>,
    /// The only processors that it runs on; all if empty.
    pub processors: Vec<u32>,
    /// Its likelihood of being killed for lack of memory.
    pub oom_score_adjust: Option<i32>,
    /// Limits by OCI's names (`RLIMIT_NOFILE`): soft, hard.
    pub rlimits: Vec<(String, u64, u64)>,
    /// Standard input, output, error.
    pub streams: [Stream; 3],
    /// The name in the journal; the program's if empty.
    pub syslog_identifier: String,
    /// What kind of program it is, by syslog(3)'s number; 3: a daemon.
    pub syslog_facility: Option<u8>,
    /// How much its lines matter that do not say so; 6: they inform.
    pub syslog_level: Option<u8>,
    /// What its user leaves in memory goes with the last service of that user.
    pub remove_ipc: bool,
    /// The sockets that it gets do not wait.
    pub non_blocking: bool,
    /// What it is given to prove who it is with.
    pub credentials: Vec<Credential>,
    /// Folders that it owns.
    pub folders: Vec<Folder>,
    /// What becomes of its runtime folders when it stops.
    pub keep_runtime_folders: Keep,
    /// What it sees and may do.
    pub seal: HostSeal,
}

/// Something secret, as a file that only the service may read (systemd.exec(5), "Credentials").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// What the file is called; of imported ones what they are called where they come from, which may end in `*`.
    pub name: String,
    /// Where it comes from.
    pub source: CredentialSource,
}

/// See [`Credential`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CredentialSource {
    /// A file, which has to be there, or a folder of files.
    Path(String),
    /// The file of this name in the folders that are there for them, if there is one.
    Store(String),
    /// All of these folders that fit, under names that begin with this if it is not empty.
    Import(String),
    /// This text.
    Value(String),
}

/// How a process is given the processor (sched(7)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Scheduling {
    /// By which rules.
    pub policy: Option<Policy>,
    /// Among those of real time.
    pub priority: u32,
    /// What it forks is as others are.
    pub reset_on_fork: bool,
}

/// CPUSchedulingPolicy=.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// In turn, by nice(2).
    Other,
    /// The same for what nobody waits for.
    Batch,
    /// When nobody else wants to.
    Idle,
    /// In real time, until it waits.
    Fifo,
    /// In real time, in turn.
    Rr,
}

impl Policy {
    /// Whether it has a priority.
    pub fn is_of_real_time(self) -> bool {
        matches!(self, Self::Fifo | Self::Rr)
    }
}

/// IOSchedulingClass=.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IoClass {
    /// Before all others.
    Realtime,
    /// In turn.
    BestEffort,
    /// When nobody else wants to.
    Idle,
}

/// How long something is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Until it stops.
    #[default]
    No,
    /// Over restarts.
    Restart,
    /// For good.
    Yes,
}

/// How much of something a service sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protect {
    /// All, as it is.
    #[default]
    No,
    /// It is empty, or may not be written to: what "yes" means of this.
    Yes,
    /// More of the same: ProtectSystem=full.
    Full,
    /// All but what is named: ProtectSystem=strict.
    Strict,
    /// It may not be written to.
    ReadOnly,
    /// It is an empty one of its own.
    Tmpfs,
}

/// Whom a service knows by their numbers (PrivateUsers=); everybody else is nobody, and it has no rights over them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrivateUsers {
    /// Everybody.
    #[default]
    No,
    /// Root and itself.
    #[serde(rename = "self")]
    Own,
    /// The first 65536.
    Identity,
    /// Everybody, but its rights are over what is its own.
    Full,
}

/// What a service on the host sees and may do. Nothing of it is said: all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct HostSeal {
    /// The only capabilities that it can have.
    pub bounding: Option<Vec<String>>,
    /// Capabilities that it has without being root.
    pub ambient: Vec<String>,
    /// It can never gain privileges by executing something.
    pub no_new_privileges: bool,
    /// ProtectSystem=.
    pub system: Protect,
    /// ProtectHome=.
    pub home: Protect,
    /// PrivateTmp=.
    pub private_tmp: bool,
    /// PrivateDevices=.
    pub private_devices: bool,
    /// PrivateNetwork=.
    pub private_network: bool,
    /// PrivateIPC=.
    pub private_ipc: bool,
    /// PrivateMounts=.
    pub private_mounts: bool,
    /// PrivateUsers=.
    pub private_users: PrivateUsers,
    /// ProtectHostname=.
    pub hostname: bool,
    /// ProtectKernelTunables=.
    pub kernel_tunables: bool,
    /// ProtectKernelModules=.
    pub kernel_modules: bool,
    /// ProtectKernelLogs=.
    pub kernel_logs: bool,
    /// ProtectControlGroups=.
    pub control_groups: bool,
    /// ProtectClock=.
    pub clock: bool,
    /// ProtectProc=, as an option of proc: `invisible`, `noaccess`, `ptraceable`.
    pub proc_access: Option<String>,
    /// ProcSubset=pid.
    pub proc_only_processes: bool,
    /// Paths by what is done to them.
    pub paths: Vec<SealedPath>,
    /// RestrictNamespaces=: kinds that it may not make or enter, by their bits in clone(2).
    pub no_namespaces: u64,
    /// RestrictRealtime=.
    pub no_realtime: bool,
    /// RestrictSUIDSGID=.
    pub no_suid: bool,
    /// LockPersonality=.
    pub lock_personality: bool,
    /// MemoryDenyWriteExecute=.
    pub no_write_execute: bool,
    /// RestrictAddressFamilies=.
    pub families: Option<Families>,
    /// SystemCallFilter=.
    pub calls: Option<Calls>,
    /// AppArmorProfile=; with `true` it need not be there.
    pub apparmor_profile: Option<(String, bool)>,
}

/// What is done to a path (systemd.exec(5), ReadWritePaths= and so on).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    /// It may be written to, whatever is around it.
    Writable,
    /// It may not.
    ReadOnly,
    /// It is not to be seen.
    Inaccessible,
    /// Nothing in it may be executed.
    NoExec,
    /// What is in it may be executed.
    Exec,
    /// The path `source` is bound to it.
    Bind,
    /// The same, read-only.
    BindReadOnly,
    /// It is an empty one in memory; `source` has options of mount(8).
    Tmpfs,
}

/// A path and what is done to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SealedPath {
    /// What.
    pub treatment: Treatment,
    /// Where.
    pub path: String,
    /// See [`Treatment::Bind`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// It need not be there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
}

/// Families of sockets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Families {
    /// Those may be made, and no others; else the other way round.
    pub allow: bool,
    /// By number.
    pub numbers: Vec<u64>,
}

/// System calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Calls {
    /// Those may be made, and no others; else the other way round.
    pub allow: bool,
    /// By name.
    pub names: Vec<String>,
    /// What the others get; the end of the process if absent.
    pub errno: Option<u32>,
}

impl HostSeal {
    /// Whether it needs a view of the files of its own.
    pub fn has_own_mounts(&self) -> bool {
        let protected = [self.system, self.home].iter().any(|protect| *protect != Protect::No);
        let switches = [
            self.private_tmp,
            self.private_devices,
            self.private_mounts,
            self.kernel_tunables,
            self.kernel_modules,
            self.kernel_logs,
            self.control_groups,
            self.proc_only_processes,
            self.proc_access.is_some(),
            // They follow the network namespace.
            self.private_network,
        ];
        protected || switches.contains(&true) || !self.paths.is_empty()
    }
}

/// All capabilities of Linux 6.12, by number.
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

/// Families of sockets by name (linux/socket.h).
pub const FAMILIES: [(&str, u64); 23] = [
    ("AF_UNIX", 1),
    ("AF_LOCAL", 1),
    ("AF_INET", 2),
    ("AF_AX25", 3),
    ("AF_IPX", 4),
    ("AF_APPLETALK", 5),
    ("AF_X25", 9),
    ("AF_INET6", 10),
    ("AF_DECnet", 12),
    ("AF_KEY", 15),
    ("AF_NETLINK", 16),
    ("AF_PACKET", 17),
    ("AF_RDS", 21),
    ("AF_PPPOX", 24),
    ("AF_CAN", 29),
    ("AF_TIPC", 30),
    ("AF_BLUETOOTH", 31),
    ("AF_ALG", 38),
    ("AF_VSOCK", 40),
    ("AF_KCM", 41),
    ("AF_QIPCRTR", 42),
    ("AF_SMC", 43),
    ("AF_XDP", 44),
];
