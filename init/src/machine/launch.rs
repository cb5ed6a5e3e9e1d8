//! Starting a unit's processes: its folders, its environment, where it writes, the descriptors that it gets.

use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown, fchown};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use ashlar_config::unit::{Body, HostCommand, NotifyAccess, Output, Service};
use ashlar_sys::{descriptor, epoll, host};

use super::session::{CONSOLE, Person};
use super::{Machine, NOTIFY, journal};
use crate::accounts::Accounts;
use crate::cgroup;
use crate::container::{self, Request, Setup};
use crate::core::{Role, UnitId};
use crate::event::Event;

/// Where commands on the host are looked for.
const HOST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    /// None for the host's own programs: they were executed when they are here.
    setup: Option<Setup>,
}

impl Machine {
    pub(super) fn launch(&mut self, unit: UnitId, role: Role) -> Result<Started, String> {
        let group = self.make_group(unit)?;
        let name = self.name(unit);
        let service = self.core.service(unit).ok_or("it is no service")?.clone();
        if let Some(command) = &service.host {
            self.limit(unit, &group)?;
            return self.start_on_host(unit, &service, command, &group);
        }
        if role == Role::Main || role == Role::Pre(0) {
            make_folders(&service)?;
            delegate(&service, &group)?;
        }
        let command: Option<Vec<String>> = match role {
            Role::Main => None,
            Role::Pre(number) => service.start_pre.get(number).cloned(),
            Role::Reload => service.reload.clone(),
            Role::Health => service.health.as_ref().map(|health| health.command.clone()),
        };
        let sink = journal::open(&name, service.output).map_err(|error| format!("cannot open its output: {error}"))?;
        let input: OwnedFd = open_input(&service)?;
        let tty = service.output == Output::Tty;
        let output = if tty { input.as_fd() } else { sink.fd.as_fd() };
        let mut environment = self.environment(unit, &service, role);
        environment.extend(sink.journal_stream.clone().map(|stream| ("JOURNAL_STREAM".to_owned(), stream)));
        let mut own_pid = vec!["SYSTEMD_EXEC_PID"];
        let descriptors = if role == Role::Main { self.passed(unit, &mut environment) } else { Vec::new() };
        if !descriptors.is_empty() {
            own_pid.push("LISTEN_PID");
        }
        if self.core.watchdog_usec(unit) != 0 {
            own_pid.push("WATCHDOG_PID");
        }
        let inside = matches!(role, Role::Reload | Role::Health);
        let begun = container::begin(&Request {
            id: &name,
            bundle: &service.bundle,
            group: &group,
            subgroup: service.delegate_subgroup.as_deref(),
            command: command.as_deref(),
            environment,
            own_pid,
            stdio: [input.as_fd(), output, output],
            terminal: service.tty.is_some() && !inside,
            descriptors,
            join: inside.then(|| self.core.run(unit).main),
            tell: false,
        })?;
        // What was changed while the machine ran is stricter or wider than the bundle: it counts.
        self.limit(unit, &group)?;
        Ok(Started { pid: begun.pid, is_init: begun.is_init, setup: Some(begun.setup) })
    }

    /// A program of the host's, in the unit's group.
    fn start_on_host(
        &mut self,
        unit: UnitId,
        service: &Service,
        host: &HostCommand,
        group: &str,
    ) -> Result<Started, String> {
        let (program, arguments) = host.command.split_first().ok_or("it has no command")?;
        let sink = journal::open(&self.name(unit), service.output);
        let sink = sink.map_err(|error| format!("cannot open its output: {error}"))?;
        let output_error = |error| format!("cannot open its output: {error}");
        let mut command = Command::new(program);
        let mut environment = self.environment(unit, service, Role::Main);
        let terminal = service.tty.is_some();
        let [input, output, error] = match self.gifts.stdio.remove(&unit) {
            Some(given) => given,
            None if terminal => {
                let tty = open_input(service)?;
                [tty.try_clone().map_err(output_error)?, tty.try_clone().map_err(output_error)?, tty]
            }
            None => {
                environment.extend(sink.journal_stream.clone().map(|stream| ("JOURNAL_STREAM".to_owned(), stream)));
                [open_input(service)?, sink.fd.try_clone().map_err(output_error)?, sink.fd]
            }
        };
        command.args(arguments).stdin(input).stdout(output).stderr(error);
        command.env_clear().env("PATH", HOST_PATH).envs(environment).env("NOTIFY_SOCKET", NOTIFY);
        command.envs(&self.gifts.environment);
        if let Some(folder) = &host.working_directory {
            command.current_dir(folder);
        }
        become_user(&mut command, host)?;
        command.envs(host.environment.iter().cloned());
        let pid = spawn(&mut command, group, terminal)?;
        Ok(Started { pid, is_init: false, setup: None })
    }

    /// Waits for word of the set-up.
    pub(super) fn await_setup(&mut self, unit: UnitId, role: Role, started: Started) {
        let Some(setup) = started.setup else {
            if role == Role::Main {
                self.core.executed(unit);
            }
            return;
        };
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
        self.set_up(unit, role, outcome);
    }

    /// A process has ended: what its set-up had to say is all there is.
    pub(super) fn ended_starting(&mut self, pid: u32) {
        if let Some(starting) = self.starting.remove(&pid) {
            self.set_up(starting.unit, starting.role, starting.setup.ended());
        }
    }

    fn set_up(&mut self, unit: UnitId, role: Role, outcome: Result<(), String>) {
        match outcome {
            Ok(()) if role == Role::Main => self.core.executed(unit),
            Ok(()) => {}
            Err(reason) => self.core.not_started(unit, role, &reason),
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
        if role == Role::Reload {
            let main = if run.main_is_init { 1 } else { run.main };
            set("MAINPID", main.to_string());
        }
        environment
    }

    /// Sockets in the order of their units, then the store; with their names in the environment.
    fn passed(&self, unit: UnitId, environment: &mut Vec<(String, String)>) -> Vec<BorrowedFd<'_>> {
        let sockets = self.core.graph[unit]
            .triggers
            .iter()
            .filter(|other| matches!(self.core.graph[**other].unit.body, Body::Socket { .. }));
        let ports = sockets.filter_map(|socket| self.ports.get(socket)).flatten();
        let ports = ports.map(|port| (port.name.as_str(), port.fd.as_fd()));
        let stored = self.stores.get(&unit).into_iter().flatten();
        let stored = stored.map(|stored| (stored.name.as_str(), stored.fd.as_fd()));
        let (names, descriptors): (Vec<&str>, Vec<BorrowedFd<'_>>) = ports.chain(stored).unzip();
        if !descriptors.is_empty() {
            environment.push(("LISTEN_FDS".to_owned(), descriptors.len().to_string()));
            environment.push(("LISTEN_FDNAMES".to_owned(), names.join(":")));
        }
        descriptors
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
            let mut command = Command::new(&arguments[0]);
            let [input, output, error] = stdio.map(Stdio::from);
            command.args(&arguments[1..]).stdin(input).stdout(output).stderr(error).current_dir("/root");
            command.env_clear().envs(person.environment.iter().cloned());
            command.envs([("HOME", "/root"), ("USER", "root"), ("PATH", HOST_PATH)]);
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
            bundle: &service.bundle,
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

fn open_input(service: &Service) -> Result<OwnedFd, String> {
    // PID 1 must neither wait for a line's carrier nor become the terminal's owner.
    const NONBLOCK_NOCTTY: i32 = 0o4000 | 0o400;
    let path = service.tty.as_deref().unwrap_or("/dev/null");
    let mut options = fs::OpenOptions::new();
    options.read(true).write(service.tty.is_some()).custom_flags(NONBLOCK_NOCTTY);
    let opened = options.open(path).and_then(|file| descriptor::set_blocking(&file, true).map(|()| file));
    opened.map(OwnedFd::from).map_err(|error| format!("cannot open {path}: {error}"))
}

/// Below its own group a delegated unit does as it likes.
fn delegate(service: &Service, group: &str) -> Result<(), String> {
    if !service.delegate {
        return Ok(());
    }
    let shift = service.first_id.unwrap_or(0);
    let (uid, gid) = (Some(service.uid + shift), Some(service.gid + shift));
    let directory = cgroup::path(group);
    for name in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
        chown(directory.join(name), uid, gid).map_err(|error| format!("cannot delegate {group}: {error}"))?;
    }
    Ok(())
}

/// Has a command run as its user, with that user's environment.
fn become_user(command: &mut Command, host: &HostCommand) -> Result<(), String> {
    let accounts = Accounts::read();
    if let Some(name) = &host.user {
        let uid = accounts.uid(name).ok_or_else(|| format!("unknown user {name}"))?;
        command.uid(uid);
        if let Some(user) = accounts.user(uid) {
            command.gid(user.gid).env("USER", &user.name).env("LOGNAME", &user.name).env("HOME", &user.home);
        }
    }
    if let Some(name) = &host.group {
        command.gid(accounts.gid(name).ok_or_else(|| format!("unknown group {name}"))?);
    }
    Ok(())
}

fn spawn(command: &mut Command, group: &str, terminal: bool) -> Result<u32, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let procs = cgroup::path(group).join("cgroup.procs");
    let child = host::spawn(command, &procs, terminal).map_err(|error| format!("cannot execute {program}: {error}"))?;
    // Dropping the handle neither waits nor kills: the loop reaps all children.
    Ok(child.id())
}

/// State folders are as the service sees them, their mounts are shifted; runtime folders on the host are shifted.
fn make_folders(service: &Service) -> Result<(), String> {
    let shift = service.first_id.unwrap_or(0);
    for name in &service.state_directory {
        make_folder(&format!("/var/lib/{name}"), service.uid, service.gid)?;
    }
    for name in &service.runtime_directory {
        make_folder(&format!("/run/{name}"), service.uid + shift, service.gid + shift)?;
    }
    Ok(())
}

fn make_folder(path: &str, uid: u32, gid: u32) -> Result<(), String> {
    let make = || {
        fs::create_dir_all(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        chown(path, Some(uid), Some(gid))
    };
    make().map_err(|error| format!("cannot make {path}: {error}"))
}
