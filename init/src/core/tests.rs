//! The core as a whole, played like a piece: words in, the words that come out.
//!
//! A [`Play`] has a core and stands in for the outside: every spawn gets the next process number, sockets open,
//! conditions hold unless their path is `/no`. What a test sees is one line per action or end of a job.

use ashlar_control::message::{JobKind, JobMode, Shutdown};

use super::fixture::any;
use super::state::{Exit, Sub};
use super::*;
use crate::notify;

mod clean;
mod ends;
mod follow;
mod order;
mod stages;
mod triggers;

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
    /// `die X SIGNAL`, `empty X`, `traffic X`, `wait µs`, `say X FIELDS`, `oom X`, `fail X`, `down`, `control X CODE`,
    /// `clean X`.
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
            "clean" => {
                self.pids += 1;
                assert!(self.core.may_be_cleaned(self.unit(name)));
                self.core.cleaning(self.unit(name), self.pids);
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
