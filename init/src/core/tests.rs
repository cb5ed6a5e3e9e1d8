//! The core as a whole, played like a piece: words in, the words that come out.
//!
//! A [`Play`] has a core and stands in for the outside: every spawn gets the next process number, sockets open,
//! conditions hold unless their path is `/no`. What a test sees is one line per action or end of a job.

use ashlar_control::message::{JobKind, JobMode, Shutdown};

use super::fixture::any;
use super::state::{Exit, Sub};
use super::*;
use crate::notify;

mod follow;

struct Play {
    core: Core,
    pids: u32,
    time: u64,
    lines: Vec<String>,
}

impl Play {
    fn new(units: &[&str]) -> Self {
        let (core, complaints) = Core::new(units.iter().map(|line| any(line)).collect(), 1);
        assert!(complaints.is_empty(), "{complaints:?}");
        Self { core, pids: 100, time: 1_000_000, lines: Vec::new() }
    }

    fn unit(&self, name: &str) -> UnitId {
        self.core.graph.find(name).unwrap()
    }

    fn main(&self, name: &str) -> u32 {
        self.core.run(self.unit(name)).main
    }

    fn drain(&mut self) {
        loop {
            let actions = self.core.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.carry_out(action);
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        let name = |unit: UnitId| self.core.graph.name(unit).to_owned();
        let line = match action {
            Action::Check { unit } => {
                let holds = self.core.graph[unit].unit.conditions.iter().all(|condition| condition.parameter != "/no");
                return self.core.condition(unit, holds, true);
            }
            Action::FindMain { unit } => {
                self.pids += 1;
                let line = format!("find {}", name(unit));
                self.core.found_main(unit, Some(self.pids), false);
                line
            }
            Action::Spawn { unit, role } => {
                self.pids += 1;
                let line = format!("spawn {} {role:?}", name(unit));
                self.core.spawned(unit, role, self.pids, false);
                line
            }
            Action::Gather { unit } => format!("gather {}", name(unit)),
            Action::Open { unit } => {
                let line = format!("open {}", name(unit));
                self.core.sockets_opened(unit, Ok(()));
                line
            }
            Action::Signal { unit, signal } => format!("signal {} {signal}", name(unit)),
            Action::Terminate { unit, signal, all } => format!("terminate {} {signal} {all}", name(unit)),
            Action::Kill { unit } => format!("kill {}", name(unit)),
            Action::KillProcess { pid } => format!("kill {pid}"),
            Action::Release { unit, stays } => format!("release {} {stays}", name(unit)),
            Action::Close { unit } => format!("close {}", name(unit)),
            Action::Listen { unit, on } => format!("listen {} {on}", name(unit)),
            Action::ReadStamp { unit } => return self.core.stamp_read(unit, None),
            Action::WriteStamp { unit } => format!("stamp {}", name(unit)),
            Action::Log { .. } | Action::JobNew { .. } => return,
            Action::JobRemoved { job, result } => format!("{} {} {}", job.kind.name(), name(job.unit), result.name()),
            Action::StartupFinished => "started up".into(),
            Action::Power(how) => format!("{how:?}"),
            Action::Down { unit, how, urgency } => format!("down {} {how:?} {urgency:?}", name(unit)),
        };
        self.lines.push(line);
    }

    /// Plays one word: `start X`, `stop X`, `restart X`, `reload X`, `ready X`, `executed X`, `exit X CODE`,
    /// `die X SIGNAL`, `empty X`, `traffic X`, `wait µs`, `say X FIELDS`, `oom X`, `fail X`, `down`, `control X CODE`.
    fn word(&mut self, word: &str) {
        let mut parts = word.splitn(3, ' ');
        let (verb, name, rest) =
            (parts.next().unwrap(), parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        self.time += 1000;
        if verb == "wait" {
            self.time += name.parse::<u64>().unwrap();
        }
        self.core.set_now(Now { monotonic: self.time, real: self.time });
        let number = || rest.parse::<i32>().unwrap();
        match verb {
            "start" => self.job(name, JobKind::Start),
            "stop" => self.job(name, JobKind::Stop),
            "restart" => self.job(name, JobKind::Restart),
            "try-restart" => self.job(name, JobKind::TryRestart),
            "reload" => self.job(name, JobKind::Reload),
            "ready" => self.say(name, "READY=1"),
            "say" => self.say(name, &rest.replace(' ', "\n")),
            "executed" => self.core.executed(self.unit(name)),
            "exit" => assert!(self.core.exited(self.main(name), Exit::Code(number()))),
            "die" => assert!(self.core.exited(self.main(name), Exit::Signal(number()))),
            "control" => {
                let run = self.core.run(self.unit(name));
                let pid = if run.control == 0 { run.health } else { run.control };
                assert!(self.core.exited(pid, Exit::Code(number())));
            }
            "empty" => self.core.emptied(self.unit(name)),
            "traffic" => self.core.traffic(self.unit(name)),
            "oom" => self.core.out_of_memory(self.unit(name)),
            "fail" => self.core.not_started(self.unit(name), Role::Main, "mount proc: no such file"),
            "down" => assert!(self.core.go_down(Shutdown::Reboot).is_ok()),
            "wait" => self.core.tick(),
            _ => panic!("{word}"),
        }
        self.drain();
    }

    fn job(&mut self, name: &str, kind: JobKind) {
        if let Err(refusal) = self.core.enqueue(name, kind, JobMode::Replace) {
            self.lines.push(refusal.to_string());
        }
    }

    fn say(&mut self, name: &str, text: &str) {
        let notification = notify::parse(text.as_bytes()).unwrap();
        let unit = self.unit(name);
        self.core.notify(unit, &notification, notification.main_pid);
    }

    fn states(&self, names: &[&str]) -> String {
        let sub = |name: &&str| format!("{name} {}", self.core.run(self.unit(name)).sub.name());
        names.iter().map(sub).collect::<Vec<_>>().join(", ")
    }
}

/// Plays `words` over `units`; expects the lines of all that happened, and each unit's last state.
fn check(units: &[&str], words: &[&str], expect: &[&str], states: &str) {
    let mut play = Play::new(units);
    for word in words {
        play.word(word);
    }
    assert_eq!(play.lines, expect, "{words:?}");
    let names: Vec<&str> = units.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(play.states(&names), states, "{words:?}");
}

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
fn requirements_and_order() {
    check(
        &["t wants=a.service", "a.service requires=b.service after=b.service type=notify", "b.service type=notify"],
        &["start t", "ready b", "ready a"],
        &[
            "spawn b.service Main",
            "start b.service done",
            "spawn a.service Main",
            "start a.service done",
            "start t done",
            "started up",
        ],
        "t active, a.service running, b.service running",
    );
    check(
        &["t wants=a.service", "a.service requires=b.service after=b.service", "b.service type=notify"],
        &["start t", "exit b 1", "empty b"],
        &[
            "spawn b.service Main",
            "terminate b.service 15 true",
            "release b.service true",
            "start b.service failed",
            "start a.service dependency",
            "start t done",
            "started up",
        ],
        "t active, a.service dead, b.service failed",
    );
    check(
        &["a.service requires=ghost.service after=ghost.service"],
        &["start a"],
        &["start ghost.service invalid", "start a.service dependency", "started up"],
        "a.service dead",
    );
}

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

#[test]
fn what_is_bound_goes_down_with_it() {
    check(
        &["a.service type=simple binds-to=b.service after=b.service", "b.service type=simple"],
        &["start a", "exit b 1", "empty b", "exit a 0", "empty a"],
        &[
            "spawn b.service Main",
            "start b.service done",
            "spawn a.service Main",
            "start a.service done",
            "started up",
            "terminate b.service 15 true",
            "release b.service true",
            "terminate a.service 15 true",
            "terminate a.service 15 true",
            "release a.service true",
            "stop a.service done",
        ],
        "a.service dead, b.service failed",
    );
}

#[test]
fn restarts_stop_first_and_take_dependents_along() {
    check(
        &["a.service type=simple requires=b.service after=b.service", "b.service type=simple"],
        &["start a", "restart b", "exit a 0", "empty a", "exit b 0", "empty b"],
        &[
            "spawn b.service Main",
            "start b.service done",
            "spawn a.service Main",
            "start a.service done",
            "started up",
            "terminate a.service 15 true",
            "terminate a.service 15 true",
            "release a.service true",
            "terminate b.service 15 true",
            "terminate b.service 15 true",
            "release b.service true",
            "spawn b.service Main",
            "start b.service done",
            "spawn a.service Main",
            "start a.service done",
        ],
        "a.service running, b.service running",
    );
    check(&["a.service type=simple"], &["try-restart a"], &["nop a.service done", "started up"], "a.service dead");
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
fn going_down_stops_all_in_reverse_and_is_not_taken_back() {
    check(
        &[
            "reboot.target requires=shutdown.target after=shutdown.target",
            "shutdown.target",
            "a.service type=simple after=b.service conflicts=shutdown.target before=shutdown.target",
            "b.service type=simple conflicts=shutdown.target before=shutdown.target",
        ],
        &["start b", "start a", "down", "start a", "exit a 0", "empty a", "exit b 0", "empty b"],
        &[
            "spawn b.service Main",
            "start b.service done",
            "started up",
            "spawn a.service Main",
            "start a.service done",
            "terminate a.service 15 true",
            "transaction is destructive: a start of reboot.target is queued",
            "terminate a.service 15 true",
            "release a.service true",
            "stop a.service done",
            "terminate b.service 15 true",
            "terminate b.service 15 true",
            "release b.service true",
            "stop b.service done",
            "start shutdown.target done",
            "Reboot",
            "start reboot.target done",
        ],
        "reboot.target active, shutdown.target active, a.service dead, b.service dead",
    );
}

/// What the snapshot keeps is enough to go on: every word is followed by a change to a new core.
#[test]
fn a_core_that_is_rebuilt_after_every_word_does_the_same() {
    let units = [
        "t wants=a.service",
        "a.service requires=b.service after=b.service type=notify",
        "b.service pre=1 type=notify",
    ];
    let words =
        ["start t", "control b 0", "ready b", "ready a", "restart b", "exit a 0", "empty a", "exit b 0", "empty b"];
    let mut plain = Play::new(&units);
    let mut reborn = Play::new(&units);
    for word in words {
        plain.word(word);
        reborn.word(word);
        let (mut core, _) = Core::new(units.iter().map(|line| any(line)).collect(), 1);
        core.set_now(reborn.core.now());
        for id in reborn.core.graph.ids() {
            core.restore_run(id, reborn.core.run(id).clone());
        }
        for job in reborn.core.jobs.iter() {
            core.restore_job(job.clone());
        }
        core.resume(reborn.core.is_started_up());
        reborn.core = core;
        reborn.drain();
        let names: Vec<&str> = units.iter().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(plain.states(&names), reborn.states(&names), "{word}");
    }
    assert_eq!(plain.lines, reborn.lines);
}
