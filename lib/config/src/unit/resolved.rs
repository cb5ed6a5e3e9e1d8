//! A unit as it ships in the image and as PID 1 loads it: one per systemd unit name, nothing left to infer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file::{Dependencies, Health, KillMode, OomPolicy, Output, ServiceType, Signal, Socket, Supervision, Timer};
use crate::quantity::Span;

/// One unit, with its full name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    /// It was made while the machine ran, and lasts until it ends.
    #[serde(default)]
    pub transient: bool,
    /// It goes even if it failed (systemd.unit(5), CollectMode=).
    #[serde(default)]
    pub collect_failed: bool,
    /// What the unit is.
    pub body: Body,
}

/// What a unit is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
    #[default]
    Target,
    /// Processes that somebody else started.
    Scope(Box<Scope>),
    /// A control group for those of other units.
    Slice(Slice),
}

/// A scope (systemd.scope(5)).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Scope {
    /// Its limits: `linux.resources` of the OCI runtime specification.
    pub resources: Value,
    /// PID 1 leaves the control group below its own to it.
    pub delegate: bool,
    /// The signal that asks for an end.
    pub kill_signal: Signal,
    /// SIGHUP is sent behind it.
    pub send_sighup: bool,
    /// Whom it is sent to.
    pub kill_mode: KillMode,
    /// Longest time between the stop signal and SIGKILL.
    pub timeout_stop: Span,
    /// Longest life; infinite if absent.
    pub runtime_max: Option<Span>,
    /// What happens when the kernel kills one of its processes for lack of memory.
    pub oom_policy: OomPolicy,
}

impl Default for Scope {
    fn default() -> Self {
        Self {
            resources: Value::Null,
            delegate: false,
            kill_signal: Signal::default(),
            send_sighup: false,
            kill_mode: KillMode::default(),
            timeout_stop: Span::seconds(90),
            runtime_max: None,
            oom_policy: OomPolicy::default(),
        }
    }
}

/// A slice (systemd.slice(5)).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Slice {
    /// Its limits: `linux.resources` of the OCI runtime specification.
    pub resources: Value,
}

/// A command on the host rather than in a container: of PID 1's own helpers, and of transient services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct HostCommand {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its environment.
    pub environment: Vec<(String, String)>,
    /// User by name or number; root if absent.
    pub user: Option<String>,
    /// Group, likewise; the user's own if absent.
    pub group: Option<String>,
    /// Where it begins.
    pub working_directory: Option<String>,
}

/// A service: its container is the bundle beside it, made by the builder; or it is a command on the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Service {
    /// When it counts as started.
    #[serde(rename = "type", default)]
    pub service_type: ServiceType,
    /// OCI bundle directory: `config.json` (process.args is the command) and `rootfs`.
    #[serde(default)]
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
    /// It may call PID 1 for anything, and answers itself for whom it does.
    #[serde(default)]
    pub manages: bool,
    /// It has no container.
    #[serde(default)]
    pub host: Option<HostCommand>,
    /// Limits beside those of the bundle: `linux.resources` of the OCI runtime specification.
    #[serde(default)]
    pub resources: Value,
}

impl Unit {
    /// Suffix of the name: `service`, `socket`, `timer`, `target`, `scope`, `slice`.
    pub fn kind(&self) -> &str {
        self.name.rsplit_once('.').map_or("", |(_, kind)| kind)
    }
}
