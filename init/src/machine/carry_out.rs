//! What the core asks for, done.

use std::fs;
use std::path::Path;

use ashlar_config::unit::{Body, Exec};
use ashlar_control::message::{self, JobKind, JobMode};
use ashlar_sys::{epoll, signal};

use super::launch::Failed;
use super::{Machine, ended};
use crate::accounts::Accounts;
use crate::cgroup;
use crate::condition;
use crate::core::job::{Job, JobResult, Kind};
use crate::core::{Action, Role, UnitId};
use crate::credentials;
use crate::event::Event;
use crate::exec;
use crate::leftovers;
use crate::log;
use crate::ports;
use crate::small_file;
use crate::{builtin, identity, sequence};

/// Symbolic links by which journald finds a unit's invocation.
const INVOCATIONS: &str = "/run/systemd/units";
/// Kernel parameters of the machine's configuration, as provision left them.
const SYSCTL: &str = "/run/ashlar/sysctl.conf";

/// Where journald looks for the number of a unit's run.
pub(super) fn invocation_link(unit: &str) -> String {
    format!("{INVOCATIONS}/invocation:{unit}")
}

impl Machine {
    /// Does everything that the core wants, and what follows from that.
    pub(super) fn carry_out(&mut self) {
        loop {
            let actions = self.core.take_actions();
            if actions.is_empty() {
                return;
            }
            for action in actions {
                self.act(action);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Check { unit } => {
                let settings = &self.core.graph[unit].unit;
                let (holds, asserted) = (condition::hold(&settings.conditions), condition::hold(&settings.asserts));
                if let Some(unmet) = condition::first_unmet(&settings.conditions).filter(|_| !holds) {
                    let name = self.name(unit);
                    self.log.say(log::INFO, Some(&name), &format!("skipped, unmet condition check {unmet}"));
                }
                self.core.condition(unit, holds, asserted);
            }
            Action::FindMain { unit } => self.find_main(unit),
            Action::ReadStamp { unit } => {
                let fired = read_stamp(self.core.graph.name(unit));
                self.core.stamp_read(unit, fired);
            }
            Action::WriteStamp { unit } => write_stamp(self.core.graph.name(unit)),
            Action::Spawn { unit, role } => self.spawn(unit, role),
            Action::Signal { unit, signal } => self.signal_main(unit, signal),
            Action::Terminate { unit, signal, all } => self.terminate(unit, signal, all),
            Action::Kill { unit } => self.kill_group(unit),
            Action::KillProcess { pid } => drop(signal::send(pid, 9)),
            Action::Release { unit, stays } => self.release(unit, stays),
            Action::Open { unit } => self.open_ports(unit),
            Action::Close { unit } => self.close_ports(unit),
            Action::Listen { unit, on } => self.listen(unit, on),
            Action::Log { level, unit, text } => {
                let name = unit.map(|unit| self.name(unit));
                self.log.say(level, name.as_deref(), &text);
            }
            Action::Gather { unit } => self.gather(unit),
            Action::JobNew { job } => self.tell(message::Event::JobNew(self.job_message(&job))),
            Action::JobRemoved { job, result } => self.job_ended(&job, result),
            Action::StartupFinished => self.startup_finished(),
            Action::Power(how) => self.power(how),
            Action::Down { unit, how, urgency } => {
                let name = self.name(unit);
                self.end_for(how, urgency, &name);
            }
        }
    }

    fn spawn(&mut self, unit: UnitId, role: Role) {
        match self.launch(unit, role) {
            Ok(started) => {
                if role == Role::Main {
                    self.link_invocation(unit);
                }
                self.core.spawned(unit, role, started.pid, started.is_init);
                self.await_setup(unit, role, started);
            }
            Err(Failed { reason, code: None }) => self.core.not_started(unit, role, &reason),
            Err(Failed { reason, code: Some(code) }) => {
                // As if it had been forked: it would have got no further.
                self.core.spawned(unit, role, 0, false);
                self.core.not_executed(unit, role, 0, code, &reason);
            }
        }
    }

    /// The process that a first one left behind: the one that it wrote down, or the only one that there is.
    fn find_main(&mut self, unit: UnitId) {
        let group = self.group_of(unit);
        let there = cgroup::processes(&group);
        let file = self.core.service(unit).and_then(|service| service.pid_file.clone());
        let found = match &file {
            Some(path) => {
                let text = small_file::read(Path::new(path)).unwrap_or_default();
                text.trim().parse().ok().filter(|pid| there.contains(pid))
            }
            None => (there.len() == 1).then(|| there[0]),
        };
        if let Some(pid) = found.filter(|pid| !Self::is_child(*pid)) {
            self.watch_foreign(pid);
        }
        if there.is_empty() && file.is_some() {
            return self.core.found_nobody(unit);
        }
        self.core.found_main(unit, found, file.is_some());
        self.report_if_empty(unit);
    }

    pub(super) fn link_invocation(&mut self, unit: UnitId) {
        let link = invocation_link(self.core.graph.name(unit));
        let _ = fs::remove_file(&link);
        let _ = std::os::unix::fs::symlink(&self.core.run(unit).invocation, link);
    }

    /// A container's first process does not see a signal that it does not handle: it is killed instead.
    fn signal_main(&mut self, unit: UnitId, signal: i32) {
        let run = self.core.run(unit);
        let (pid, is_init) = (run.main, run.main_is_init);
        const CONTINUE: i32 = 18;
        const HANGUP: i32 = 1;
        if pid == 0 {
            return;
        }
        let deaf = is_init && ![9, CONTINUE, HANGUP].contains(&signal) && !ended::handles(pid, signal);
        let _ = signal::send(pid, if deaf { 9 } else { signal });
    }

    fn terminate(&mut self, unit: UnitId, signal: i32, all: bool) {
        let group = self.group_of(unit);
        let main = self.core.run(unit).main;
        self.signal_main(unit, signal);
        if all || main == 0 {
            for pid in cgroup::processes(&group).into_iter().filter(|pid| *pid != main) {
                let _ = signal::send(pid, signal);
            }
        }
        self.report_if_empty(unit);
    }

    fn kill_group(&mut self, unit: UnitId) {
        let group = self.group_of(unit);
        if cgroup::kill(&group).is_err() {
            for pid in cgroup::processes(&group) {
                let _ = signal::send(pid, 9);
            }
        }
        self.report_if_empty(unit);
    }

    fn release(&mut self, unit: UnitId, stays: bool) {
        self.remove_group(unit);
        self.served.remove(&unit);
        let Some(service) = self.core.service(unit) else { return };
        let exec = service.host.clone();
        let runtime = if service.runtime_directory_preserve { Vec::new() } else { service.runtime_directory.clone() };
        let keeps_store = service.supervision.fd_store_preserve;
        for name in runtime.iter().filter(|_| stays) {
            let _ = fs::remove_dir_all(format!("/run/{name}"));
        }
        // A restart that somebody asked for is no stop: the start that follows is queued already.
        let restarting = self.core.jobs.of(unit).is_some_and(|job| job.kind == Kind::Restart);
        if let Some(exec) = exec {
            if exec.remove_ipc || exec.dynamic_user {
                self.remove_leftovers(unit, &exec);
            }
            if !exec.credentials.is_empty() {
                credentials::take_back(self.core.graph.name(unit));
            }
            super::host::remove_folders(&exec, !stays || restarting);
        }
        if stays && !restarting && !keeps_store {
            self.stores.remove(&unit);
            self.save_store(unit);
        }
    }

    /// Removes what a unit's user left in memory, unless another unit of his runs.
    fn remove_leftovers(&self, unit: UnitId, exec: &Exec) {
        let accounts = Accounts::read();
        let user_of = |unit: UnitId, exec: &Exec| exec::identity(self.core.graph.name(unit), exec, &accounts).ok();
        let Some(own) = user_of(unit, exec) else { return };
        let shares = |other: &UnitId| {
            let exec = self.core.service(*other).and_then(|service| service.host.as_deref());
            exec.and_then(|exec| user_of(*other, exec)).is_some_and(|user| user.uid == own.uid)
        };
        let runs = |other: &UnitId| *other != unit && !self.core.active(*other).is_down();
        if !self.core.graph.ids().filter(runs).any(|other| shares(&other)) {
            leftovers::remove(own.uid);
        }
    }

    fn open_ports(&mut self, unit: UnitId) {
        let Body::Socket { sockets, .. } = &self.core.graph[unit].unit.body else { return self.open_paths(unit) };
        let opened = ports::open(self.core.graph.name(unit), sockets, &Accounts::read());
        let result = match opened {
            Ok(ports) => {
                self.ports.insert(unit, ports);
                self.save_ports(unit);
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        };
        self.core.sockets_opened(unit, result);
    }

    fn close_ports(&mut self, unit: UnitId) {
        self.unwatch_paths(unit);
        self.ports.remove(&unit);
        self.save_ports(unit);
        if let Body::Socket { sockets, .. } = &self.core.graph[unit].unit.body {
            ports::close(sockets);
        }
    }

    pub(super) fn listen(&mut self, unit: UnitId, on: bool) {
        if matches!(self.core.graph[unit].unit.body, Body::Path(_)) {
            return self.watch_paths(unit, on);
        }
        for (place, port) in self.ports.get(&unit).into_iter().flatten().enumerate() {
            let result = match on {
                true => self.epoll.add(&port.fd, Event::Traffic(unit.0, place as u16).token(), epoll::READ),
                false => self.epoll.remove(&port.fd),
            };
            // Already as wanted: nothing to do.
            drop(result);
        }
    }

    fn job_ended(&mut self, job: &Job, result: JobResult) {
        let name = self.name(job.unit);
        if result == JobResult::Done {
            self.note_done(job, &name);
        } else {
            let reason = self.reason(job.unit);
            let text = format!("{} job ended with {}{reason}", job.kind.name(), result.name());
            self.log.say(log::WARNING, Some(&name), &text);
        }
        match name.as_str() {
            builtin::GENERATORS if matches!(job.kind, Kind::Start | Kind::Restart) => self.generators_ended(),
            builtin::PROVISION if job.kind == Kind::Start => self.take_provisions_files(),
            _ => {}
        }
        let told = self.job_message(job);
        self.answer_job(job, result);
        self.trial_job_ended(&name, result);
        self.tell(message::Event::JobRemoved(told, result.name().to_owned()));
    }

    /// A job ended well: one line for the journal, and what our own programs' work means for PID 1.
    fn note_done(&mut self, job: &Job, name: &str) {
        let text = match job.kind {
            Kind::Start => "started",
            Kind::Stop => "stopped",
            Kind::Restart | Kind::Reload => "reloaded",
            Kind::Nop => return,
        };
        self.log.say(log::INFO, Some(name), text);
        let follow = match (job.kind, name) {
            (Kind::Start, builtin::STATE) => identity::settle().map(|()| self.open_unit_files()),
            (Kind::Start, builtin::PROVISION) => {
                identity::set_host_name().and_then(|()| sequence::apply_sysctl(Path::new(SYSCTL)))
            }
            _ => Ok(()),
        };
        if let Err(error) = follow {
            self.log.say(log::ERROR, Some(name), &format!("cannot take over what it made: {error}"));
        }
    }

    fn startup_finished(&mut self) {
        let now = self.core.now().monotonic;
        self.ready_after = now.saturating_sub(self.facts.boot_usec);
        self.announce();
        self.tell(message::Event::StartupFinished(now));
        self.watchdog.open();
        self.watchdog.pet(now);
        self.save_machine();
        if self.going_down.is_some() {
            return;
        }
        if let Err(refusal) = self.core.enqueue(builtin::READY, JobKind::Start, JobMode::Replace) {
            self.log.say(log::ERROR, None, &format!("cannot start {}: {refusal}", builtin::READY));
        }
    }

    /// The line that says that the machine is there.
    fn announce(&mut self) {
        let failed: Vec<String> = self.unwell().map(|unit| self.name(unit)).collect();
        let millis = self.ready_after / 1000;
        let slot = if self.facts.slot.is_empty() { "-" } else { &self.facts.slot };
        let mut line =
            format!("Ashlar {} ready in {}.{:03} s (slot {slot})", self.facts.version, millis / 1000, millis % 1000);
        if !failed.is_empty() {
            line += &format!("; not well: {}", failed.join(", "));
        }
        log::console(&line);
        self.log.say(log::NOTICE, None, &line);
    }
}

/// Where it is noted when persistent timers fired, as systemd does it.
const STAMPS: &str = "/var/lib/systemd/timers";

/// One that never fired begins to count now.
fn read_stamp(timer: &str) -> Option<u64> {
    if !Path::new(&format!("{STAMPS}/stamp-{timer}")).exists() {
        write_stamp(timer);
        return None;
    }
    let modified = fs::metadata(format!("{STAMPS}/stamp-{timer}")).and_then(|file| file.modified()).ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_micros()).ok()
}

fn write_stamp(timer: &str) {
    let _ = fs::create_dir_all(STAMPS);
    let _ = fs::write(format!("{STAMPS}/stamp-{timer}"), "");
}
