//! What a container shares with its host, what it may do, and how much of it.

use serde::{Deserialize, Serialize};

use crate::quantity::Size;

/// What a container shares with its host and may do. The default is: nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Seal {
    /// Its user namespace.
    pub user_namespace: UserNamespace,
    /// Why it must be the host's root, for a unit that is.
    pub host_root: Option<String>,
    /// Namespaces it shares with the host.
    pub host_namespaces: Vec<Namespace>,
    /// Capabilities, such as `CAP_NET_ADMIN`; ambient when the user is not root.
    pub capabilities: Vec<String>,
    /// Device nodes and access: `/dev/kmsg rw`, `char-pts rwm`.
    pub devices: Vec<String>,
    /// What else it sees of the host.
    pub mounts: Vec<Mount>,
    /// Folders below /var/lib that it owns.
    pub state_directory: Vec<String>,
    /// They go back when the version of the machine does: a copy is kept before a newer version's services come to them.
    pub state_versioned: bool,
    /// Folders below /run that it owns and others may see; `runtime_directory_preserve` keeps them.
    pub runtime_directory: Vec<String>,
    /// Keep the runtime folders when the unit stops.
    pub runtime_directory_preserve: bool,
    /// A tmpfs overlay makes its root writable until it stops.
    pub writable_root: bool,
    /// System call filter.
    pub seccomp: Seccomp,
    /// It and its children can never gain privileges by executing something.
    pub no_new_privileges: bool,
    /// Paths of /proc and /sys are masked or read-only.
    pub mask_paths: bool,
    /// PID 1 leaves the control group below the unit's own to it.
    pub delegate: bool,
    /// Sub-group of a delegated unit in which its own processes run.
    pub delegate_subgroup: Option<String>,
    /// It may start logins of users for others, as sshd does.
    pub login: bool,
    /// It may call PID 1 for anything, and answers itself for whom it does.
    pub manages: bool,
    /// Well-known bus names that it may own.
    pub bus_names: Vec<String>,
}

impl Default for Seal {
    fn default() -> Self {
        Self {
            user_namespace: UserNamespace::Private,
            host_root: None,
            host_namespaces: Vec::new(),
            capabilities: Vec::new(),
            devices: Vec::new(),
            mounts: Vec::new(),
            state_directory: Vec::new(),
            state_versioned: false,
            runtime_directory: Vec::new(),
            runtime_directory_preserve: false,
            writable_root: false,
            seccomp: Seccomp::Default,
            no_new_privileges: true,
            mask_paths: true,
            delegate: false,
            delegate_subgroup: None,
            login: false,
            manages: false,
            bus_names: Vec::new(),
        }
    }
}

/// A container's user namespace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserNamespace {
    /// Its own, with a range of ids that nobody else has.
    #[default]
    Private,
    /// Its own, with the host's ids: for one that must see who talks to it. Never root.
    Identity,
    /// The host's: for one whose capabilities act on the host.
    Host,
}

/// A namespace that can be shared with the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// Processes.
    Pid,
    /// Network.
    Net,
    /// System V and POSIX IPC.
    Ipc,
    /// Host name.
    Uts,
    /// The view of the control groups.
    Cgroup,
    /// Mounts: no container root at all.
    Mount,
}

/// A system call filter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seccomp {
    /// The runtime's default profile.
    #[default]
    Default,
    /// No filter.
    None,
}

/// A mount into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mount {
    /// Path on the host, or the file system's source.
    pub source: String,
    /// Path in the container; the source's if absent.
    pub target: Option<String>,
    /// `bind` unless said otherwise.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// mount(8) options; `ro` unless `rw` is among them.
    #[serde(default)]
    pub options: Vec<String>,
}

/// Limits on the unit's control group and processes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// memory.max.
    pub memory_max: Option<Size>,
    /// memory.high.
    pub memory_high: Option<Size>,
    /// memory.low.
    pub memory_low: Option<Size>,
    /// pids.max.
    pub tasks_max: Option<u64>,
    /// cpu.weight, 1 to 10000.
    pub cpu_weight: Option<u64>,
    /// Share of one processor in percent.
    pub cpu_quota_percent: Option<u64>,
    /// io.weight, 1 to 10000.
    pub io_weight: Option<u64>,
    /// RLIMIT_NOFILE.
    pub open_files: Option<u64>,
    /// oom_score_adj, -1000 to 1000.
    pub oom_score_adjust: Option<i32>,
}
