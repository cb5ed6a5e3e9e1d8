//! Calls on the control socket: who may call what, and the answers.

use ashlar_control::message::{self, Call, JobKind, Method, Refusal, Reply, Shutdown, Whom};
use ashlar_control::{DEFINITION, INTERFACE};
use ashlar_sys::{epoll, signal, socket};
use serde_json::{Value, json};

use super::Machine;
use super::status::Detail;
use crate::accounts::{Accounts, MANAGERS};
use crate::builtin;
use crate::cgroup;
use crate::control::Waiting;
use crate::core::UnitId;
use crate::core::job::{Job, JobResult};
use crate::event::Event;
use crate::log;

const VARLINK: &str = "org.varlink.service";
const VARLINK_DEFINITION: &str = "# What every Varlink service has.
interface org.varlink.service
method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)
method GetInterfaceDescription(interface: string) -> (description: string)
error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
";

/// What an answered call leaves behind.
pub(super) enum Answer {
    Now(Reply),
    Later(Waiting),
}

/// Who calls, as a user of the machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub uid: u32,
    pub manages: bool,
}

impl Machine {
    pub(super) fn take_callers(&mut self) {
        while let Ok(Some(fd)) = socket::accept(&self.control) {
            let Some(id) = self.connections.add(fd) else { continue };
            self.watch_caller(id, epoll::READ);
            self.save_caller(id, false);
        }
    }

    pub(super) fn watch_caller(&mut self, id: u32, events: u32) {
        let Some(connection) = self.connections.get(id) else { return };
        let token = Event::Caller(id).token();
        if self.epoll.modify(&connection.fd, token, events).is_err() {
            let _ = self.epoll.add(&connection.fd, token, events);
        }
    }

    pub(super) fn caller_ready(&mut self, id: u32, state: u32) {
        let Some(connection) = self.connections.get(id) else { return };
        if state & epoll::READ != 0 && !connection.read() || state & epoll::HANGUP != 0 {
            return self.drop_caller(id);
        }
        self.talking.insert(id);
        self.serve(id);
    }

    /// Answers what a caller asks, one call after the other.
    fn serve(&mut self, id: u32) {
        while let Some(received) = self.connections.get(id).and_then(|connection| connection.next_call()) {
            match received {
                Ok(call) => self.answer(id, &call),
                Err(reason) => self.refuse(id, &Refusal::Invalid { reason: format!("this is no call: {reason}") }),
            }
            self.carry_out();
        }
    }

    fn drop_caller(&mut self, id: u32) {
        self.talking.remove(&id);
        self.let_go(id);
        if let Some(connection) = self.connections.remove(id) {
            self.snapshot.remove(&format!("c:{id}"));
            if let Some(Waiting::Session(session)) = connection.waiting {
                self.hang_up(session);
            }
        }
    }

    /// Writes queued replies; a caller that does not take them is asked again when it does.
    pub(super) fn flush(&mut self) {
        // Who watches hears of a change before its cause is answered: an answer is looked at in its light.
        let mut talking: Vec<u32> = std::mem::take(&mut self.talking).into_iter().collect();
        talking.sort_by_key(|id| self.connections.get(*id).is_none_or(|c| c.waiting != Some(Waiting::Watch)));
        for id in talking {
            let Some(connection) = self.connections.get(id) else { continue };
            let behind_before = connection.has_output();
            if !connection.write() {
                self.drop_caller(id);
                continue;
            }
            let behind = connection.has_output();
            if behind {
                self.watch_caller(id, epoll::READ | epoll::WRITE);
            } else if behind_before {
                self.watch_caller(id, epoll::READ);
            }
        }
    }

    fn answer(&mut self, id: u32, call: &Call) {
        let (interface, name) = call.method.rsplit_once('.').unwrap_or(("", &call.method));
        if interface == VARLINK {
            return self.answer_varlink(id, name, &call.parameters);
        }
        if interface != INTERFACE {
            return self.refuse_as(id, "InterfaceNotFound", &json!({ "interface": interface }));
        }
        let parameters = if call.parameters.is_null() { json!({}) } else { call.parameters.clone() };
        let method = serde_json::from_value::<Method>(json!({ name: parameters }));
        let result = match method {
            Ok(method) => self.carry(id, method),
            Err(error) if error.to_string().starts_with("unknown variant") => {
                return self.refuse_as(id, "MethodNotFound", &json!({ "method": call.method }));
            }
            Err(error) => return self.refuse_as(id, "InvalidParameter", &json!({ "parameter": error.to_string() })),
        };
        match result {
            Ok(Answer::Now(reply)) => self.reply(id, &reply, false),
            Ok(Answer::Later(waiting)) => self.wait_for(id, waiting),
            Err(refusal) => self.refuse(id, &refusal),
        }
    }

    fn answer_varlink(&mut self, id: u32, name: &str, parameters: &Value) {
        let interface = parameters.get("interface").and_then(Value::as_str).unwrap_or_default();
        let value = match (name, interface) {
            ("GetInfo", _) => json!({
                "vendor": "Ashlar",
                "product": "Ashlar init",
                "version": self.facts.version,
                "url": "",
                "interfaces": [VARLINK, INTERFACE],
            }),
            ("GetInterfaceDescription", INTERFACE) => json!({ "description": DEFINITION }),
            ("GetInterfaceDescription", VARLINK) => json!({ "description": VARLINK_DEFINITION }),
            ("GetInterfaceDescription", _) => {
                return self.refuse_as(id, "InterfaceNotFound", &json!({ "interface": interface }));
            }
            _ => return self.refuse_as(id, "MethodNotFound", &json!({ "method": format!("{VARLINK}.{name}") })),
        };
        if let Some(connection) = self.connections.get(id) {
            connection.reply_value(&value);
        }
    }

    fn reply(&mut self, id: u32, reply: &Reply, continues: bool) {
        if let Some(connection) = self.connections.get(id) {
            connection.reply(reply, continues);
            self.talking.insert(id);
        }
    }

    fn refuse(&mut self, id: u32, refusal: &Refusal) {
        if let Some(connection) = self.connections.get(id) {
            connection.refuse(refusal);
            self.talking.insert(id);
        }
    }

    fn refuse_as(&mut self, id: u32, error: &str, parameters: &Value) {
        if let Some(connection) = self.connections.get(id) {
            connection.refuse_as(&format!("{VARLINK}.{error}"), parameters);
            self.talking.insert(id);
        }
    }

    fn wait_for(&mut self, id: u32, waiting: Waiting) {
        let Some(connection) = self.connections.get(id) else { return };
        connection.waiting = Some(waiting);
        self.save_caller(id, false);
    }

    fn save_caller(&mut self, id: u32, whole: bool) {
        let Some(connection) = self.connections.get(id) else { return };
        let kept = connection.kept(whole);
        crate::survival::keep(kept.fd);
        self.snapshot.put(&format!("c:{id}"), &kept);
    }

    /// Before a planned end of this instance: the next one goes on in the middle of every call.
    pub(super) fn keep_callers(&mut self) {
        for id in self.connections.ids() {
            self.save_caller(id, true);
        }
        self.save();
    }

    /// The last answer to one that waited; then its next calls.
    pub(super) fn end_wait(&mut self, id: u32, answer: Result<&Reply, &Refusal>) {
        if let Some(connection) = self.connections.get(id) {
            connection.waiting = None;
        }
        self.save_caller(id, false);
        match answer {
            Ok(reply) => self.reply(id, reply, false),
            Err(refusal) => self.refuse(id, refusal),
        }
        self.serve(id);
    }

    fn carry(&mut self, id: u32, method: Method) -> Result<Answer, Refusal> {
        let reads = matches!(
            method,
            Method::GetMachine {}
                | Method::ListUnits {}
                | Method::GetUnit { .. }
                | Method::LoadUnit { .. }
                | Method::ListUnitFiles {}
                | Method::GetUnitFile { .. }
                | Method::GetSettings { .. }
                | Method::GetStore { .. }
                | Method::GetUnitByProcess { .. }
                | Method::ListJobs {}
                | Method::Watch {}
                | Method::Login { host: false, .. }
        );
        let caller = self.caller(id);
        if !reads && !caller.manages {
            return Err(Refusal::PermissionDenied {
                need: format!("this is for root and members of group {MANAGERS}"),
            });
        }
        Ok(Answer::Now(match method {
            Method::GetMachine {} => Reply::Machine { machine: Box::new(self.machine_status()) },
            Method::ListUnits {} => Reply::Units { units: self.units_status() },
            Method::GetUnit { name } => {
                let unit = self.unit_named(&name)?;
                Reply::Unit { unit: Box::new(self.unit_status(unit, Detail::All)) }
            }
            Method::LoadUnit { name } => {
                self.load_named(&name);
                let unit = self.unit_named(&name)?;
                Reply::Unit { unit: Box::new(self.unit_status(unit, Detail::All)) }
            }
            Method::ListUnitFiles {} => self.list_unit_files(),
            Method::GetUnitFile { name } => self.get_unit_file(&name),
            Method::ChangeUnitFiles { change, units, runtime, force } => {
                self.change_unit_files(&change, &units, runtime, force)?
            }
            Method::Reload {} => return self.reload(),
            Method::BusNameTaken { name } => {
                self.core.bus_name_taken(&name);
                Reply::Done {}
            }
            Method::GetSettings { name } => {
                let unit = self.unit_named(&name)?;
                Reply::Settings { settings: Box::new(self.core.graph[unit].unit.clone()) }
            }
            Method::GetStore { name } => {
                let unit = self.unit_named(&name)?;
                let most = self.core.service(unit).map_or(0, |service| service.supervision.fd_store);
                let stored = self.stores.get(&unit).into_iter().flatten();
                Reply::Store { most, descriptors: stored.filter_map(|stored| stored.told().ok()).collect() }
            }
            Method::GetUnitByProcess { pid } => {
                let unit = self.unit_of_process(pid).ok_or(Refusal::NoSuchProcess { pid })?;
                Reply::Unit { unit: Box::new(self.unit_status(unit, Detail::All)) }
            }
            Method::Identify { pid, uid } => {
                let caller = self.stand_for(pid, uid);
                Reply::User { uid: caller.uid, manages: caller.manages }
            }
            Method::ListJobs {} => {
                Reply::Jobs { jobs: self.core.jobs.iter().map(|job| self.job_message(job)).collect() }
            }
            Method::Enqueue { unit, job, mode, wait } => return self.enqueue(&unit, job, mode, wait),
            Method::StartTransient { units, mode, processes } => {
                return self.start_transient(id, units, mode, processes);
            }
            Method::SetResources { unit, resources, settings, runtime } => {
                self.set_resources(&unit, &resources)?;
                self.keep_settings(&unit, &settings, runtime)?
            }
            Method::Attach { unit, subgroup, processes } => self.attach(&unit, &subgroup, &processes)?,
            Method::Freeze { unit, frozen } => self.freeze(&unit, frozen)?,
            Method::Bind { unit, mount } => return self.bind(&unit, &mount),
            Method::Clean { unit, what } => self.clean(&unit, &what)?,
            Method::Abandon { unit } => self.abandon(&unit)?,
            Method::SetEnvironment { unset, set } => self.set_environment(&unset, set),
            Method::Hold { unit, held } => self.hold(id, &unit, held)?,
            Method::CancelJob { id } => {
                self.core.cancel(id)?;
                Reply::Done {}
            }
            Method::Kill { unit, signal, whom } => self.send_signal(&unit, signal, whom)?,
            Method::ResetFailed { unit } => self.reset_failed(&unit)?,
            Method::Login { host, command, environment, tty } => {
                return self.login(id, caller, host, &command, &environment, tty);
            }
            Method::Shutdown { how } => self.shut_down(id, how)?,
            Method::SetLogLevel { level } => self.set_log_level(&level)?,
            Method::Reexecute {} => {
                self.reexecute = true;
                Reply::Done {}
            }
            Method::GoLive { device, root } => self.go_live(&device, &root)?,
            Method::Watch {} => return Ok(Answer::Later(Waiting::Watch)),
        }))
    }

    /// The caller as a user of the machine. Inside a private user namespace ids are shifted: a unit that may start
    /// logins, and what runs in the console, speak for the machine's users.
    fn caller(&mut self, id: u32) -> Caller {
        let Some(peer) = self.connections.get(id).map(|connection| connection.peer) else {
            return Caller { uid: u32::MAX, manages: false };
        };
        let unit = self.unit_of_process(peer.pid);
        if unit.and_then(|unit| self.core.service(unit)).is_some_and(|service| service.manages) {
            return Caller { uid: peer.uid, manages: true };
        }
        self.stand_for(peer.pid, peer.uid)
    }

    fn stand_for(&self, pid: u32, uid: u32) -> Caller {
        let uid = self.unshift(pid, uid).unwrap_or(uid);
        Caller { uid, manages: Accounts::read().manages(uid) }
    }

    fn unshift(&self, pid: u32, uid: u32) -> Option<u32> {
        let group = cgroup::of(pid)?;
        let named = cgroup::unit_of(&group)?;
        let unit = if group.starts_with("/user.slice/") { builtin::CONSOLE } else { named };
        let unit = self.core.graph.find(unit)?;
        let service = self.core.service(unit)?;
        let speaks = service.login || self.core.graph.name(unit) == builtin::CONSOLE;
        let inner = uid.checked_sub(service.first_id?)?;
        (speaks && inner < 65536).then_some(inner)
    }

    pub(super) fn unit_named(&self, name: &str) -> Result<UnitId, Refusal> {
        self.core.graph.find(name).ok_or_else(|| Refusal::NoSuchUnit {
            unit: name.to_owned(),
            nearest: self.core.graph.nearest(name).unwrap_or_default().to_owned(),
        })
    }

    pub(super) fn enqueue(
        &mut self,
        unit: &str,
        kind: JobKind,
        mode: message::JobMode,
        wait: bool,
    ) -> Result<Answer, Refusal> {
        self.load_named(unit);
        let named = self.unit_named(unit)?;
        // Going down is not a start like others: nothing takes it back.
        let how = crate::core::way_of(self.core.graph.name(named));
        let id = match how.filter(|_| kind == JobKind::Start) {
            Some(how) => self.queue_down(how)?,
            None => self.core.enqueue(unit, kind, mode)?,
        };
        self.going_down = self.going_down.or(how.filter(|_| kind == JobKind::Start));
        let name = self.name(named);
        let kind = match kind {
            JobKind::Start => "start",
            JobKind::Stop => "stop",
            JobKind::Restart => "restart",
            JobKind::TryRestart => "try-restart",
            JobKind::Reload => "reload",
            JobKind::ReloadOrRestart => "reload-or-restart",
            JobKind::TryReloadOrRestart => "try-reload-or-restart",
        };
        if wait && self.core.jobs.get(id).is_some() {
            return Ok(Answer::Later(Waiting::Job(id)));
        }
        let state = if self.core.jobs.get(id).is_some_and(|job| job.running) { "running" } else { "waiting" };
        let job = ashlar_control::status::Job { id, unit: name, kind: kind.into(), state: state.into() };
        // A job that is over already: what became of it is seen by its unit.
        let over = self.core.jobs.get(id).is_none();
        let failed = self.core.active(named) == crate::core::state::ActiveState::Failed && kind != "stop";
        let result = over.then(|| if failed { "failed" } else { "done" }.to_owned());
        let reason = if failed { self.core.run(named).reason.clone() } else { String::new() };
        Ok(Answer::Now(Reply::Job { job, result, reason }))
    }

    /// A job is over: those who wait for it hear of it.
    pub(super) fn answer_job(&mut self, job: &Job, result: JobResult) {
        let reason = if result == JobResult::Done { String::new() } else { self.core.run(job.unit).reason.clone() };
        let reply = Reply::Job { job: self.job_message(job), result: Some(result.name().into()), reason };
        for id in self.connections.waiting_for(Waiting::Job(job.id)) {
            self.end_wait(id, Ok(&reply));
        }
    }

    /// Something happened: those who watch hear of it at the end of the turn, behind the new states of units.
    pub(super) fn tell(&mut self, event: message::Event) {
        self.news.push(event);
    }

    /// Tells those who watch of `changes`, and then of what happened.
    pub(super) fn tell_all(&mut self, changes: Vec<message::Event>) {
        let news = std::mem::take(&mut self.news);
        let (new, news): (Vec<_>, Vec<_>) =
            news.into_iter().partition(|event| matches!(event, message::Event::UnitNew(_)));
        let watchers = self.connections.waiting_for(Waiting::Watch);
        for event in new.into_iter().chain(changes).chain(news) {
            for id in &watchers {
                self.reply(*id, &Reply::Event { event: event.clone() }, true);
            }
        }
    }

    fn send_signal(&mut self, unit: &str, number: i32, whom: Whom) -> Result<Reply, Refusal> {
        let unit = self.unit_named(unit)?;
        if !(1..=64).contains(&number) {
            return Err(Refusal::Invalid { reason: format!("{number} is no signal") });
        }
        let run = self.core.run(unit);
        let pids: Vec<u32> = match whom {
            Whom::Main => vec![run.main],
            Whom::Control => vec![run.control],
            Whom::All => cgroup::processes(&self.group_of(unit)),
        };
        let pids: Vec<u32> = pids.into_iter().filter(|pid| *pid != 0).collect();
        if pids.is_empty() {
            return Err(Refusal::Failed { reason: format!("{} has no process", self.name(unit)) });
        }
        for pid in pids {
            let _ = signal::send(pid, number);
        }
        Ok(Reply::Done {})
    }

    fn reset_failed(&mut self, unit: &str) -> Result<Reply, Refusal> {
        let units: Vec<UnitId> = match unit {
            "" => self.core.graph.ids().collect(),
            name => vec![self.unit_named(name)?],
        };
        for unit in units {
            self.core.reset_failed(unit);
        }
        Ok(Reply::Done {})
    }

    fn set_log_level(&mut self, name: &str) -> Result<Reply, Refusal> {
        let level = log::LEVELS.iter().position(|known| *known == name);
        let Some(level) = level.and_then(|level| u8::try_from(level).ok()) else {
            return Err(Refusal::Invalid { reason: format!("Invalid log level '{name}'") });
        };
        self.log.level = level;
        self.save_machine();
        Ok(Reply::Done {})
    }

    fn shut_down(&mut self, id: u32, how: Shutdown) -> Result<Reply, Refusal> {
        let uid = self.caller(id).uid;
        if let Err(refusal) = self.queue_down(how) {
            self.log.say(log::ERROR, None, &format!("cannot go down: {refusal}"));
            return Err(refusal);
        }
        self.begin_down(how, &format!("user {uid}"));
        Ok(Reply::Done {})
    }
}
