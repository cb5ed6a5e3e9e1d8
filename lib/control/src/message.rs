//! Calls, replies and errors. One enum value for each method: the name on the wire is
//! `io.ashlar.Control.` and the value's name.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use ashlar_config::unit;

use crate::status::{Job, Machine, Unit};

mod refusal;
mod terms;

pub use refusal::Refusal;
pub use terms::*;

/// A call, as PID 1 reads it: by serde `{"GetUnit":{"name":"ssh.service"}}`, of which [`Call`] makes what is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Method {
    /// The machine on one screen: replies [`Reply::Machine`].
    GetMachine {},
    /// Every loaded unit: replies [`Reply::Units`].
    ListUnits {},
    /// One unit, with its dependencies: replies [`Reply::Unit`].
    GetUnit {
        /// Full name, or a service's without suffix.
        name: String,
    },
    /// A unit as it is written: replies [`Reply::Settings`].
    GetSettings {
        /// Full name, or a service's without suffix.
        name: String,
    },
    /// What a service left with PID 1: replies [`Reply::Store`].
    GetStore {
        /// Full name, or a service's without suffix.
        name: String,
    },
    /// One unit, read from its file if it is not loaded: replies [`Reply::Unit`].
    LoadUnit {
        /// Full name, or a service's without suffix.
        name: String,
    },
    /// Every unit file: replies [`Reply::UnitFiles`].
    ListUnitFiles {},
    /// What is said of a unit's file: replies [`Reply::UnitFiles`] with one file, or none if there is none.
    GetUnitFile {
        /// Full name.
        name: String,
    },
    /// Enable, disable, mask and so on: replies [`Reply::Links`].
    ChangeUnitFiles {
        /// What.
        change: FileChange,
        /// Full names; of some changes paths.
        units: Vec<String>,
        /// Only until the next boot.
        #[serde(default)]
        runtime: bool,
        /// In the place of what is there.
        #[serde(default)]
        force: bool,
    },
    /// Read unit files again: replies [`Reply::Done`] when that is done.
    Reload {},
    /// A name on the system bus has an owner: replies [`Reply::Done`].
    BusNameTaken {
        /// The name.
        name: String,
    },
    /// The unit that a process belongs to: replies [`Reply::Unit`].
    GetUnitByProcess {
        /// Process number on the host.
        pid: u32,
    },
    /// A peer of the caller's as a user of the machine: replies [`Reply::User`].
    Identify {
        /// Its process number on the host.
        pid: u32,
        /// Its user, as the host sees it.
        uid: u32,
    },
    /// Jobs that wait or run: replies [`Reply::Jobs`].
    ListJobs {},
    /// Start, stop, restart or reload a unit: replies [`Reply::Job`], at once or when the job has ended.
    Enqueue {
        /// Full name, or a service's without suffix.
        unit: String,
        /// What to do.
        job: JobKind,
        /// What happens to jobs in the way.
        #[serde(default)]
        mode: JobMode,
        /// Reply only once the job has ended.
        #[serde(default)]
        wait: bool,
    },
    /// Take a job back: replies [`Reply::Done`].
    CancelJob {
        /// Its number.
        id: u32,
    },
    /// Send a signal to a unit's processes: replies [`Reply::Done`].
    Kill {
        /// Unit.
        unit: String,
        /// Signal number.
        signal: i32,
        /// Which of them.
        #[serde(default)]
        whom: Whom,
    },
    /// Make units that last until they end, and start the first one: replies [`Reply::Job`].
    ///
    /// A service's standard input, output and error may travel with the call as file descriptors.
    StartTransient {
        /// The unit, and those that it needs to be there.
        units: Vec<unit::Unit>,
        /// What happens to jobs in the way.
        #[serde(default)]
        mode: JobMode,
        /// Of a scope: its processes, on the host.
        #[serde(default)]
        processes: Vec<u32>,
    },
    /// Change the limits of a unit, at once if it runs: replies [`Reply::Done`].
    SetResources {
        /// Unit.
        unit: String,
        /// What changes: `linux.resources` of the OCI runtime specification.
        resources: Value,
        /// The same as a unit file says it, setting by setting: kept, for all of its runs.
        #[serde(default)]
        settings: Vec<(String, String)>,
        /// They are kept until the next boot only.
        #[serde(default)]
        runtime: bool,
    },
    /// Move processes into a unit's control group: replies [`Reply::Done`].
    Attach {
        /// Unit.
        unit: String,
        /// Group below the unit's own; that one itself if empty.
        #[serde(default)]
        subgroup: String,
        /// Processes, on the host.
        processes: Vec<u32>,
    },
    /// Stop all of a unit's processes in their tracks, or let them go on: replies [`Reply::Done`].
    Freeze {
        /// Unit.
        unit: String,
        /// Whether they stand still.
        frozen: bool,
    },
    /// Remove what a unit that is down has left: replies [`Reply::Done`] once it has begun.
    Clean {
        /// Unit.
        unit: String,
        /// `runtime`, `state`, `cache`, `logs`, `configuration`: its folders of that kind; `fdstore`: the descriptors that
        /// it left with PID 1; `all`.
        what: Vec<String>,
    },
    /// Show a running service something of the machine's: replies [`Reply::Done`] when it is there.
    Bind {
        /// Unit.
        unit: String,
        /// What, and where.
        mount: BindMount,
    },
    /// Leave a scope's processes alone from now on: replies [`Reply::Done`].
    Abandon {
        /// Scope.
        unit: String,
    },
    /// Keep a transient unit after its end until told otherwise, or until the caller hangs up: replies [`Reply::Done`].
    Hold {
        /// Unit.
        unit: String,
        /// Whether it is kept.
        held: bool,
    },
    /// Change the environment of commands on the host that are started from now on: replies [`Reply::Done`].
    SetEnvironment {
        /// Variables that go.
        #[serde(default)]
        unset: Vec<String>,
        /// Variables and their values.
        #[serde(default)]
        set: Vec<(String, String)>,
    },
    /// Forget that a unit (or every unit) failed: replies [`Reply::Done`].
    ResetFailed {
        /// Unit; all if empty.
        #[serde(default)]
        unit: String,
    },
    /// A process for a person: in the console container as the caller, or on the host as root.
    ///
    /// Three file descriptors (standard input, output, error) travel with the call. Replies [`Reply::Exit`]
    /// when the process has ended.
    Login {
        /// Host's root shell rather than the console; group `os` only, and recorded in the journal.
        #[serde(default)]
        host: bool,
        /// Command; the user's login shell if empty.
        #[serde(default)]
        command: Vec<String>,
        /// Environment to keep, such as TERM and LANG.
        #[serde(default)]
        environment: Vec<(String, String)>,
        /// Standard input is a terminal that the process shall control.
        #[serde(default)]
        tty: bool,
    },
    /// Go down: replies [`Reply::Done`] before it begins.
    Shutdown {
        /// How.
        how: Shutdown,
    },
    /// Have PID 1 say only what matters at least so much: replies [`Reply::Done`].
    SetLogLevel {
        /// `emerg`, `alert`, `crit`, `err`, `warning`, `notice`, `info` or `debug`.
        level: String,
    },
    /// Execute PID 1 anew, keeping everything: replies [`Reply::Done`] before it does.
    Reexecute {},
    /// Go over to another version of the image while everything runs, and judge it as after a boot: replies
    /// [`Reply::Live`] before it does.
    GoLive {
        /// Verity device of its root.
        device: String,
        /// What it is.
        root: Root,
    },
    /// One reply for each change of a unit or a job until the caller hangs up ([`Reply::Event`]).
    Watch {},
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reply {
    /// To `GetMachine`.
    Machine {
        /// The machine.
        machine: Box<Machine>,
    },
    /// To `GoLive`.
    Live {
        /// Units that are started anew, or for the first time, and that are stopped.
        units: Vec<String>,
        /// Units that are started anew when nobody is logged in any more.
        waiting: Vec<String>,
    },
    /// To `ListUnits`.
    Units {
        /// By name.
        units: Vec<Unit>,
    },
    /// To `GetUnit`.
    Unit {
        /// The unit.
        unit: Box<Unit>,
    },
    /// To `GetSettings`.
    Settings {
        /// As its author wrote it, with what PID 1 added.
        settings: Box<unit::Unit>,
    },
    /// To `GetStore`.
    Store {
        /// How many it may leave.
        most: u32,
        /// Those that it left.
        descriptors: Vec<StoredDescriptor>,
    },
    /// To `ListUnitFiles` and `GetUnitFile`.
    UnitFiles {
        /// By name.
        files: Vec<UnitFile>,
    },
    /// To `ChangeUnitFiles`.
    Links {
        /// One of them has something to say of enabling.
        informed: bool,
        /// What was made and removed.
        changes: Vec<LinkChange>,
    },
    /// To `Identify`.
    User {
        /// Its number on the machine.
        uid: u32,
        /// It may change things.
        manages: bool,
    },
    /// To `ListJobs`.
    Jobs {
        /// By number.
        jobs: Vec<Job>,
    },
    /// To `Enqueue`.
    Job {
        /// The job.
        job: Job,
        /// `done`, `canceled`, `timeout`, `failed`, `dependency`, `skipped`; absent while it runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        result: Option<String>,
        /// Why, when the result is not `done`.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
    },
    /// To `Login`.
    Exit {
        /// Exit code, or 128 and the signal's number.
        exit: i32,
    },
    /// To `Watch`.
    Event {
        /// What happened.
        event: Event,
    },
    /// Nothing to say.
    Done {},
}

/// A change that `Watch` tells of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// A unit's state changed.
    Unit(Box<Unit>),
    /// A unit came.
    UnitNew(Box<Unit>),
    /// A unit is gone.
    UnitRemoved(String),
    /// A job was queued.
    JobNew(Job),
    /// A job's turn has come.
    Job(Job),
    /// A job has ended, with its result.
    JobRemoved(Job, String),
    /// Unit files are read again, from now on or until now.
    Reloading(bool),
    /// Links of unit files changed.
    UnitFilesChanged,
    /// All default units are started; microseconds since the kernel started.
    StartupFinished(u64),
}

/// A call with Varlink's flags.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// `interface.Method`.
    pub method: String,
    /// Arguments; absent means none.
    #[serde(default)]
    pub parameters: Value,
    /// The caller takes more than one reply.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
    /// The caller takes no reply.
    #[serde(default, skip_serializing_if = "is_false")]
    pub oneway: bool,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
