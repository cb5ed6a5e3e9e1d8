//! What sockets and timers start.

use super::*;

#[test]
fn sockets_start_their_service_and_outlive_it() {
    check(
        &["a.socket", "a.service type=simple after=a.socket"],
        &["start a.socket", "traffic a.socket", "exit a 0", "empty a"],
        &[
            "open a.socket",
            "listen a.socket true",
            "start a.socket done",
            "started up",
            "listen a.socket false",
            "spawn a.service Main",
            "start a.service done",
            "terminate a.service 15 true",
            "release a.service true",
            "listen a.socket true",
        ],
        "a.socket listening, a.service dead",
    );
}

#[test]
fn a_socket_whose_service_does_not_take_what_arrives_fails() {
    let mut play = Play::new(&["a.socket", "a.service type=oneshot burst=0"]);
    play.word("start a.socket");
    for _ in 0..20 {
        play.word("traffic a.socket");
        play.word("exit a 0");
        play.word("empty a");
    }
    assert_eq!(play.states(&["a.socket"]), "a.socket listening");
    play.word("traffic a.socket");
    assert_eq!(play.states(&["a.socket"]), "a.socket failed");
}

#[test]
fn timers_fire_again_and_again() {
    let mut play = Play::new(&["a.timer every=5000000", "a.service type=oneshot"]);
    play.word("start a.timer");
    for _ in 0..3 {
        assert_eq!(play.states(&["a.timer", "a.service"]), "a.timer waiting, a.service dead");
        play.word("wait 5000000");
        assert_eq!(play.states(&["a.service"]), "a.service start");
        play.word("exit a 0");
        play.word("empty a");
    }
    play.word("stop a.timer");
    play.word("wait 5000000");
    assert_eq!(play.states(&["a.timer", "a.service"]), "a.timer dead, a.service dead");
}
