//! A unit as it ships in the image and as PID 1 loads it: one per systemd unit name, nothing left to infer.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::exec::{Command, Exec};
use super::file::{Dependencies, Health, Output, ServiceType, Socket, Timer};
use super::folder::FolderKind;
use super::signal::Signal;
use super::supervision::{KillMode, OomPolicy, Supervision};
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
    /// What must hold for a start; one that does not start for this has not failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What must hold for a start, or it fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asserts: Vec<Condition>,
    /// What may be asked of it by hand.
    #[serde(default, skip_serializing_if = "is_default")]
    pub refuse: Refuse,
    /// The files that it was read from, if it is none of the image's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub source: Source,
    /// It was made while the machine ran, and lasts until it ends.
    #[serde(default)]
    pub transient: bool,
    /// It goes even if it failed (systemd.unit(5), CollectMode=).
    #[serde(default)]
    pub collect_failed: bool,
    /// It stops when nobody needs it any more.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop_when_unneeded: bool,
    /// Isolating another one leaves it as it is; `None` is its kind's own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignore_on_isolate: Option<bool>,
    /// What becomes of jobs in the way of those that follow it when it fails, and when it ends well (systemd.unit(5),
    /// OnFailureJobMode=); empty: they are replaced.
    #[serde(default, skip_serializing_if = "is_default")]
    pub follow_modes: [String; 2],
    /// What becomes of the machine when it ends well, fails, or was started too often (systemd.unit(5), SuccessAction=);
    /// empty: nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub success_action: String,
    /// See `success_action`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub failure_action: String,
    /// See `success_action`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub start_limit_action: String,
    /// Longest time that a job of it may take, waiting included (systemd.unit(5), JobTimeoutSec=).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_timeout: Option<Span>,
    /// What becomes of the machine then; empty: nothing.
    #[serde(default, skip_serializing_if = "is_default")]
    pub job_timeout_action: String,
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
        /// PID 1 takes the connections: `service` is a template, and has an instance for each.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        accept: Option<Accept>,
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
    /// Paths that start a unit.
    Path(Watched),
    /// A file system.
    Mount(Box<Mountable>),
    /// Processes that somebody else started.
    Scope(Box<Scope>),
    /// A control group for those of other units.
    Slice(Slice),
}

/// How many connections are served at a time (systemd.socket(5), Accept=).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Accept {
    /// Of all.
    pub most: u32,
    /// Of one address or user; 0: any number.
    pub most_per_source: u32,
}

impl Default for Accept {
    fn default() -> Self {
        Self { most: 64, most_per_source: 0 }
    }
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
    /// Who does not go is killed.
    pub send_sigkill: bool,
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
            send_sigkill: true,
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

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Something that must hold for a unit to start (systemd.unit(5), "Conditions and asserts").
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Condition {
    /// systemd's name without its first word: `PathExists`.
    pub kind: String,
    /// One of those with this mark is enough.
    #[serde(default, skip_serializing_if = "is_default")]
    pub trigger: bool,
    /// It must not hold.
    #[serde(default, skip_serializing_if = "is_default")]
    pub negate: bool,
    /// What is looked at.
    pub parameter: String,
}

impl Condition {
    /// That a path is there.
    pub fn path_exists(path: &str) -> Self {
        Self { kind: "PathExists".into(), parameter: path.into(), ..Self::default() }
    }
}

/// What may not be asked of a unit by hand, and what may.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Refuse {
    /// Only others start it.
    pub start: bool,
    /// Only others stop it.
    pub stop: bool,
    /// It may be isolated though it says nothing of it: `Some(false)` forbids, `None` is its kind's own.
    pub isolate: Option<bool>,
}

/// Whether a unit could be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// It could.
    #[default]
    Loaded,
    /// Its file is empty or a link to /dev/null: it may not be started.
    Masked,
    /// Its file makes no sense.
    BadSetting,
    /// Its file cannot be read.
    Error,
    /// It has no file any more.
    NotFound,
}

impl Load {
    /// systemd's LoadState.
    pub fn name(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Masked => "masked",
            Self::BadSetting => "bad-setting",
            Self::Error => "error",
            Self::NotFound => "not-found",
        }
    }
}

/// The files that a unit was read from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Source {
    /// Its own; empty for one of the image's.
    pub fragment: String,
    /// What the fragment was made from (`SourcePath=`).
    pub made_from: String,
    /// Files that change it, in order.
    pub drop_ins: Vec<String>,
    /// How that went.
    pub load: Load,
    /// Why, if it did not go well.
    pub error: String,
    /// What was not understood, and changes nothing: a sentence each.
    pub problems: Vec<String>,
}

/// Paths that start a unit (systemd.path(5)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Watched {
    /// What is started.
    pub unit: String,
    /// `PathExists`, `PathExistsGlob`, `PathChanged`, `PathModified` or `DirectoryNotEmpty`, and the path.
    pub paths: Vec<(String, String)>,
    /// Make folders that are not there, with this mode.
    pub make_directory: Option<u32>,
}

/// A file system that is mounted (systemd.mount(5)).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Mountable {
    /// Device, folder or server.
    pub what: String,
    /// Where; the unit's name says the same.
    pub place: String,
    /// Type; found out if empty.
    pub kind: String,
    /// As for mount(8).
    pub options: String,
    /// Longest time of a mount or its end.
    pub timeout: Option<Span>,
    /// Mode of folders that are made for it.
    pub directory_mode: Option<u32>,
    /// Take it away even though somebody uses it.
    pub lazy: bool,
    /// The commands that mount it and take it away: a service that is there while it is mounted.
    pub service: Service,
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
    /// What is in the bundle: a digest. A unit that is the same in two versions of an image, this included, runs alike.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// Variables besides the bundle's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<(String, String)>,
    /// What is executed, in the same settings each.
    #[serde(default)]
    pub commands: Commands,
    /// Where a forking service writes the number of its main process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid_file: Option<String>,
    /// The name on the system bus that it has once it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus_name: Option<String>,
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
    /// They go back when the version of the machine does.
    #[serde(default)]
    pub state_versioned: bool,
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
    /// It has no bundle: its commands run on the host, as this says.
    #[serde(default)]
    pub host: Option<Box<Exec>>,
    /// Limits beside those of the bundle: `linux.resources` of the OCI runtime specification.
    #[serde(default)]
    pub resources: Value,
}

/// What a service executes, by the point of its life (systemd.service(5)).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Commands {
    /// Whether it is started at all.
    pub condition: Vec<Command>,
    /// Before the main one.
    pub start_pre: Vec<Command>,
    /// The main one; several of a oneshot. Empty: the bundle's own.
    pub start: Vec<Command>,
    /// Once it counts as started, but for them.
    pub start_post: Vec<Command>,
    /// What asks for a reload.
    pub reload: Vec<Command>,
    /// What asks for an end.
    pub stop: Vec<Command>,
    /// When all of it is gone.
    pub stop_post: Vec<Command>,
}

impl Service {
    /// Names of its folders of a kind.
    pub fn folders(&self, kind: FolderKind) -> impl Iterator<Item = &str> {
        let own: &[String] = match kind {
            FolderKind::State => &self.state_directory,
            FolderKind::Runtime => &self.runtime_directory,
            _ => &[],
        };
        let of_host = self.host.iter().flat_map(|exec| &exec.folders).filter(move |folder| folder.kind == kind);
        own.iter().map(String::as_str).chain(of_host.map(|folder| folder.name.as_str()))
    }
}

impl Unit {
    /// Suffix of the name: `service`, `socket`, `timer`, `target` and so on.
    pub fn kind(&self) -> &str {
        self.name.rsplit_once('.').map_or("", |(_, kind)| kind)
    }
}
