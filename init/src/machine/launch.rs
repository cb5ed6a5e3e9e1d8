//! Starting a unit's processes: its folders, its environment, where it writes, the descriptors that it gets.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::fchown;
use std::process::{self, Stdio};

use ashlar_config::unit::{Body, Command, Exec, NotifyAccess, Output, Service, ServiceType, Stream};
use ashlar_sys::{descriptor, epoll};

use super::session::Person;
use super::{Machine, NOTIFY, host, journal, prepare};
use crate::accounts::Accounts;
use crate::builtin::CONSOLE;
use crate::cgroup;
use crate::container::{self, Described, Request, Setup};
use crate::core::{Role, Stage, UnitId};
use crate::credentials;
use crate::event::Event;
use crate::exec;

/// A container that is being set up.
pub struct Starting {
    unit: UnitId,
    role: Role,
    setup: Setup,
}

/// A process that was forked.
pub(super) struct Started {
    pub pid: u32,
    pub is_init: bool,
    setup: Setup,
}

/// Why a process is not there, and the exit code that it has for that; none: there was no process at all.
pub(super) struct Failed {
    pub reason: String,
    pub code: Option<i32>,
}

impl From<String> for Failed {
    fn from(reason: String) -> Self {
        Self { reason, code: None }
    }
}

impl From<&str> for Failed {
    fn from(reason: &str) -> Self {
        Self { reason: reason.to_owned(), code: None }
    }
}

impl From<exec::Failure> for Failed {
    fn from(failure: exec::Failure) -> Self {
        Self { reason: failure.reason, code: Some(failure.code) }
    }
}

impl Machine {
    pub(super) fn launch(&mut self, unit: UnitId, role: Role) -> Result<Started, Failed> {
        let group = self.make_group(unit)?;
        let service = self.core.service(unit).ok_or("it is no service")?.clone();
        if let Some(exec) = &service.host {
            return self.launch_on_host(unit, role, &service, exec, &group);
        }
        let name = self.name(unit);
        if matches!(role, Role::Main | Role::Control(Stage::Condition | Stage::Pre, 0)) {
            prepare::make_folders(&service)?;
            prepare::delegate(&service, &group)?;
        }
        let command: Option<Vec<String>> = match role {
            Role::Main => self.main_command(unit, &service).map(Command::words),
            Role::Control(stage, number) => stage.of(&service.commands).get(number).map(Command::words),
            Role::Health => service.health.as_ref().map(|health| health.command.clone()),
        };
        let sink = journal::open(&name, &Exec::default(), service.output)
            .map_err(|error| format!("cannot open its output: {error}"))?;
        let input: OwnedFd = prepare::open_input(&service)?;
        let tty = service.output == Output::Tty;
        let output = if tty { input.as_fd() } else { sink.fd.as_fd() };
        let mut environment = service.environment.clone();
        environment.extend(self.environment(unit, &service, role));
        environment.extend(sink.journal_stream.clone().map(|stream| ("JOURNAL_STREAM".to_owned(), stream)));
        let descriptors = if role == Role::Main { self.passed(unit, &mut environment) } else { Vec::new() };
        let inside = matches!(role, Role::Control(Stage::Post | Stage::Reload | Stage::Stop, _) | Role::Health);
        let main = self.core.run(unit).main;
        let begun = container::begin(&Request {
            id: &name,
            bundle: Described::In(&service.bundle),
            group: &group,
            subgroup: service.delegate_subgroup.as_deref(),
            command: command.as_deref(),
            own_pid: self.own_pid(unit, !descriptors.is_empty()),
            environment,
            stdio: [input.as_fd(), output, output],
            terminal: service.tty.is_some() && !inside,
            descriptors,
            join: Some(main).filter(|main| inside && *main != 0),
            tell: false,
        })?;
        // What was changed while the machine ran is stricter or wider than the bundle: it counts.
        self.limit(unit, &group)?;
        Ok(Started { pid: begun.pid, is_init: begun.is_init, setup: begun.setup })
    }

    /// The command of this start, of several that a oneshot has; none: the bundle's own.
    fn main_command<'a>(&self, unit: UnitId, service: &'a Service) -> Option<&'a Command> {
        let number = if service.service_type == ServiceType::Oneshot { self.core.run(unit).next } else { 1 };
        service.commands.start.get(number.saturating_sub(1))
    }

    /// Variables whose value is the process's own number.
    fn own_pid(&self, unit: UnitId, listens: bool) -> Vec<&'static str> {
        let mut own_pid = vec!["SYSTEMD_EXEC_PID"];
        if listens {
            own_pid.push("LISTEN_PID");
        }
        if self.core.watchdog_usec(unit) != 0 {
            own_pid.push("WATCHDOG_PID");
        }
        own_pid
    }

    /// A program of the host's, in the unit's group.
    fn launch_on_host(
        &mut self,
        unit: UnitId,
        role: Role,
        service: &Service,
        exec: &Exec,
        group: &str,
    ) -> Result<Started, Failed> {
        let command = match role {
            Role::Main => self.main_command(unit, service),
            Role::Control(stage, number) => stage.of(&service.commands).get(number),
            Role::Health => None,
        };
        let command = command.ok_or("it has no command")?;
        self.limit(unit, group)?;
        let name = self.name(unit);
        let accounts = Accounts::read();
        let identity = exec::identity(&name, exec, &accounts)?;
        host::make_folders(exec, &identity)?;
        if service.delegate {
            host::delegate(group, &identity)?;
        }
        credentials::provide(&name, &exec.credentials, &identity)?;
        let streams = self.open_streams(unit, &name, role, service, exec)?;
        let mut environment = host::environment(exec, &identity, &self.gifts.environment);
        environment.extend(self.environment(unit, service, role));
        environment.extend(host::folders(exec));
        if !exec.credentials.is_empty() {
            environment.push(("CREDENTIALS_DIRECTORY".to_owned(), credentials::folder(&name)));
        }
        environment.extend(streams.journal.clone().map(|stream| ("JOURNAL_STREAM".to_owned(), stream)));
        environment.extend(self.served.get(&unit).map(|served| served.peer.variables()).unwrap_or_default());
        environment.extend(exec.environment.iter().cloned());
        environment.extend(host::environment_files(exec)?);
        environment.retain(|(name, value)| {
            let pair = format!("{name}={value}");
            !exec.unset_environment.iter().any(|gone| gone == name || *gone == pair)
        });
        let words = self.expand(&name, command, &environment);
        // Who finds its socket on standard input looks for no other.
        let passes = role == Role::Main && !exec.streams.contains(&Stream::Socket);
        let descriptors = if passes { self.passed(unit, &mut environment) } else { Vec::new() };
        for (_, socket) in self.sockets_of(unit).take_while(|_| passes) {
            // They are PID 1's own as well, which never waits at one that it hands on.
            let _ = descriptor::set_blocking(&socket, !exec.non_blocking);
        }
        let own_pid = self.own_pid(unit, !descriptors.is_empty());
        let terms = exec::Terms {
            exec,
            identity: &identity,
            privileged: command.privileged,
            keep_user: command.keep_user,
            words,
            environment,
        };
        let bundle = exec::bundle(terms)?;
        let [input, output, error] = &streams.fds;
        let begun = container::begin(&Request {
            id: &name,
            bundle: Described::As(Box::new(bundle)),
            group,
            subgroup: subgroup(service, role),
            command: None,
            environment: Vec::new(),
            own_pid,
            stdio: [input.as_fd(), output.as_fd(), error.as_fd()],
            terminal: streams.terminal,
            descriptors,
            join: None,
            tell: false,
        })?;
        Ok(Started { pid: begun.pid, is_init: begun.is_init, setup: begun.setup })
    }

    /// A command's words with its variables put in. What is not set is empty, and told.
    fn expand(&mut self, unit: &str, command: &Command, environment: &[(String, String)]) -> Vec<String> {
        if command.verbatim {
            return command.words();
        }
        let expanded = ashlar_config::systemd::expand(&command.words(), environment);
        for name in expanded.unset {
            let text = format!("{}: variable {name} is not set: it is taken as empty", command.path);
            self.log.say(crate::log::WARNING, Some(unit), &text);
        }
        expanded.words
    }

    /// Waits for word of the set-up.
    pub(super) fn await_setup(&mut self, unit: UnitId, role: Role, started: Started) {
        let setup = started.setup;
        let token = Event::Starting(started.pid).token();
        if let Err(error) = self.epoll.add(setup.descriptor(), token, epoll::READ) {
            self.core.not_started(unit, role, &format!("cannot watch its set-up: {error}"));
        }
        self.starting.insert(started.pid, Starting { unit, role, setup });
    }

    /// There is word of a set-up.
    pub(super) fn started(&mut self, pid: u32) {
        let Some(starting) = self.starting.get_mut(&pid) else { return };
        let Some(outcome) = starting.setup.outcome() else { return };
        let (unit, role) = (starting.unit, starting.role);
        self.starting.remove(&pid);
        self.set_up(unit, role, pid, outcome);
    }

    /// A process has ended: what its set-up had to say is all there is.
    pub(super) fn ended_starting(&mut self, pid: u32) {
        if let Some(starting) = self.starting.remove(&pid) {
            self.set_up(starting.unit, starting.role, pid, starting.setup.ended());
        }
    }

    fn set_up(&mut self, unit: UnitId, role: Role, pid: u32, outcome: Result<(), exec::Failure>) {
        let on_host = self.core.service(unit).is_some_and(|service| service.host.is_some());
        match outcome {
            Ok(()) if role == Role::Main => self.core.executed(unit),
            Ok(()) => {}
            Err(failure) if on_host => self.core.not_executed(unit, role, pid, failure.code, &failure.reason),
            Err(failure) => self.core.not_started(unit, role, &failure.reason),
        }
    }

    fn environment(&self, unit: UnitId, service: &Service, role: Role) -> Vec<(String, String)> {
        let run = self.core.run(unit);
        let mut environment = vec![("INVOCATION_ID".to_owned(), run.invocation.clone())];
        let mut set = |name: &str, value: String| environment.push((name.to_owned(), value));
        // Tools that would notify on a whim must not be told of a socket that does not listen to them.
        if self.core.notify_access(unit) != NotifyAccess::None {
            set("NOTIFY_SOCKET", NOTIFY.to_owned());
        }
        let folders = |base: &str, names: &[String]| {
            names.iter().map(|name| format!("{base}/{name}")).collect::<Vec<_>>().join(":")
        };
        if !service.state_directory.is_empty() {
            set("STATE_DIRECTORY", folders("/var/lib", &service.state_directory));
        }
        if !service.runtime_directory.is_empty() {
            set("RUNTIME_DIRECTORY", folders("/run", &service.runtime_directory));
        }
        if service.supervision.fd_store > 0 {
            set("FDSTORE", service.supervision.fd_store.to_string());
        }
        match self.core.watchdog_usec(unit) {
            0 => {}
            usec => set("WATCHDOG_USEC", usec.to_string()),
        }
        let beside = matches!(role, Role::Control(Stage::Post | Stage::Reload | Stage::Stop | Stage::StopPost, _));
        if beside && run.main != 0 {
            let main = if run.main_is_init { 1 } else { run.main };
            set("MAINPID", main.to_string());
        }
        if matches!(role, Role::Control(Stage::Stop | Stage::StopPost, _)) {
            set("SERVICE_RESULT", run.outcome.name().to_owned());
            if let Some(exit) = run.exit {
                let words = ["", "exited", "killed", "dumped"];
                set("EXIT_CODE", words.get(exit.code() as usize).copied().unwrap_or_default().to_owned());
                set("EXIT_STATUS", exit.systemd_status());
            }
        }
        environment
    }

    /// Sockets in the order of their units, then the store; with their names in the environment.
    fn passed(&self, unit: UnitId, environment: &mut Vec<(String, String)>) -> Vec<BorrowedFd<'_>> {
        let ports = self.sockets_of(unit);
        let stored = self.stores.get(&unit).into_iter().flatten();
        let stored = stored.map(|stored| (stored.name.as_str(), stored.fd.as_fd()));
        let (names, descriptors): (Vec<&str>, Vec<BorrowedFd<'_>>) = ports.chain(stored).unzip();
        if !descriptors.is_empty() {
            environment.push(("LISTEN_FDS".to_owned(), descriptors.len().to_string()));
            environment.push(("LISTEN_FDNAMES".to_owned(), names.join(":")));
        }
        descriptors
    }

    /// The connection that it was started for, or all sockets of the units that start it; with their names.
    pub(super) fn sockets_of(&self, unit: UnitId) -> impl Iterator<Item = (&str, BorrowedFd<'_>)> {
        let served = self.served.get(&unit).map(|served| ("connection", served.fd.as_fd()));
        let is_socket = |other: &&UnitId| matches!(self.core.graph[**other].unit.body, Body::Socket { .. });
        let sockets = self.core.graph[unit].triggers.iter().filter(is_socket);
        let ports = sockets.filter_map(|socket| self.ports.get(socket)).flatten();
        served.into_iter().chain(ports.map(|port| (port.name.as_str(), port.fd.as_fd())))
    }

    /// Starts a person's process: in the console container, or on the host.
    pub(super) fn launch_session(
        &mut self,
        person: &Person<'_>,
        group: &str,
        stdio: [OwnedFd; 3],
    ) -> Result<(u32, Option<Setup>), String> {
        let arguments = person.arguments();
        if person.host {
            let mut command = process::Command::new(&arguments[0]);
            let [input, output, error] = stdio.map(Stdio::from);
            command.args(&arguments[1..]).stdin(input).stdout(output).stderr(error).current_dir("/root");
            command.env_clear().envs(person.environment.iter().cloned());
            command.envs([("HOME", "/root"), ("USER", "root"), ("PATH", exec::PATH)]);
            return spawn(&mut command, group, person.tty).map(|pid| (pid, None));
        }
        let console = self.core.graph.find(CONSOLE).ok_or("this machine has no console container")?;
        let main = self.core.run(console).main;
        let service = self.core.service(console).filter(|_| main != 0).ok_or("the console container does not run")?;
        if person.tty {
            // Whoever made the terminal gave it to the user as its own namespace calls him. One that belongs to another
            // user namespace can have no owner of ours; it works without.
            let _ = fchown(&stdio[0], Some(person.uid + service.first_id.unwrap_or(0)), None);
        }
        let [input, output, error] = &stdio;
        let begun = container::begin(&Request {
            id: CONSOLE,
            bundle: Described::In(&service.bundle),
            group,
            subgroup: None,
            command: Some(&arguments),
            environment: person.environment.clone(),
            own_pid: Vec::new(),
            stdio: [input.as_fd(), output.as_fd(), error.as_fd()],
            terminal: person.tty,
            descriptors: Vec::new(),
            join: Some(main),
            tell: true,
        })?;
        Ok((begun.pid, Some(begun.setup)))
    }
}

/// The group below a delegated one in which a process runs. What is beside a main process must not be in its group: a
/// group that has been divided may have no process of its own (systemd uses the same name).
fn subgroup(service: &Service, role: Role) -> Option<&str> {
    let before = matches!(role, Role::Main | Role::Control(Stage::Condition | Stage::Pre, _));
    match before || !service.delegate {
        true => service.delegate_subgroup.as_deref().filter(|_| role == Role::Main),
        false => Some(".control"),
    }
}

fn spawn(command: &mut process::Command, group: &str, terminal: bool) -> Result<u32, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let procs = cgroup::path(group).join("cgroup.procs");
    let child = ashlar_sys::host::spawn(command, &procs, terminal)
        .map_err(|error| format!("cannot execute {program}: {error}"))?;
    // Dropping the handle neither waits nor kills: the loop reaps all children.
    Ok(child.id())
}
