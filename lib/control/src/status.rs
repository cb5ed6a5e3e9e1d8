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
    /// PID 1 says what matters at least so much: `err`, `warning`, `notice`, `info`, `debug` and so on.
    #[serde(default)]
    pub log_level: String,
    /// Seconds since the kernel started.
    pub uptime: u64,
    /// When init/boot executed its first instruction, in microseconds since the kernel started.
    pub boot_usec: u64,
    /// When PID 1 did.
    pub init_usec: u64,
    /// How often everything but the kernel was started again. The first instruction is PID 1's then.
    #[serde(default)]
    pub soft_reboots: u32,
    /// Microseconds from the first instruction of init/boot until all default units were started; 0 while starting.
    pub userspace_usec: u64,
    /// Number of loaded units that are active.
    pub active: u32,
    /// Units that are not well: failed, or waiting to be started again.
    pub unwell: Vec<Unit>,
    /// What is wrong with the machine's configuration, a sentence each.
    pub problems: Vec<String>,
    /// The target that booting means.
    #[serde(default)]
    pub default_target: String,
    /// `committed`: this version stays; `trial`: its services have yet to be well for a while; `condemned`: it did not
    /// pass and runs for want of another; `unknown`: nobody has looked.
    pub commit: String,
    /// Sessions of people who came over the network.
    pub sessions: u32,
    /// The version that the machine was booted with, if it went over to another one since.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub booted: String,
    /// Units that run as that version has them, until nobody is logged in any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
    /// What was set for commands on the host.
    pub environment: Vec<(String, String)>,
}

/// A point in time, by two clocks, in microseconds; 0 if it never was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Since the epoch.
    pub real: u64,
    /// Since the kernel started.
    pub monotonic: u64,
}

/// When a unit last went from one state to another (org.freedesktop.systemd1(5), InactiveExitTimestamp and on).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Changes {
    /// From one state to any other.
    pub state: Stamp,
    /// It began to start.
    pub inactive_exit: Stamp,
    /// It was up.
    pub active_enter: Stamp,
    /// It began to stop.
    pub active_exit: Stamp,
    /// It was down.
    pub inactive_enter: Stamp,
    /// Its condition was looked at.
    pub condition: Stamp,
}

/// One unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Unit {
    /// Full name.
    pub name: String,
    /// Other full names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
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
    /// The process that starts or reloads it; 0 if none.
    pub control_pid: u32,
    /// How the last main process ended: 1 by itself, 2 by a signal, 3 with a core dump; 0 if none has.
    pub exit_code: i32,
    /// Exit code or signal of the last main process.
    pub exit_status: i32,
    /// When the last main process was started.
    pub main_started: Stamp,
    /// When it ended.
    pub main_ended: Stamp,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// Microseconds that it waits before the next time, or does already.
    #[serde(default)]
    pub restart_pause: u64,
    /// Microseconds since the epoch when it became active; 0 if never.
    pub active_since: u64,
    /// The same on the monotonic clock.
    pub active_since_monotonic: u64,
    /// When its state last changed.
    pub changes: Changes,
    /// Its condition held when it was last looked at.
    pub condition: bool,
    /// Of a timer: when it last fired.
    pub fired: Stamp,
    /// Of a timer: when it fires next, in microseconds since the kernel started; 0 if never.
    pub next_elapse: u64,
    /// A timer's next time of the calendar, in microseconds since the epoch; 0 for none.
    #[serde(default)]
    pub next_real: u64,
    /// Of a socket unit that takes connections: how many are served.
    #[serde(default)]
    pub connections: u32,
    /// How many it has taken.
    #[serde(default)]
    pub accepted: u32,
    /// How many it has refused.
    #[serde(default)]
    pub refused: u32,
    /// Descriptors that it left with PID 1.
    pub fd_stored: u32,
    /// It was made while the machine ran.
    pub transient: bool,
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
