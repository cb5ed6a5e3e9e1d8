//! `process`: the program, who it is and what it may do.

use serde::Deserialize;

/// A process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Process {
    /// It has a terminal.
    pub terminal: bool,
    /// Who it is.
    pub user: User,
    /// Program and arguments.
    pub args: Vec<String>,
    /// `KEY=value`.
    pub env: Vec<String>,
    /// Absolute.
    pub cwd: String,
    /// `None`: those of whoever starts it.
    pub capabilities: Option<Capabilities>,
    /// See getrlimit(2).
    pub rlimits: Vec<Rlimit>,
    /// It and its children can never gain privileges by executing something.
    pub no_new_privileges: bool,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// How it is given the processor.
    pub scheduler: Option<Scheduler>,
    /// How it is given disks.
    pub io_priority: Option<IoPriority>,
    /// On which processors a process that joins a container runs.
    #[serde(rename = "execCPUAffinity")]
    pub exec_cpu_affinity: Option<ExecCpuAffinity>,
    /// Size of its terminal.
    pub console_size: Option<ConsoleSize>,
    /// AppArmor profile.
    pub apparmor_profile: Option<String>,
    /// SELinux label.
    pub selinux_label: Option<String>,
}

/// A user, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions that new files do not get.
    pub umask: Option<u32>,
    /// Further groups.
    pub additional_gids: Vec<u32>,
}

/// Capabilities by name, such as `CAP_NET_ADMIN`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// What can ever be had.
    pub bounding: Vec<String>,
    /// What is used.
    pub effective: Vec<String>,
    /// What may be used.
    pub permitted: Vec<String>,
    /// What executed programs may keep.
    pub inheritable: Vec<String>,
    /// What executed programs get, also without being root.
    pub ambient: Vec<String>,
}

/// A limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Rlimit {
    /// Such as `RLIMIT_NOFILE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What holds.
    pub soft: u64,
    /// How far the process may raise it.
    pub hard: u64,
}

/// How a process is given the processor (sched_setattr(2)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    /// `SCHED_…`.
    pub policy: String,
    /// nice(2).
    pub nice: Option<i32>,
    /// Of the policies of real time.
    pub priority: Option<i32>,
    /// `SCHED_FLAG_…`.
    pub flags: Vec<String>,
    /// Nanoseconds.
    pub runtime: Option<u64>,
    /// Nanoseconds.
    pub deadline: Option<u64>,
    /// Nanoseconds.
    pub period: Option<u64>,
}

/// How a process is given disks (ioprio_set(2)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_…`.
    pub class: String,
    /// 0 to 7.
    pub priority: u32,
}

/// Processors, as lists such as `0-3,7`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ExecCpuAffinity {
    /// While it joins.
    pub initial: Option<String>,
    /// When its program runs.
    #[serde(rename = "final")]
    pub last: Option<String>,
}

/// Size of a terminal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}
