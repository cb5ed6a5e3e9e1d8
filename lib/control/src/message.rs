//! Calls, replies and errors. One enum value for each method: the name on the wire is
//! `io.ashlar.Control.` and the value's name.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::status::{Job, Machine, Unit};

/// A call, as PID 1 reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", content = "parameters")]
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
        /// Main process only, or all.
        #[serde(default)]
        main_only: bool,
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
    /// Execute PID 1 anew, keeping everything: replies [`Reply::Done`] before it does.
    Reexecute {},
    /// One reply for each change of a unit or a job until the caller hangs up ([`Reply::Event`]).
    Watch {},
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
    /// A job was queued.
    JobNew(Job),
    /// A job has ended, with its result.
    JobRemoved(Job, String),
    /// All default units are started; microseconds since the kernel started.
    StartupFinished(u64),
}

/// A refusal, by its name on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "error", content = "parameters")]
pub enum Refusal {
    /// No unit has this name.
    #[error("unit {unit} not found{}", if nearest.is_empty() { String::new() } else { format!(", did you mean {nearest}?") })]
    NoSuchUnit {
        /// As asked.
        unit: String,
        /// A unit of a similar name, if there is one.
        #[serde(default)]
        nearest: String,
    },
    /// No job has this number.
    #[error("job {id} not found")]
    NoSuchJob {
        /// As asked.
        id: u32,
    },
    /// The caller may not do this.
    #[error("permission denied: {need}")]
    PermissionDenied {
        /// Who may.
        need: String,
    },
    /// The call makes no sense.
    #[error("{reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// It was tried and failed.
    #[error("{reason}")]
    Failed {
        /// Why.
        reason: String,
    },
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
