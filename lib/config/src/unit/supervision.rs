//! How services are watched, stopped and started again (systemd.service(5), systemd.kill(5)).

use serde::{Deserialize, Serialize};

use super::signal::Signal;
use crate::quantity::Span;

/// How a service is watched, stopped and started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Supervision {
    /// When to start again.
    pub restart: Restart,
    /// First pause before starting again; doubled each time up to `restart_delay_max`.
    pub restart_delay: Span,
    /// Longest pause before starting again.
    pub restart_delay_max: Span,
    /// It is not down between an end and the next start: who is bound to it stays.
    pub restart_direct: bool,
    /// At most this many starts within `start_limit_interval`.
    pub start_limit_burst: u32,
    /// See `start_limit_burst`.
    pub start_limit_interval: Span,
    /// Longest time until started.
    pub timeout_start: Span,
    /// Longest time between the stop signal and SIGKILL.
    pub timeout_stop: Span,
    /// Longest silence between two WATCHDOG=1; none if absent.
    pub watchdog: Option<Span>,
    /// Stay active after the command has ended.
    pub remain_after_exit: bool,
    /// The signal that asks for an end.
    pub kill_signal: Signal,
    /// Whom it is sent to.
    pub kill_mode: KillMode,
    /// SIGHUP is sent behind it.
    pub send_sighup: bool,
    /// Who does not go is killed.
    pub send_sigkill: bool,
    /// The signal that asks for a reload, of type `notify-reload`.
    pub reload_signal: Signal,
    /// Longest time that it may run; any if absent.
    pub runtime_max: Option<Span>,
    /// Exit codes that count as success besides 0.
    pub success_exit_status: Vec<i32>,
    /// Signals that count as success besides SIGHUP, SIGINT, SIGTERM and SIGPIPE.
    pub success_signals: Vec<i32>,
    /// Exit codes after which it is not started again.
    pub restart_prevent_exit_status: Vec<i32>,
    /// Exit codes after which it is started again, whatever `restart` says.
    pub restart_force_exit_status: Vec<i32>,
    /// How many file descriptors the service may leave with PID 1.
    pub fd_store: u32,
    /// Whether the store outlives a stop.
    pub fd_store_preserve: bool,
    /// Who may send notifications.
    pub notify_access: Option<NotifyAccess>,
    /// What happens when the kernel kills one of its processes for lack of memory.
    pub oom_policy: OomPolicy,
}

impl Default for Supervision {
    fn default() -> Self {
        Self {
            restart: Restart::No,
            restart_delay: Span(100_000),
            restart_delay_max: Span::seconds(30),
            restart_direct: false,
            start_limit_burst: 5,
            start_limit_interval: Span::seconds(10),
            timeout_start: Span::seconds(90),
            timeout_stop: Span::seconds(90),
            watchdog: None,
            remain_after_exit: false,
            kill_signal: Signal(15),
            kill_mode: KillMode::ControlGroup,
            send_sighup: false,
            send_sigkill: true,
            reload_signal: Signal(1),
            runtime_max: None,
            success_exit_status: Vec::new(),
            success_signals: Vec::new(),
            restart_prevent_exit_status: Vec::new(),
            restart_force_exit_status: Vec::new(),
            fd_store: 0,
            fd_store_preserve: false,
            notify_access: None,
            oom_policy: OomPolicy::Stop,
        }
    }
}

/// When to start again (systemd.service(5), Restart=).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// After any end.
    Always,
    /// After a clean end.
    OnSuccess,
    /// After any failure.
    OnFailure,
    /// After a signal, a time-out or the watchdog.
    OnAbnormal,
    /// After a core dump or other uncaught signal.
    OnAbort,
    /// When the watchdog bit.
    OnWatchdog,
}

/// Whom the stop signal is sent to (systemd.kill(5), KillMode=).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KillMode {
    /// Every process of the unit.
    #[default]
    ControlGroup,
    /// The stop signal to the main process, SIGKILL to the rest.
    Mixed,
    /// The main process only.
    Process,
    /// Nobody.
    None,
}

/// Who may send notifications (systemd.service(5), NotifyAccess=).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotifyAccess {
    /// Nobody.
    None,
    /// The main process.
    Main,
    /// Main and control processes.
    Exec,
    /// Every process of the unit.
    All,
}

/// What follows when the kernel kills a process of the unit for lack of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OomPolicy {
    /// The others live on.
    Continue,
    /// The unit is stopped.
    #[default]
    Stop,
    /// All of it is killed at once.
    Kill,
}
