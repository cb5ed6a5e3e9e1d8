//! What a version on trial has to show besides the health of the image's own units, as the machine's configuration says it:
//! `provision` writes it, PID 1 holds the trial to it.

use serde::{Deserialize, Serialize};

/// Where it is.
pub const FILE: &str = "/run/ashlar/terms.json";

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Terms {
    /// Further units that have to be up, or to have done their work.
    pub units: Vec<String>,
    /// For how long all has to be well, in microseconds.
    pub well_for: Option<u64>,
    /// By when it has to have been, in microseconds from the beginning of the trial.
    pub well_within: Option<u64>,
}
