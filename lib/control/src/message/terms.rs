//! What calls and replies are about: kinds of jobs and of changes, files, descriptors.

use serde::{Deserialize, Serialize};

/// A change of unit files (systemctl(1), "Unit File Commands").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileChange {
    /// Make the links that a unit's file asks for.
    Enable,
    /// Take all links to it away.
    Disable,
    /// Both, one after the other.
    Reenable,
    /// As the presets say.
    Preset,
    /// Make it impossible to start.
    Mask,
    /// Take that back.
    Unmask,
    /// Take a file elsewhere in.
    Link,
    /// Back to what the image says.
    Revert,
    /// Have another unit pull it in.
    AddDependency {
        /// That unit.
        target: String,
        /// It requires it rather than wanting it.
        requires: bool,
    },
    /// What booting means.
    SetDefault,
}

/// A root, and the version that it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Root {
    /// Version.
    pub version: String,
    /// `a` or `b`.
    pub slot: String,
    /// In hexadecimal digits.
    pub root_hash: String,
}

/// A link that was made or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkChange {
    /// `symlink` or `unlink`.
    pub kind: String,
    /// Where.
    pub path: String,
    /// Where it leads.
    pub target: String,
}

/// A file descriptor that a service left with PID 1 (sd_pid_notify_with_fds(3)), as stat(2) and fcntl(2) know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredDescriptor {
    /// What the service calls it.
    pub name: String,
    /// Kind and permissions.
    pub mode: u32,
    /// Major and minor number of the file system that it is on.
    pub device: (u32, u32),
    /// Number of the file there.
    pub inode: u64,
    /// Of a device: its own major and minor number.
    pub special: (u32, u32),
    /// Where it is, as far as that can be said.
    pub path: String,
    /// How it is open.
    pub flags: u32,
}

/// A unit file, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitFile {
    /// Full name.
    pub name: String,
    /// Where it is; of a unit of the image where that would be.
    pub path: String,
    /// `enabled`, `disabled`, `static`, `masked` and so on.
    pub state: String,
    /// Its files have changed since it was loaded.
    #[serde(default)]
    pub changed: bool,
    /// Links that enable it.
    #[serde(default)]
    pub links: Vec<String>,
}

/// Which of a unit's processes a signal is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whom {
    /// Each one.
    #[default]
    All,
    /// The main one.
    Main,
    /// The one that starts, reloads or stops it.
    Control,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Make it active.
    Start,
    /// Make it inactive.
    Stop,
    /// Stop, then start.
    Restart,
    /// Restart only if it is active.
    TryRestart,
    /// Have it read its configuration again.
    Reload,
    /// Reload it if it can, else restart it.
    ReloadOrRestart,
    /// The same, if it is active.
    TryReloadOrRestart,
}

/// What happens to jobs in the way (systemctl(1), --job-mode=).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobMode {
    /// They are cancelled.
    #[default]
    Replace,
    /// The new one fails.
    Fail,
    /// Everything else is stopped.
    Isolate,
    /// The new one's dependencies do not matter.
    IgnoreDependencies,
    /// What it requires is not started with it; the order is kept.
    IgnoreRequirements,
    /// As `replace`, and nothing takes it back.
    ReplaceIrreversibly,
    /// Every other job is cancelled.
    Flush,
    /// Units that depend on the one that starts are restarted.
    RestartDependencies,
}

/// How the machine goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shutdown {
    /// Switch it off.
    Poweroff,
    /// Start it again.
    Reboot,
    /// Stop and stay.
    Halt,
    /// Start the kernel that was loaded with kexec.
    Kexec,
    /// Start everything but the kernel again.
    SoftReboot,
}

/// A folder or file of the machine's in a service's view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindMount {
    /// On the host, with what is mounted below it.
    pub source: String,
    /// As the service sees it.
    pub target: String,
    /// It may only be read there.
    #[serde(default)]
    pub read_only: bool,
    /// Make the place if it is not there.
    #[serde(default)]
    pub make: bool,
}
