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

/// How a process is given the processor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Scheduler {
    /// `SCHED_OTHER`, the only one that is supported.
    pub policy: String,
    /// nice(2).
    pub nice: Option<i32>,
}
