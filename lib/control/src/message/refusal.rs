//! Why something was not done.

use serde::{Deserialize, Serialize};

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
    /// No unit has this process.
    #[error("process {pid} belongs to no unit")]
    NoSuchProcess {
        /// As asked.
        pid: u32,
    },
    /// A unit of this name is there already.
    #[error("unit {unit} was already loaded")]
    UnitExists {
        /// As asked.
        unit: String,
    },
    /// A unit's file says that it is not to be started.
    #[error("unit {unit} is masked: `systemctl unmask {unit}` takes that back")]
    Masked {
        /// As asked.
        unit: String,
    },
    /// A unit's file makes no sense.
    #[error("unit {unit} has a mistake in its file: {reason}")]
    BadUnit {
        /// As asked.
        unit: String,
        /// Which mistake.
        reason: String,
    },
    /// A unit is not started or stopped by hand.
    #[error("unit {unit} is started and stopped by others only, as its file says")]
    OnlyByDependency {
        /// As asked.
        unit: String,
    },
    /// There is no such unit file.
    #[error("{reason}")]
    NoSuchFile {
        /// Which.
        reason: String,
    },
    /// Something else is where a link would be.
    #[error("{reason}")]
    FileExists {
        /// Where.
        reason: String,
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
    /// A job of another kind is queued, and may not be replaced.
    #[error("{reason}")]
    Destructive {
        /// Which.
        reason: String,
    },
    /// Units of this kind, or this one, have no such job.
    #[error("{reason}")]
    NotApplicable {
        /// Which.
        reason: String,
    },
    /// It is not down, or is about to be something else.
    #[error("unit {unit} is not inactive, or has a job: stop it first")]
    Busy {
        /// As asked.
        unit: String,
    },
    /// It has nothing of what was named.
    #[error("unit {unit} has nothing of that kind")]
    NothingToClean {
        /// As asked.
        unit: String,
    },
    /// It has no main process.
    #[error("unit {unit} does not run")]
    NotRunning {
        /// As asked.
        unit: String,
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
