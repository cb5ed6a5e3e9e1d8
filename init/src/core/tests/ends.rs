//! How services end, and come back.

use super::*;

#[test]
fn stopping() {
    let unit = ["a.service type=simple"];
    check(
        &unit,
        &["start a", "stop a", "die a 15", "empty a"],
        &[
            "spawn a.service Main",
            "start a.service done",
            "started up",
            "terminate a.service 15 true",
            "terminate a.service 15 true",
            "release a.service true",
            "stop a.service done",
        ],
        "a.service dead",
    );
    // One that does not listen is killed, and says so.
    check(
        &unit,
        &["start a", "stop a", "wait 90000000", "die a 9", "empty a"],
        &[
            "spawn a.service Main",
            "start a.service done",
            "started up",
            "terminate a.service 15 true",
            "kill a.service",
            "kill a.service",
            "release a.service true",
            "stop a.service done",
        ],
        "a.service failed",
    );
    check(
        &["a.service type=simple kill=mixed"],
        &["start a", "stop a", "exit a 0", "empty a"],
        &[
            "spawn a.service Main",
            "start a.service done",
            "started up",
            "terminate a.service 15 false",
            "kill a.service",
            "release a.service true",
            "stop a.service done",
        ],
        "a.service dead",
    );
}

#[test]
fn a_hangup_follows_the_stop_signal() {
    let mut play = Play::new(&["a.service type=simple hangup"]);
    play.word("start a");
    play.word("stop a");
    assert!(play.lines.ends_with(&["terminate a.service 15 true".into(), "terminate a.service 1 true".into()]));
}

#[test]
fn a_failed_service_comes_back_later_each_time_until_it_is_too_often() {
    let mut play = Play::new(&["a.service type=simple restart=on-failure burst=3"]);
    play.word("start a");
    for pause in [100_000, 200_000] {
        play.word("exit a 7");
        play.word("empty a");
        assert_eq!(play.states(&["a"]), "a auto-restart");
        play.word(&format!("wait {}", pause - 5_000));
        assert_eq!(play.states(&["a"]), "a auto-restart", "before {pause}");
        play.word("wait 5000");
        assert_eq!(play.states(&["a"]), "a running", "after {pause}");
    }
    assert_eq!(play.core.run(play.unit("a")).restarts, 2);
    play.word("exit a 7");
    play.word("empty a");
    play.word("wait 400000");
    let run = play.core.run(play.unit("a"));
    assert_eq!((run.sub, run.outcome), (Sub::Failed, Outcome::StartLimitHit));
    assert_eq!(run.reason, "started 3 times within 10 s: given up; last: ended with exit code 7");
}

#[test]
fn a_stop_ends_the_series() {
    check(
        &["a.service type=simple restart=always"],
        &["start a", "exit a 0", "empty a", "stop a", "wait 1000000"],
        &[
            "spawn a.service Main",
            "start a.service done",
            "started up",
            "terminate a.service 15 true",
            "release a.service false",
            "release a.service true",
            "stop a.service done",
        ],
        "a.service dead",
    );
}

#[test]
fn others_follow_a_failure() {
    check(
        &[
            "a.service type=simple on-failure=b.service",
            "b.service type=simple",
            "c.service type=simple requisite=b.service",
        ],
        &["start c", "start a", "exit a 1", "empty a", "start c"],
        &[
            "start c.service dependency",
            "started up",
            "spawn a.service Main",
            "start a.service done",
            "terminate a.service 15 true",
            "release a.service true",
            "spawn b.service Main",
            "start b.service done",
            "spawn c.service Main",
            "start c.service done",
        ],
        "a.service failed, b.service running, c.service running",
    );
}

#[test]
fn failures_have_a_result_and_a_reason() {
    let check = |unit: &str, words: &[&str], outcome: Outcome, reason: &str| {
        let mut play = Play::new(&[unit]);
        words.iter().for_each(|word| play.word(word));
        let run = play.core.run(play.unit("a"));
        assert_eq!((run.outcome, run.reason.as_str()), (outcome, reason), "{unit} {words:?}");
    };
    check("a.service", &["start a", "fail a"], Outcome::Resources, "mount proc: no such file");
    check("a.service type=simple", &["start a", "exit a 2"], Outcome::ExitCode, "ended with exit code 2");
    check("a.service type=simple", &["start a", "die a 11"], Outcome::Signal, "ended with signal 11");
    check(
        "a.service type=notify",
        &["start a", "exit a 0"],
        Outcome::Protocol,
        "ended with exit code 0 without having said READY=1",
    );
    check("a.service type=notify", &["start a", "wait 90000000"], Outcome::Timeout, "not started within 90 s");
    check(
        "a.service type=notify watchdog=2000000",
        &["start a", "ready a", "say a WATCHDOG=1", "wait 2000000"],
        Outcome::Watchdog,
        "silent for 2 s (watchdog)",
    );
    check(
        "a.service type=simple",
        &["start a", "oom a", "die a 9"],
        Outcome::OomKill,
        "a process was killed for lack of memory",
    );
}
