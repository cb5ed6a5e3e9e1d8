//! What PID 1 says of the machine, its units and its jobs. States carry systemd's names and meanings.

use serde::{Deserialize, Serialize};

/// One screen about the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Machine {
    /// Version of the running image (IMAGE_VERSION of os-release).
    pub version: String,
    /// `a` or `b`.
    pub slot: String,
    /// Root hash of the running image.
    pub root_hash: String,
    /// `starting`, `running`, `degraded`, `stopping` (systemd's SystemState).
    pub state: String,
    /// Host name.
    pub hostname: String,
    /// Seconds since the kernel started.
    pub uptime: u64,
    /// Microseconds from the first instruction of init/boot until all default units were started; 0 while starting.
    pub userspace_usec: u64,
    /// Number of loaded units that are active.
    pub active: u32,
    /// Units that are not well: failed, or waiting to be started again.
    pub unwell: Vec<Unit>,
    /// What is wrong with the machine's configuration, a sentence each.
    pub problems: Vec<String>,
    /// `committed`: this version stays; `trial`: its services have yet to be well for a while; `condemned`: it did not
    /// pass and runs for want of another; `unknown`: nobody has looked.
    pub commit: String,
    /// Sessions of people who came over the network.
    pub sessions: u32,
}

/// One unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Unit {
    /// Full name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// `loaded`, `not-found`, `error`, `masked`.
    pub load: String,
    /// `active`, `reloading`, `inactive`, `failed`, `activating`, `deactivating`.
    pub active: String,
    /// `running`, `exited`, `dead`, `auto-restart`, `listening`, ….
    pub sub: String,
    /// `success`, `exit-code`, `signal`, `core-dump`, `timeout`, `watchdog`, `oom-kill`, `start-limit-hit`, `resources`, `protocol`.
    pub result: String,
    /// Why, in a sentence, when it is not well: the step and the path, the exit code, the unit that failed before.
    pub reason: String,
    /// What the service last said of itself (STATUS=).
    pub status_text: String,
    /// Main process on the host; 0 if none.
    pub main_pid: u32,
    /// Exit code or signal of the last main process.
    pub exit_status: i32,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// Microseconds since the epoch when it became active; 0 if never.
    pub active_since: u64,
    /// The same on the monotonic clock.
    pub active_since_monotonic: u64,
    /// Microseconds that the last start took.
    pub start_usec: u64,
    /// Control group below the root, such as `/system.slice/ssh.service`.
    pub control_group: String,
    /// Memory in use in bytes, from the control group; absent where there is none.
    pub memory: Option<u64>,
    /// CPU time in nanoseconds, likewise.
    pub cpu_nsec: Option<u64>,
    /// Tasks, likewise.
    pub tasks: Option<u64>,
    /// 128-bit id of this run of the unit, 32 hex digits.
    pub invocation_id: String,
    /// Units that it names, with the kind of the edge: `("Requires", "dbus.socket")`.
    pub dependencies: Vec<(String, String)>,
}

/// A queued or running job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Job {
    /// Number.
    pub id: u32,
    /// Unit's full name.
    pub unit: String,
    /// `start`, `stop`, `restart`, `reload`, `verify-active`.
    pub kind: String,
    /// `waiting` or `running`.
    pub state: String,
}
