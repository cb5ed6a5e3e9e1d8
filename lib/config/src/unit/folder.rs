//! Folders of services, below those of the machine (systemd.exec(5), RuntimeDirectory= and its kin).

use serde::{Deserialize, Serialize};

/// A folder that a service owns, below one of the machine's (`RuntimeDirectory=` and so on).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FolderKind {
    /// /run
    Runtime,
    /// /var/lib
    State,
    /// /var/cache
    Cache,
    /// /var/log
    Logs,
    /// /etc
    Configuration,
}

impl FolderKind {
    /// Its word (systemctl(1), clean --what=).
    pub fn name(self) -> &'static str {
        match self {
            Self::Runtime => "runtime",
            Self::State => "state",
            Self::Cache => "cache",
            Self::Logs => "logs",
            Self::Configuration => "configuration",
        }
    }
}

/// Kinds of folders: where they are, and the variable that names them.
pub const FOLDERS: [(FolderKind, &str, &str); 5] = [
    (FolderKind::Runtime, "/run", "RUNTIME_DIRECTORY"),
    (FolderKind::State, "/var/lib", "STATE_DIRECTORY"),
    (FolderKind::Cache, "/var/cache", "CACHE_DIRECTORY"),
    (FolderKind::Logs, "/var/log", "LOGS_DIRECTORY"),
    (FolderKind::Configuration, "/etc", "CONFIGURATION_DIRECTORY"),
];

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    /// Which kind.
    pub kind: FolderKind,
    /// Its name below the kind's place.
    pub name: String,
    /// Its mode.
    pub mode: u32,
}
