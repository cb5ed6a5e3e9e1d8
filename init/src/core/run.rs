//! What changes about a unit while the machine runs. All of it goes into the snapshot, so it is plain data.

use ashlar_config::unit::NotifyAccess;
use serde::{Deserialize, Serialize};

use super::Now;
use super::state::{ActiveState, Exit, Outcome, Sub};

/// Why a unit may be woken by the clock. At most one time for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// The state's time-out, or the pause before starting again.
    State,
    /// The service was silent for too long.
    Watchdog,
    /// The next health check, or the end of the running one's patience.
    Health,
    /// A timer unit fires.
    Clock,
    /// A forking service's main process is looked for again.
    Find,
    /// Its job takes too long.
    Job,
}

pub const ALARMS: [Alarm; 6] = [Alarm::State, Alarm::Watchdog, Alarm::Health, Alarm::Clock, Alarm::Find, Alarm::Job];

/// When a unit last went from one state to another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    pub state: Now,
    pub inactive_exit: Now,
    pub active_enter: Now,
    pub active_exit: Now,
    pub inactive_enter: Now,
}

impl Changes {
    /// Notes one.
    pub fn note(&mut self, old: ActiveState, new: ActiveState, now: Now) {
        self.state = now;
        let stamps = [
            (&mut self.inactive_exit, old.is_down() && !new.is_down()),
            (&mut self.inactive_enter, !old.is_down() && new.is_down()),
            (&mut self.active_enter, !old.is_up() && new.is_up()),
            (&mut self.active_exit, old.is_up() && !new.is_up()),
        ];
        for (stamp, happened) in stamps {
            if happened {
                *stamp = now;
            }
        }
    }
}

/// One unit's changing part. Times are microseconds on the monotonic clock; 0 means never.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    pub sub: Sub,
    pub outcome: Outcome,
    /// Why it is not well, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub status_text: String,
    /// 32 hex digits.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub invocation: String,
    /// Main process.
    pub main: u32,
    /// The main process's container has its own process namespace, so that it ignores what it does not handle.
    pub main_is_init: bool,
    /// The process of a command beside the main one.
    pub control: u32,
    /// The process of the health check.
    pub health: u32,
    /// The command that comes next, of those of its state.
    pub next: usize,
    /// Commands after its end have run, or begun to.
    pub stop_posted: bool,
    pub exit: Option<Exit>,
    /// Starts by itself since somebody started it.
    pub restarts: u32,
    /// The same without a longer run in between: what the pause grows with.
    pub in_a_row: u32,
    /// Begun starts within the limit's interval; of a socket: its triggers.
    pub starts: Vec<u64>,
    /// Starts because others uphold it, likewise.
    pub upheld: Vec<u64>,
    pub began: u64,
    pub active_since: u64,
    /// The same since the epoch.
    pub active_since_real: u64,
    pub inactive_since: u64,
    /// How long the last start took.
    pub start_usec: u64,
    /// By [`Alarm`]; 0: not set.
    pub alarms: [u64; 6],
    /// WATCHDOG_USEC= that the service asked for.
    pub watchdog: Option<u64>,
    /// NOTIFYACCESS= likewise.
    pub access: Option<NotifyAccess>,
    /// When a reload was asked for.
    pub reload_began: u64,
    /// Somebody stopped it: it is not started again by itself.
    pub stay_down: bool,
    /// Failed health checks in a row.
    pub unhealthy: u32,
    /// When a timer last fired.
    pub fired: u64,
    /// The same since the epoch; of a persistent one in earlier runs of the machine, too.
    pub fired_real: u64,
    /// Its next time of the calendar, since the epoch.
    pub next_real: u64,
    pub changes: Changes,
    /// When the main process was started, and when the last one ended.
    pub main_started: Now,
    pub main_ended: Now,
    /// Connections that a socket unit has taken, and refused.
    pub accepted: u32,
    /// See `accepted`.
    pub refused: u32,
    /// Its condition did not hold.
    pub unmet: bool,
    /// When that was looked at.
    pub condition: Now,
}

impl Run {
    /// When an alarm is set for; 0 for never.
    pub fn alarm(&self, alarm: Alarm) -> u64 {
        ALARMS.iter().position(|a| *a == alarm).map_or(0, |index| self.alarms[index])
    }

    /// Notes what went wrong, unless something did before.
    pub fn blame(&mut self, outcome: Outcome, reason: impl FnOnce() -> String) {
        if self.outcome == Outcome::Success {
            self.outcome = outcome;
            self.reason = reason();
        }
    }
}
