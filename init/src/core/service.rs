//! The life of a service: state × event → step, on one screen. What a step does stands in `perform.rs`.
//!
//! A start goes Condition → StartPre → Start → StartPost → Running or Exited, an end by request Stop → StopSigterm →
//! StopSigkill, one after the main process Stop → FinalSigterm → FinalSigkill. States with commands go through each of
//! them in turn, and are left out by a service that has none. Once the control group is empty come StopPost and what it
//! left, and it settles in Dead, Failed or AutoRestart. Forbidden moves: nothing leads from a stop back to Running, nothing
//! settles while the group is populated (except after SIGKILL was answered by nothing for a whole time-out), and
//! AutoRestart is only left by its own time, a start or a stop.
//!
//! The table knows no types of service and no settings: [`readiness`] translates what happened into "ready" or not
//! before the table is asked.

use ashlar_config::unit::ServiceType;

use super::state::Sub;

/// What can happen to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A start job's turn has come.
    Start,
    /// A stop job's turn has come, or a unit that it is bound to went away.
    Stop,
    /// A reload job's turn has come.
    Reload,
    /// The condition holds.
    Met,
    /// It does not.
    Unmet,
    /// A process could not be started.
    NotStarted,
    /// It counts as started.
    Ready,
    /// RELOADING=1.
    Reloading,
    /// The command of the state ended well.
    ControlDone,
    /// The command of the state ended badly.
    ControlFailed,
    /// The main process ended as it may.
    MainDone,
    /// The main process ended as it should not.
    MainFailed,
    /// The control group has no process any more.
    Empty,
    /// The state's time is over.
    Timeout,
    /// The watchdog bit, or health checks failed.
    Unwell,
    /// The kernel killed a process of it for lack of memory, and the unit says that the rest shall stop.
    OutOfMemory,
    /// The same, and the rest shall be killed.
    OutOfMemoryKill,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing: the event means nothing here.
    Ignore,
    /// Begin a start: limits, a new invocation, the condition.
    Begin,
    /// Start the next command of this state, or go on behind the last one.
    Proceed,
    /// The condition does not hold: down again, with nothing wrong.
    Skip,
    /// Started, but for the commands behind it.
    Up,
    /// The main process ended well: go on with the next one, stay active if the unit says so, else clear up.
    Ended,
    /// Nothing of it is left, and its main process was not known.
    Emptied,
    /// It ran, and its main process is gone: its stop command, then what is left.
    Leave,
    /// Clear up what is left after the main process.
    Clear,
    /// Ask for a reload by command or signal.
    AskReload,
    /// It has begun to reload by itself or by our signal.
    AwaitReload,
    /// The reload is over.
    Reloaded,
    /// The reload failed; the service runs on.
    ReloadFailed,
    /// Send SIGABRT.
    Abort,
    /// Its stop command, then the stop signal.
    Terminate,
    /// Send the stop signal.
    Signal,
    /// Kill, with the main process still there.
    Kill,
    /// Kill what is left after the main process.
    KillRest,
    /// It is over: Dead, Failed or AutoRestart.
    Settle,
    /// The pause before starting again is over.
    Again,
    /// Give up starting again.
    GiveUp,
    /// Its folders are as clean as they get.
    Cleaned,
}

/// The table.
pub fn step(state: Sub, event: Event) -> Step {
    use Event as E;
    use Sub::*;
    match (state, event) {
        (Dead | Failed | AutoRestart | AutoRestartQueued, E::Start) => Step::Begin,
        (AutoRestart, E::Timeout) => Step::Again,
        (AutoRestart | AutoRestartQueued, E::Stop) => Step::GiveUp,

        (Condition, E::Met | E::ControlDone) => Step::Proceed,
        (Condition, E::Unmet) => Step::Skip,
        (Condition, E::Stop) => Step::Signal,

        (StartPre | StartPost | Stop | StopPost, E::ControlDone) => Step::Proceed,
        (Condition | StartPre, E::ControlFailed | E::NotStarted | E::Timeout) => Step::Clear,
        (StartPost, E::ControlFailed | E::NotStarted | E::Timeout) => Step::Terminate,
        (Stop, E::ControlFailed | E::NotStarted | E::Timeout) => Step::Signal,
        (StopPost, E::ControlFailed | E::NotStarted) => Step::Clear,
        (StopPost, E::Timeout) => Step::KillRest,

        (Start | ReloadNotify, E::Ready) => Step::Up,
        (Start, E::Timeout) => Step::Signal,
        (Start, E::NotStarted) => Step::Clear,

        (Running, E::Reload) => Step::AskReload,
        (Running | ReloadSignal, E::Reloading) => Step::AwaitReload,
        (Running | ReloadSignal | ReloadNotify | Reload | Start, E::Unwell) => Step::Abort,
        (Reload, E::ControlDone) => Step::Reloaded,
        (Reload, E::ControlFailed | E::NotStarted | E::Timeout) => Step::ReloadFailed,
        (ReloadSignal | ReloadNotify, E::Timeout) => Step::ReloadFailed,

        (StartPre | Start, E::Stop) => Step::Signal,
        (StartPost | Running | Exited | Reload | ReloadSignal | ReloadNotify, E::Stop) => Step::Terminate,
        (StartPre | Start | StartPost | Running | Reload | ReloadSignal | ReloadNotify, E::OutOfMemory) => Step::Signal,
        (StartPre | Start | StartPost | Running | Reload | ReloadSignal | ReloadNotify, E::OutOfMemoryKill) => {
            Step::Kill
        }

        (Start | Running | Reload | ReloadSignal | ReloadNotify, E::MainDone) => Step::Ended,
        (Start, E::MainFailed) => Step::Clear,
        (StartPost | Running | Reload | ReloadSignal | ReloadNotify, E::MainFailed) => Step::Leave,
        (Running, E::Empty) => Step::Emptied,
        // It may run for so long and no longer.
        (Running, E::Timeout) => Step::Terminate,

        (StopWatchdog, E::Stop) => Step::Signal,
        (StopWatchdog | StopSigterm, E::MainDone | E::MainFailed) => Step::Clear,
        (StopWatchdog | StopSigterm, E::Timeout) => Step::Kill,
        (StopWatchdog | StopSigterm | StopSigkill, E::Empty) => Step::Settle,
        (StopSigkill, E::MainDone | E::MainFailed) => Step::KillRest,
        (FinalSigterm, E::Timeout) => Step::KillRest,
        (FinalSigterm | FinalSigkill, E::Empty) => Step::Settle,
        (StopSigkill | FinalSigkill, E::Timeout) => Step::Settle,

        (Cleaning, E::ControlDone | E::ControlFailed | E::Stop) => Step::Cleaned,

        _ => Step::Ignore,
    }
}

/// How far a main process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone {
    /// It was forked.
    Forked,
    /// It executed its program.
    Executed,
    /// It said READY=1.
    Notified,
    /// Its first process ended and left its main one behind.
    Daemonized,
    /// It has its name on the bus.
    Named,
}

/// Whether a service of this type counts as started now.
pub fn readiness(kind: ServiceType, milestone: Milestone) -> bool {
    matches!(
        (kind, milestone),
        (ServiceType::Simple | ServiceType::Idle, Milestone::Forked)
            | (ServiceType::Forking, Milestone::Daemonized)
            | (ServiceType::Dbus, Milestone::Named)
            | (ServiceType::Exec, Milestone::Executed)
            | (ServiceType::Notify | ServiceType::NotifyReload, Milestone::Notified)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE_STATES: [Sub; 21] = [
        Sub::Dead,
        Sub::Failed,
        Sub::Condition,
        Sub::StartPre,
        Sub::Start,
        Sub::StartPost,
        Sub::Running,
        Sub::Exited,
        Sub::Reload,
        Sub::ReloadSignal,
        Sub::ReloadNotify,
        Sub::Stop,
        Sub::StopWatchdog,
        Sub::StopSigterm,
        Sub::StopSigkill,
        Sub::StopPost,
        Sub::FinalSigterm,
        Sub::FinalSigkill,
        Sub::AutoRestart,
        Sub::AutoRestartQueued,
        Sub::Cleaning,
    ];

    /// One letter per step, one column per state, in the order above.
    fn row(event: Event) -> String {
        let letter = |step| match step {
            Step::Ignore => '.',
            Step::Begin => 'B',
            Step::Proceed => 'P',
            Step::Skip => 'o',
            Step::Up => 'U',
            Step::Ended => 'E',
            Step::Emptied => 'e',
            Step::Leave => 'L',
            Step::Clear => 'C',
            Step::AskReload => 'r',
            Step::AwaitReload => 'a',
            Step::Reloaded => 'd',
            Step::ReloadFailed => 'f',
            Step::Abort => 'A',
            Step::Terminate => 'T',
            Step::Signal => 'S',
            Step::Kill => 'K',
            Step::KillRest => 'k',
            Step::Settle => 's',
            Step::Again => 'g',
            Step::GiveUp => 'G',
            Step::Cleaned => 'c',
        };
        SERVICE_STATES.iter().map(|state| letter(step(*state, event))).collect()
    }

    #[test]
    fn the_whole_table() {
        let check = |event, expect: &str| assert_eq!(row(event), expect.replace(' ', ""), "{event:?}");
        // down cond pre/start/post run/exited reloads  stop, stops post, final restart cleaning
        check(Event::Start, "BB . ... .. ... .... . .. BB .");
        check(Event::Stop, ".. S SST TT TTT .S.. . .. GG c");
        check(Event::Reload, ".. . ... r. ... .... . .. .. .");
        check(Event::Met, ".. P ... .. ... .... . .. .. .");
        check(Event::Unmet, ".. o ... .. ... .... . .. .. .");
        check(Event::NotStarted, ".. C CCT .. f.. S... C .. .. .");
        check(Event::Ready, ".. . .U. .. ..U .... . .. .. .");
        check(Event::Reloading, ".. . ... a. .a. .... . .. .. .");
        check(Event::ControlDone, ".. P P.P .. d.. P... P .. .. c");
        check(Event::ControlFailed, ".. C C.T .. f.. S... C .. .. c");
        check(Event::MainDone, ".. . .E. E. EEE .CCk . .. .. .");
        check(Event::MainFailed, ".. . .CL L. LLL .CCk . .. .. .");
        check(Event::Empty, ".. . ... e. ... .sss . ss .. .");
        check(Event::Timeout, ".. C CST T. fff SKKs k ks g. .");
        check(Event::Unwell, ".. . .A. A. AAA .... . .. .. .");
        check(Event::OutOfMemory, ".. . SSS S. SSS .... . .. .. .");
        check(Event::OutOfMemoryKill, ".. . KKK K. KKK .... . .. .. .");
    }

    #[test]
    fn when_a_type_is_ready() {
        let check = |kind, expect: [bool; 5]| {
            let all =
                [Milestone::Forked, Milestone::Executed, Milestone::Notified, Milestone::Daemonized, Milestone::Named];
            let got = all.map(|m| readiness(kind, m));
            assert_eq!(got, expect, "{kind:?}");
        };
        check(ServiceType::Simple, [true, false, false, false, false]);
        check(ServiceType::Exec, [false, true, false, false, false]);
        check(ServiceType::Notify, [false, false, true, false, false]);
        check(ServiceType::NotifyReload, [false, false, true, false, false]);
        check(ServiceType::Oneshot, [false, false, false, false, false]);
        check(ServiceType::Idle, [true, false, false, false, false]);
        check(ServiceType::Forking, [false, false, false, true, false]);
        check(ServiceType::Dbus, [false, false, false, false, true]);
    }
}
