//! A unit as it ships in the image and as PID 1 loads it: one per systemd unit name, nothing left to infer.

use serde::{Deserialize, Serialize};

use super::file::{Dependencies, Health, Output, ServiceType, Socket, Supervision, Timer};

/// One unit, with its full name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Unit {
    /// Full name with suffix: `ssh.service`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Where to read more.
    #[serde(default)]
    pub documentation: Vec<String>,
    /// Other full names.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// What it needs, with the default dependencies added.
    #[serde(default)]
    pub dependencies: Dependencies,
    /// Units that want this one.
    #[serde(default)]
    pub wanted_by: Vec<String>,
    /// Control group slice: `system.slice`.
    #[serde(default)]
    pub slice: String,
    /// Whether a new version of the machine is only good once this unit is.
    #[serde(default)]
    pub gate: bool,
    /// Start only if this path exists on the host.
    #[serde(default)]
    pub condition_path_exists: Option<String>,
    /// What the unit is.
    pub body: Body,
}

/// What a unit is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// A process in a container.
    Service(Box<Service>),
    /// Sockets that start a service.
    Socket {
        /// The service that gets them.
        service: String,
        /// In the order of LISTEN_FDS.
        sockets: Vec<Socket>,
    },
    /// A clock that starts a service.
    Timer {
        /// The service that it starts.
        service: String,
        /// When.
        timer: Timer,
    },
    /// A name for a point in the boot.
    Target,
}

/// A service: its container is the bundle beside it, made by the builder or by PID 1 for transient ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Service {
    /// When it counts as started.
    #[serde(rename = "type", default)]
    pub service_type: ServiceType,
    /// OCI bundle directory: `config.json` (process.args is the command) and `rootfs`.
    pub bundle: String,
    /// Commands before the main one, each in the same container settings.
    #[serde(default)]
    pub start_pre: Vec<Vec<String>>,
    /// Command that asks for a reload.
    #[serde(default)]
    pub reload: Option<Vec<String>>,
    /// Terminal to take.
    #[serde(default)]
    pub tty: Option<String>,
    /// Where output goes.
    #[serde(default)]
    pub output: Output,
    /// How it is watched and started again.
    #[serde(default)]
    pub supervision: Supervision,
    /// A command that says whether it does its work.
    #[serde(default)]
    pub health: Option<Health>,
    /// First host id of its private user namespace; 65536 ids follow. `None`: ids are the host's.
    #[serde(default)]
    pub first_id: Option<u32>,
    /// Ids that own its folders, as the container sees them.
    #[serde(default)]
    pub uid: u32,
    /// See `uid`.
    #[serde(default)]
    pub gid: u32,
    /// Folders below /var/lib, made with owner `uid`:`gid` before the start.
    #[serde(default)]
    pub state_directory: Vec<String>,
    /// Folders below /run, made with owner (shifted into its range) before the start.
    #[serde(default)]
    pub runtime_directory: Vec<String>,
    /// Keep them when the unit stops.
    #[serde(default)]
    pub runtime_directory_preserve: bool,
    /// PID 1 leaves the control group below the unit's own to it.
    #[serde(default)]
    pub delegate: bool,
    /// Sub-group of a delegated unit in which its own processes run.
    #[serde(default)]
    pub delegate_subgroup: Option<String>,
    /// It may start logins of users.
    #[serde(default)]
    pub login: bool,
}

impl Unit {
    /// Suffix of the name: `service`, `socket`, `timer`, `target`.
    pub fn kind(&self) -> &str {
        self.name.rsplit_once('.').map_or("", |(_, kind)| kind)
    }
}
