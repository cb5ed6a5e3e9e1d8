//! A unit whose folders are cleaned.

use super::{Play, check};

#[test]
fn a_start_waits_until_all_is_clean() {
    check(
        &["a.service type=simple"],
        &["clean a", "start a", "control a 0"],
        &["spawn a.service Main", "start a.service done", "started up"],
        "a.service running",
    );
    // That not all could be removed keeps nobody from starting it.
    check(
        &["a.service type=simple"],
        &["clean a", "start a", "control a 1"],
        &["spawn a.service Main", "start a.service done", "started up"],
        "a.service running",
    );
    check(
        &["a.service type=simple"],
        &["clean a", "restart a"],
        &["kill 101", "spawn a.service Main", "start a.service done", "started up"],
        "a.service running",
    );
}

#[test]
fn a_stop_ends_it() {
    check(&["a.service type=simple"], &["clean a"], &[], "a.service cleaning");
    check(&["a.service type=simple"], &["clean a", "control a 0"], &[], "a.service dead");
    let stopped = ["kill 101", "stop a.service done", "started up"];
    check(&["a.service type=simple"], &["clean a", "stop a"], &stopped, "a.service dead");
}

#[test]
fn only_what_is_down_and_stays_so_is_cleaned() {
    let check = |words: &[&str], expect: bool| {
        let mut play = Play::new(&["a.service type=notify", "b.service"]);
        words.iter().for_each(|word| play.word(word));
        assert_eq!(play.core.may_be_cleaned(play.unit("a")), expect, "{words:?}");
    };
    check(&[], true);
    check(&["start b"], true);
    check(&["start a"], false);
    check(&["start a", "ready a"], false);
    check(&["start a", "exit a 1", "empty a"], false);
    check(&["start a", "ready a", "stop a", "exit a 0", "empty a"], true);
    check(&["clean a"], false);
}
