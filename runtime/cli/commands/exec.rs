//! `exec`: one more process in a container.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use ashlar_runtime::spec::{Capabilities, Process};
use ashlar_runtime::{Begun, Bundle, Request, begin};

use super::Command;
use crate::console::Awaited;
use crate::containers::{Container, Status};
use crate::flags::{Flag, Grammar, Said, switch, value};
use crate::foreground::Foreground;
use crate::{About, Failed, Globals, group, launch, protect};

const FLAGS: &[Flag] = &[
    value("process", "FILE", "the process as JSON, as config.json has it").or('p'),
    value("console-socket", "PATH", "socket that gets the other end of the process's terminal"),
    value("pid-file", "FILE", "write the number of the process to this file"),
    value("preserve-fds", "N", "pass N descriptors from 3 on"),
    switch("detach", "come back when the program runs").or('d'),
    switch("tty", "give it a terminal").or('t'),
    value("env", "KEY=VALUE", "variable besides the container's").or('e'),
    value("cwd", "DIR", "where it is"),
    value("user", "UID[:GID]", "who it is").or('u'),
    value("additional-gids", "GID", "further group").or('g'),
    value("cap", "CAP", "capability besides the container's").or('c'),
    value("apparmor", "PROFILE", "AppArmor profile"),
    value("process-label", "LABEL", "SELinux label"),
    switch("no-new-privs", "it can gain no privileges"),
    value("cgroup", "PATH", "group below the container's"),
    switch("ignore-paused", "also into a container that is paused"),
    switch("no-subreaper", "taken for the sake of engines that say it; orphans are never ours"),
];

pub const COMMAND: Command = Command {
    grammar: Grammar {
        name: "exec",
        operands: "ID [COMMAND …]",
        count: (1, usize::MAX),
        strict: true,
        help: "run one more process in a container",
        flags: FLAGS,
    },
    run,
};

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    protect::this_program()?;
    let passed = launch::Passed::from(said)?;
    let id = &said.operands[0];
    let container = Container::open(&globals.root, id)?;
    match container.status() {
        Status::Running | Status::Created => {}
        Status::Paused if said.has("ignore-paused") => {}
        status => return Err(Failed::new(format!("cannot exec in container `{id}`: it is {}", status.word()))),
    }
    let mut bundle = container.bundle()?;
    let process = process(said, bundle.spec.process.take().unwrap_or_default())?;
    let terminal = process.terminal;
    bundle.spec.process = Some(process);
    let detach = said.has("detach");
    let (console, awaited) = launch::console(said, terminal, !detach)?;
    let foreground = if detach { None } else { Some(Foreground::new()?) };
    let mut begun = join(said, &passed, &container, &bundle, console.as_ref())?;
    begun.setup.wait()?;
    drop(console);
    launch::write_pid_file(said, begun.pid)?;
    let Some(foreground) = foreground else { return Ok(0) };
    let relay = awaited.map(Awaited::relay).transpose()?;
    foreground.attend(begun.pid, &begun.pidfd, relay)
}

fn join(
    said: &Said,
    passed: &launch::Passed,
    container: &Container,
    bundle: &Bundle,
    console: Option<&OwnedFd>,
) -> Result<Begun, Failed> {
    let state = &container.state;
    let descriptors = passed.descriptors();
    let stdio = launch::stdio(console.is_some())?;
    let request = |group| Request {
        group,
        environment: &passed.environment,
        own_pid: passed.own_pid,
        console: console.map(AsFd::as_fd),
        descriptors: &descriptors,
        join: Some(state.pid),
        ..Request::new(bundle, &state.id, [stdio[0].as_fd(), stdio[1].as_fd(), stdio[2].as_fd()])
    };
    let below = said.value("cgroup").map(|path| path.trim_matches('/')).filter(|path| !path.is_empty());
    if below.is_some_and(|path| path.split('/').any(|part| part == "..")) {
        return Err(Failed::new("--cgroup leads out of the container's group"));
    }
    let group = container.group().map(|group| below.map_or_else(|| group.clone(), |path| group.join(path)));
    match begin(&request(group.as_deref())) {
        // Its own processes are in groups below: then it is where the first one is.
        Err(_) if below.is_none() && group.is_some() && own_group(container) != group => {
            Ok(begin(&request(own_group(container).as_deref()))?)
        }
        begun => Ok(begun?),
    }
}

fn own_group(container: &Container) -> Option<PathBuf> {
    group::of(&container.state.pid.to_string()).map(|path| group::directory(&path))
}

/// The process: a file's, or the container's own with what the command line changes.
fn process(said: &Said, own: Process) -> Result<Process, Failed> {
    if let Some(path) = said.value("process") {
        let text = fs::read(path).about(format!("read {path}"))?;
        let wrong = |reason: String| Failed::new(format!("cannot use {path}: {reason}"));
        let process: Process = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
        if process.args.is_empty() {
            return Err(wrong("args is empty".into()));
        }
        if !process.cwd.starts_with('/') {
            return Err(wrong(format!("cwd is `{}`: it must be absolute", process.cwd)));
        }
        return Ok(process);
    }
    let args = said.operands[1..].to_vec();
    if args.is_empty() {
        return Err(Failed::new("exec needs a command, or --process"));
    }
    let mut process = Process { args, terminal: said.has("tty"), ..own };
    for pair in said.values("env") {
        let key = pair.split('=').next().unwrap_or(pair);
        process.env.retain(|known| known.split('=').next() != Some(key));
        process.env.push(pair.to_owned());
    }
    if let Some(cwd) = said.value("cwd") {
        process.cwd = cwd.to_owned();
    }
    if let Some(user) = said.value("user") {
        let (uid, gid) = user.split_once(':').map_or((user, None), |(uid, gid)| (uid, Some(gid)));
        let number = |text: &str| text.parse().map_err(|_| Failed::new(format!("--user: `{text}` is no number")));
        process.user.uid = number(uid)?;
        process.user.gid = gid.map_or(Ok(process.user.gid), number)?;
    }
    for gid in said.values("additional-gids") {
        let gid = gid.parse().map_err(|_| Failed::new(format!("--additional-gids: `{gid}` is no number")))?;
        process.user.additional_gids.push(gid);
    }
    for name in said.values("cap").map(str::to_owned) {
        let sets = process.capabilities.get_or_insert_with(Capabilities::default);
        for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
            set.push(name.clone());
        }
    }
    for (flag, field) in [("apparmor", &mut process.apparmor_profile), ("process-label", &mut process.selinux_label)] {
        if let Some(value) = said.value(flag) {
            *field = Some(value.to_owned());
        }
    }
    process.no_new_privileges |= said.has("no-new-privs");
    Ok(process)
}
