//! When a service is started again by itself, how soon, and when to give up. Pure rules over settings and history.

use ashlar_config::unit::{Restart, ServiceType, Supervision};

use super::state::{Exit, Outcome};

/// A run that lasted this long (or the longest pause, if that is longer) ends a series of failures.
const STEADY: u64 = 10_000_000;

/// Whether an end with `outcome` and `exit` calls for another start (systemd.service(5), Restart=).
pub fn wanted(settings: &Supervision, outcome: Outcome, exit: Option<Exit>) -> bool {
    let policy = settings.restart;
    let among = |codes: &[i32]| matches!(exit, Some(Exit::Code(code)) if codes.contains(&code));
    if among(&settings.restart_prevent_exit_status) {
        return false;
    }
    if among(&settings.restart_force_exit_status) {
        return true;
    }
    let clean = outcome == Outcome::Success;
    let aborted = matches!(outcome, Outcome::Signal | Outcome::CoreDump);
    let abnormal = aborted || matches!(outcome, Outcome::Timeout | Outcome::Watchdog | Outcome::OomKill);
    match policy {
        // The limit is there to end the series.
        _ if matches!(outcome, Outcome::StartLimitHit | Outcome::ExecCondition) => false,
        Restart::No => false,
        Restart::Always => true,
        Restart::OnSuccess => clean,
        Restart::OnFailure => !clean,
        Restart::OnAbnormal => abnormal,
        Restart::OnAbort => aborted,
        Restart::OnWatchdog => outcome == Outcome::Watchdog,
    }
}

/// The pause before the next start, after `in_a_row` starts without a steady run: doubled each time.
pub fn pause(settings: &Supervision, in_a_row: u32) -> u64 {
    let longest = settings.restart_delay_max.0.max(settings.restart_delay.0);
    settings.restart_delay.0.saturating_mul(1u64 << in_a_row.min(40)).min(longest)
}

/// Whether a run from `began` to `now` ends a series of failures.
pub fn was_steady(settings: &Supervision, began: u64, now: u64) -> bool {
    let longest = settings.restart_delay_max.0;
    now.saturating_sub(began) >= STEADY.max(if longest == u64::MAX { 0 } else { longest })
}

/// Notes a start at `now` and says whether it is one too many. `starts` keeps the ones within the interval.
pub fn too_often(starts: &mut Vec<u64>, now: u64, burst: u32, interval: u64) -> bool {
    if burst == 0 || interval == 0 {
        return false;
    }
    starts.retain(|at| now.saturating_sub(*at) < interval);
    if starts.len() >= burst as usize {
        return true;
    }
    starts.push(now);
    false
}

/// Whether a main process ended as it may. Being asked to end by signal is fine, except for one that has to finish.
pub fn is_clean(exit: Exit, kind: ServiceType, settings: &Supervision) -> bool {
    const HUP_INT_PIPE_TERM: [i32; 4] = [1, 2, 13, 15];
    match exit {
        Exit::Code(code) => code == 0 || settings.success_exit_status.contains(&code),
        Exit::Signal(signal) if settings.success_signals.contains(&signal) => true,
        Exit::Signal(signal) => kind != ServiceType::Oneshot && HUP_INT_PIPE_TERM.contains(&signal),
        Exit::Dumped(_) => false,
    }
}

/// The result of an end that was not clean.
pub fn outcome_of(exit: Exit) -> Outcome {
    match exit {
        Exit::Code(_) => Outcome::ExitCode,
        Exit::Signal(_) => Outcome::Signal,
        Exit::Dumped(_) => Outcome::CoreDump,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_config::quantity::Span;

    #[test]
    fn policies() {
        use Outcome::*;
        // Success, exit code, signal, core dump, time-out, watchdog.
        let check = |policy, expect: [bool; 6]| {
            let settings = Supervision { restart: policy, ..Supervision::default() };
            let got = [Success, ExitCode, Signal, CoreDump, Timeout, Watchdog].map(|o| wanted(&settings, o, None));
            assert_eq!(got, expect, "{policy:?}");
            assert!(!wanted(&settings, StartLimitHit, None) && !wanted(&settings, ExecCondition, None));
        };
        check(Restart::No, [false; 6]);
        check(Restart::Always, [true; 6]);
        check(Restart::OnSuccess, [true, false, false, false, false, false]);
        check(Restart::OnFailure, [false, true, true, true, true, true]);
        check(Restart::OnAbnormal, [false, false, true, true, true, true]);
        check(Restart::OnAbort, [false, false, true, true, false, false]);
        check(Restart::OnWatchdog, [false, false, false, false, false, true]);
        let settings = Supervision {
            restart: Restart::OnFailure,
            restart_prevent_exit_status: vec![3],
            restart_force_exit_status: vec![0],
            ..Supervision::default()
        };
        assert!(!wanted(&settings, ExitCode, Some(Exit::Code(3))));
        assert!(wanted(&settings, Success, Some(Exit::Code(0))));
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let settings =
            Supervision { restart_delay: Span(100), restart_delay_max: Span(1000), ..Supervision::default() };
        let check = |in_a_row, expect| assert_eq!(pause(&settings, in_a_row), expect, "{in_a_row}");
        check(0, 100);
        check(1, 200);
        check(3, 800);
        check(4, 1000);
        check(1_000_000, 1000);
    }

    #[test]
    fn starts_are_limited() {
        let mut starts = Vec::new();
        let mut check = |now, expect| assert_eq!(too_often(&mut starts, now, 2, 10), expect, "{now}");
        check(1, false);
        check(2, false);
        check(3, true);
        check(11, false);
        check(11, true);
    }

    #[test]
    fn clean_ends() {
        let settings = Supervision { success_exit_status: vec![5], ..Supervision::default() };
        let check = |exit, kind, expect| assert_eq!(is_clean(exit, kind, &settings), expect, "{exit:?}");
        check(Exit::Code(0), ServiceType::Simple, true);
        check(Exit::Code(5), ServiceType::Simple, true);
        check(Exit::Code(1), ServiceType::Simple, false);
        check(Exit::Signal(15), ServiceType::Simple, true);
        check(Exit::Signal(15), ServiceType::Oneshot, false);
        check(Exit::Signal(9), ServiceType::Simple, false);
        check(Exit::Dumped(15), ServiceType::Simple, false);
    }
}
