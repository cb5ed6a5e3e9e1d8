//! The names of states: what a unit is in, how it ended.
//!
//! They are systemd's, with systemd's meanings (org.freedesktop.systemd1(5), ActiveState, SubState, Result), so that
//! everything that shows or translates them only copies.

use serde::{Deserialize, Serialize};

/// Where a unit stands, coarsely; the same words for every kind of unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActiveState {
    Active,
    Reloading,
    Inactive,
    Failed,
    Activating,
    Deactivating,
    Maintenance,
}

impl ActiveState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reloading => "reloading",
            Self::Inactive => "inactive",
            Self::Failed => "failed",
            Self::Activating => "activating",
            Self::Deactivating => "deactivating",
            Self::Maintenance => "maintenance",
        }
    }

    /// Nothing of it runs and nothing is about to.
    pub fn is_down(self) -> bool {
        matches!(self, Self::Inactive | Self::Failed)
    }

    /// It does what it is there for.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Active | Self::Reloading)
    }
}

/// Where a unit stands, exactly. One enum for all kinds; each kind uses some of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sub {
    // Every kind.
    /// Not started, or ended well.
    #[default]
    Dead,
    /// Ended badly.
    Failed,
    // Targets.
    /// Reached.
    Active,
    // Sockets.
    /// Waiting for traffic.
    Listening,
    // Timers.
    /// Waiting for its time.
    Waiting,
    /// It will not fire again.
    Elapsed,
    // Scopes.
    /// Left alone by the one who made it.
    Abandoned,
    // Services, in the order in which they are gone through.
    /// The condition is looked at.
    Condition,
    /// A command before the main one runs.
    StartPre,
    /// The main command was started and is not ready.
    Start,
    /// It counts as started but for the commands after the main one.
    StartPost,
    /// Ready. Also: a scope; a socket or timer whose service runs.
    Running,
    /// Ended well, and stays active.
    Exited,
    /// The reload command runs.
    Reload,
    /// The reload signal was sent, no word yet.
    ReloadSignal,
    /// It said RELOADING=1 and has yet to say READY=1.
    ReloadNotify,
    /// The stop command runs.
    Stop,
    /// SIGABRT was sent because it was silent for too long.
    StopWatchdog,
    /// The stop signal was sent to a living main process.
    StopSigterm,
    /// SIGKILL was sent.
    StopSigkill,
    /// A command after its end runs.
    StopPost,
    /// The main process is gone; the stop signal was sent to what is left.
    FinalSigterm,
    /// The main process is gone; what is left was killed.
    FinalSigkill,
    /// Down for a moment, to be started again.
    AutoRestart,
    /// Its start is queued again.
    AutoRestartQueued,
    /// What it has left in its folders is removed.
    Cleaning,
}

impl Sub {
    pub fn active(self) -> ActiveState {
        match self {
            Self::Dead => ActiveState::Inactive,
            Self::Failed => ActiveState::Failed,
            Self::Active
            | Self::Listening
            | Self::Waiting
            | Self::Elapsed
            | Self::Abandoned
            | Self::Running
            | Self::Exited => ActiveState::Active,
            Self::Condition
            | Self::StartPre
            | Self::Start
            | Self::StartPost
            | Self::AutoRestart
            | Self::AutoRestartQueued => ActiveState::Activating,
            Self::Reload | Self::ReloadSignal | Self::ReloadNotify => ActiveState::Reloading,
            Self::Stop
            | Self::StopWatchdog
            | Self::StopSigterm
            | Self::StopSigkill
            | Self::StopPost
            | Self::FinalSigterm
            | Self::FinalSigkill => ActiveState::Deactivating,
            Self::Cleaning => ActiveState::Maintenance,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Failed => "failed",
            Self::Active => "active",
            Self::Listening => "listening",
            Self::Waiting => "waiting",
            Self::Elapsed => "elapsed",
            Self::Abandoned => "abandoned",
            Self::Condition => "condition",
            Self::StartPre => "start-pre",
            Self::Start => "start",
            Self::StartPost => "start-post",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Reload => "reload",
            Self::ReloadSignal => "reload-signal",
            Self::ReloadNotify => "reload-notify",
            Self::Stop => "stop",
            Self::StopWatchdog => "stop-watchdog",
            Self::StopSigterm => "stop-sigterm",
            Self::StopSigkill => "stop-sigkill",
            Self::StopPost => "stop-post",
            Self::FinalSigterm => "final-sigterm",
            Self::FinalSigkill => "final-sigkill",
            Self::AutoRestart => "auto-restart",
            Self::AutoRestartQueued => "auto-restart-queued",
            Self::Cleaning => "cleaning",
        }
    }
}

/// How a unit's last run ended. The first thing that went wrong counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    #[default]
    Success,
    Resources,
    Protocol,
    Timeout,
    ExitCode,
    Signal,
    CoreDump,
    Watchdog,
    StartLimitHit,
    OomKill,
    ExecCondition,
}

impl Outcome {
    /// Nothing went wrong: it ended well, or was not to be started.
    pub fn is_fine(self) -> bool {
        matches!(self, Self::Success | Self::ExecCondition)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Resources => "resources",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::ExitCode => "exit-code",
            Self::Signal => "signal",
            Self::CoreDump => "core-dump",
            Self::Watchdog => "watchdog",
            Self::StartLimitHit => "start-limit-hit",
            Self::OomKill => "oom-kill",
            Self::ExecCondition => "exec-condition",
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// By this signal, leaving a core.
    Dumped(i32),
}

impl Exit {
    /// systemd's ExecMainCode: CLD_EXITED, CLD_KILLED, CLD_DUMPED.
    pub fn code(self) -> i32 {
        match self {
            Self::Code(_) => 1,
            Self::Signal(_) => 2,
            Self::Dumped(_) => 3,
        }
    }

    /// What EXIT_STATUS says of it (systemd.exec(5)): a code, or a signal's name without its first letters.
    pub fn systemd_status(self) -> String {
        match self {
            Self::Code(code) => code.to_string(),
            Self::Signal(signal) | Self::Dumped(signal) => {
                ashlar_config::unit::Signal(signal).name().trim_start_matches("SIG").to_owned()
            }
        }
    }

    /// systemd's ExecMainStatus.
    pub fn status(self) -> i32 {
        let (Self::Code(n) | Self::Signal(n) | Self::Dumped(n)) = self;
        n
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::Dumped(signal) => write!(f, "signal {signal}, core dumped"),
        }
    }
}
