//! The commands around a service's main one, and the types of services.

use super::*;

#[test]
fn a_start_ends_when_its_type_says_so() {
    let check = |kind: &str, words: &[&str], state: &str| {
        let unit = format!("a.service type={kind}");
        let mut play = Play::new(&[&unit]);
        words.iter().for_each(|word| play.word(word));
        assert_eq!(play.core.run(play.unit("a")).sub.name(), state, "{kind} {words:?}");
        assert_eq!(
            play.lines.contains(&"start a.service done".into()),
            state == "running" || state == "dead",
            "{kind}"
        );
    };
    check("simple", &["start a"], "running");
    check("exec", &["start a"], "start");
    check("exec", &["start a", "executed a"], "running");
    check("notify", &["start a", "executed a"], "start");
    check("notify", &["start a", "executed a", "ready a"], "running");
    check("oneshot", &["start a", "executed a", "ready a"], "start");
    check("oneshot", &["start a", "exit a 0", "empty a"], "dead");
}

#[test]
fn start_pre_commands_come_first() {
    let units = ["a.service type=exec pre=2"];
    check(
        &units,
        &["start a", "control a 0", "control a 0", "executed a"],
        &[
            "spawn a.service Control(Pre, 0)",
            "spawn a.service Control(Pre, 1)",
            "spawn a.service Main",
            "start a.service done",
            "started up",
        ],
        "a.service running",
    );
    check(
        &units,
        &["start a", "control a 3", "empty a"],
        &[
            "spawn a.service Control(Pre, 0)",
            "terminate a.service 15 true",
            "release a.service true",
            "start a.service failed",
            "started up",
        ],
        "a.service failed",
    );
}

#[test]
fn every_stage_has_its_commands() {
    check(
        &["a.service type=simple ask=1 pre=1 post=1 stop-command=2 stop-post=1"],
        &[
            "start a",
            "control a 0",
            "control a 0",
            "control a 0",
            "stop a",
            "control a 0",
            "control a 0",
            "exit a 0",
            "empty a",
            "control a 0",
            "empty a",
        ],
        &[
            "spawn a.service Control(Condition, 0)",
            "spawn a.service Control(Pre, 0)",
            "spawn a.service Main",
            "spawn a.service Control(Post, 0)",
            "start a.service done",
            "started up",
            "spawn a.service Control(Stop, 0)",
            "spawn a.service Control(Stop, 1)",
            "terminate a.service 15 true",
            "terminate a.service 15 true",
            "spawn a.service Control(StopPost, 0)",
            "terminate a.service 15 true",
            "release a.service true",
            "stop a.service done",
        ],
        "a.service dead",
    );
    // A condition's command that says no is no failure.
    check(
        &["a.service type=simple ask=1"],
        &["start a", "control a 1"],
        &["spawn a.service Control(Condition, 0)", "release a.service true", "start a.service done", "started up"],
        "a.service dead",
    );
    check(
        &["a.service type=simple ask=1"],
        &["start a", "control a 255", "empty a"],
        &[
            "spawn a.service Control(Condition, 0)",
            "terminate a.service 15 true",
            "release a.service true",
            "start a.service failed",
            "started up",
        ],
        "a.service failed",
    );
}

#[test]
fn oneshots_run_their_commands_in_turn() {
    check(
        &["a.service type=oneshot mains=2 remain stop-command=1"],
        &["start a", "exit a 0", "exit a 0", "stop a", "control a 0", "empty a"],
        &[
            "spawn a.service Main",
            "spawn a.service Main",
            "start a.service done",
            "started up",
            "spawn a.service Control(Stop, 0)",
            "terminate a.service 15 true",
            "release a.service true",
            "stop a.service done",
        ],
        "a.service dead",
    );
    check(
        &["a.service type=oneshot mains=2"],
        &["start a", "exit a 1", "empty a"],
        &[
            "spawn a.service Main",
            "terminate a.service 15 true",
            "release a.service true",
            "start a.service failed",
            "started up",
        ],
        "a.service failed",
    );
}

#[test]
fn forking_services_leave_a_main_process_behind() {
    check(
        &["a.service type=forking"],
        &["start a", "exit a 0", "exit a 0", "empty a"],
        &[
            "spawn a.service Main",
            "find a.service",
            "start a.service done",
            "started up",
            "terminate a.service 15 true",
            "release a.service true",
        ],
        "a.service dead",
    );
}

#[test]
fn reloading() {
    check(
        &["a.service type=notify-reload"],
        &["start a", "ready a", "reload a", "say a RELOADING=1 MONOTONIC_USEC=5", "say a RELOADING=1", "ready a"],
        &["spawn a.service Main", "start a.service done", "started up", "signal a.service 1", "reload a.service done"],
        "a.service running",
    );
    check(
        &["a.service type=simple reload"],
        &["start a", "reload a", "control a 1"],
        &[
            "spawn a.service Main",
            "start a.service done",
            "started up",
            "spawn a.service Control(Reload, 0)",
            "reload a.service failed",
        ],
        "a.service running",
    );
    check(
        &["a.service type=simple"],
        &["reload a"],
        &["Job type reload is not applicable for unit a.service."],
        "a.service dead",
    );
}

#[test]
fn conditions() {
    check(
        &["a.service type=simple condition=/no"],
        &["start a"],
        &["start a.service done", "started up"],
        "a.service dead",
    );
}

#[test]
fn time_can_be_extended() {
    let mut play = Play::new(&["a.service type=notify"]);
    for word in ["start a", "wait 80000000", "say a EXTEND_TIMEOUT_USEC=60000000", "wait 59000000"] {
        play.word(word);
    }
    assert_eq!(play.states(&["a"]), "a start");
    play.word("wait 2000000");
    assert_eq!(play.states(&["a"]), "a stop-sigterm");
}
