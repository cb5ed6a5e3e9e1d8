//! What an end brings with it, and what is not stopped.

use super::*;

#[test]
fn an_end_may_be_the_machines() {
    let play = |line: &str, words: &[&str]| {
        let mut play = Play::new(&[line]);
        words.iter().for_each(|word| play.word(word));
        play.lines.iter().find(|line| line.starts_with("down")).cloned().unwrap_or_default()
    };
    let fails = ["start a", "exit a 1", "empty a"];
    let ends = ["start a", "exit a 0", "empty a"];
    let check = |line: &str, words: &[&str], expect: &str| assert_eq!(play(line, words), expect, "{line}");
    check("a.service type=simple failure-action=reboot-force", &fails, "down a.service Reboot Force");
    check("a.service type=simple failure-action=reboot-force", &ends, "");
    check("a.service type=simple success-action=exit", &ends, "down a.service Poweroff No");
    // One that comes back has not ended.
    check("a.service type=simple restart=always success-action=exit", &ends, "");
    check(
        "a.service type=simple burst=1 limit-action=halt",
        &[&ends[..], &["start a"]].concat(),
        "down a.service Halt No",
    );
}

#[test]
fn who_is_there_for_others_goes_with_the_last_of_them() {
    let units = [
        "a.service type=simple unneeded",
        "b.service type=simple requires=a.service after=a.service",
        "c wants=a.service",
    ];
    let mut play = Play::new(&units);
    for word in ["start b", "start c", "stop b", "exit b 0", "empty b"] {
        play.word(word);
    }
    assert_eq!(play.states(&["a.service", "c"]), "a.service running, c active");
    play.word("stop c");
    assert_eq!(play.states(&["a.service"]), "a.service stop-sigterm");
    // Nobody needs it from the start.
    let mut play = Play::new(&units);
    play.word("start a");
    assert_eq!(play.states(&["a.service"]), "a.service stop-sigterm");
}

#[test]
fn who_is_not_to_be_killed_is_left() {
    check(
        &["a.service type=simple spare"],
        &["start a", "stop a", "wait 90000000", "wait 90000000"],
        &[
            "spawn a.service Main",
            "start a.service done",
            "started up",
            "terminate a.service 15 true",
            "terminate a.service 15 true",
            "release a.service true",
            "stop a.service done",
        ],
        "a.service failed",
    );
}

#[test]
fn reloads_are_passed_on_from_both_ends() {
    let units = [
        "a.service type=simple reload reloads=b.service",
        "b.service type=simple reload",
        "c.service type=simple reload reloaded-by=a.service",
    ];
    let mut play = Play::new(&units);
    for word in ["start a", "start b", "start c", "reload a"] {
        play.word(word);
    }
    assert_eq!(play.states(&["a", "b", "c"]), "a reload, b reload, c reload");
}

#[test]
fn isolating_leaves_what_says_so() {
    let mut play = Play::new(&["a.service type=simple stays", "b.service type=simple", "s.slice", "t"]);
    for name in ["a", "b"] {
        play.word(&format!("start {name}"));
    }
    play.core.enqueue("s.slice", JobKind::Start, JobMode::Replace).unwrap();
    play.core.gathered(play.unit("s.slice"), Ok(()));
    play.core.enqueue("t", JobKind::Start, JobMode::Isolate).unwrap();
    play.drain();
    let states = play.states(&["a", "b", "s.slice", "t"]);
    assert_eq!(states, "a running, b stop-sigterm, s.slice active, t active");
}

#[test]
fn each_connection_has_a_number_until_there_are_too_many() {
    let mut play = Play::new(&["a.socket accept=2", "a@0.service type=simple", "a@1.service type=simple"]);
    play.word("start a.socket");
    let socket = play.unit("a.socket");
    for number in [0, 1] {
        assert_eq!(play.core.connected(socket), Some(number));
        play.word(&format!("start a@{number}"));
    }
    assert_eq!(play.core.connected(socket), None);
    assert_eq!(play.states(&["a.socket"]), "a.socket listening");
    let run = play.core.run(socket);
    assert_eq!((run.accepted, run.refused), (2, 1));
    play.word("exit a@0 0");
    play.word("empty a@0");
    assert_eq!(play.core.connected(socket), Some(2));
}

#[test]
fn a_job_may_have_a_longest_time() {
    check(
        &[
            "a.service type=notify job-timeout=5000000 job-action=reboot-force",
            "b.service type=simple job-timeout=5000000",
        ],
        &["start a", "start b", "wait 5000000"],
        &[
            "spawn a.service Main",
            "spawn b.service Main",
            "start b.service done",
            "down a.service Reboot Force",
            "start a.service timeout",
            "started up",
        ],
        "a.service start, b.service running",
    );
}

#[test]
fn what_is_upheld_comes_back() {
    let units = [
        "t upholds=a.service",
        "a.service type=simple",
        "reboot.target requires=shutdown.target after=shutdown.target",
        "shutdown.target conflicts=t,a.service after=t,a.service",
    ];
    let check = |words: &[&str], expect: &str| {
        let mut play = Play::new(&units);
        words.iter().for_each(|word| play.word(word));
        assert_eq!(play.states(&["t", "a.service"]), expect, "{words:?}");
    };
    check(&["start t"], "t active, a.service running");
    check(&["start t", "exit a 0", "empty a"], "t active, a.service running");
    check(&["start t", "exit a 1", "empty a"], "t active, a.service running");
    check(&["start t", "stop a", "exit a 0", "empty a"], "t active, a.service running");
    check(&["start t", "stop t", "stop a", "exit a 0", "empty a"], "t dead, a.service dead");
    check(&["start t", "down", "exit a 0", "empty a"], "t dead, a.service dead");
    // Nobody upholds it before the target is there.
    check(&["start a", "exit a 0", "empty a"], "t dead, a.service dead");
}

#[test]
fn what_cannot_be_upheld_is_given_up() {
    let mut play =
        Play::new(&["t upholds=a.service", "a.service requires=b.service after=b.service", "b.service type=notify"]);
    play.word("start t");
    for _ in 0..20 {
        if play.main("b") != 0 {
            ["exit b 1", "empty b"].iter().for_each(|word| play.word(word));
        }
    }
    let starts = play.lines.iter().filter(|line| **line == "start a.service dependency").count();
    assert!((2..=17).contains(&starts), "{:?}", play.lines);
    assert_eq!(play.states(&["t", "a.service"]), "t active, a.service dead");
}

#[test]
fn who_comes_back_directly_takes_nobody_along() {
    let check = |mode: &str, expect: &str| {
        let mut play = Play::new(&[
            &format!("a.service type=simple restart=always {mode}"),
            "b.service binds-to=a.service after=a.service type=simple",
        ]);
        ["start b", "exit a 1", "empty a"].iter().for_each(|word| play.word(word));
        assert_eq!(play.states(&["a.service", "b.service"]), expect, "{mode}");
    };
    check("", "a.service auto-restart, b.service stop-sigterm");
    check("direct", "a.service auto-restart, b.service running");
}
