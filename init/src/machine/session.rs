//! Processes for people: a login in the console container, or a root shell on the host.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use ashlar_control::message::{Refusal, Reply};
use ashlar_sys::signal;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Machine;
use super::calls::{Answer, Caller};
use crate::accounts::Accounts;
use crate::cgroup;
use crate::container::Setup;
use crate::control::Waiting;
use crate::core::state::Exit;
use crate::log;

/// How long a session may take to end after its caller hung up.
const PATIENCE: u64 = 5_000_000;
const SIGHUP: i32 = 1;
const SIGCONT: i32 = 18;
/// Longest command line and environment that a caller may pass.
const ARGUMENT_LIMIT: usize = 4096;
/// Environment that a caller may pass on.
const KEPT: [&str; 8] = ["TERM", "LANG", "COLORTERM", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "TZ", "NO_COLOR"];

/// What sshd says of where somebody came from.
const REMOTE: &str = "SSH_CONNECTION";

/// One session.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Session {
    pid: u32,
    group: String,
    /// When what is left of it is killed.
    ends: Option<u64>,
    /// Somebody came over the network.
    #[serde(default)]
    remote: bool,
}

/// All of them, by number.
#[derive(Debug, Default)]
pub struct Sessions {
    sessions: BTreeMap<u32, Session>,
    last: u32,
    /// What those in a container have to say of their set-up, by process.
    setups: BTreeMap<u32, Setup>,
}

/// What runs in a session.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Person<'a> {
    pub name: &'a str,
    pub uid: u32,
    pub host: bool,
    pub command: &'a [String],
    pub environment: Vec<(String, String)>,
    pub tty: bool,
}

impl Person<'_> {
    /// The command line: a login shell of the user, which runs the command if there is one. A single word is a line for
    /// the shell, as ssh passes it; several are the words of a command.
    pub(super) fn arguments(&self) -> Vec<String> {
        match (self.host, self.command) {
            (true, []) => vec!["/bin/bash".into(), "-l".into()],
            (true, command) => command.to_vec(),
            (false, command) => {
                let mut arguments: Vec<String> = ["/usr/sbin/runuser", "-l", self.name].map(Into::into).into();
                let keep: Vec<&str> = self.environment.iter().map(|(key, _)| key.as_str()).collect();
                if !keep.is_empty() {
                    arguments.extend(["-w".into(), keep.join(",")]);
                }
                if !command.is_empty() {
                    let line = match command {
                        [line] => line.clone(),
                        words => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
                    };
                    // `-c` would start a new session, without the terminal.
                    arguments.extend(["--session-command".into(), line]);
                }
                arguments
            }
        }
    }
}

/// One word for a shell.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

impl Sessions {
    /// Whether nobody is logged in.
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// How many people came over the network. A console that logs somebody in by itself is nobody's sign of life.
    pub(super) fn remote(&self) -> u32 {
        self.sessions.values().filter(|session| session.remote).count() as u32
    }

    pub(super) fn next_alarm(&self) -> Option<u64> {
        self.sessions.values().filter_map(|session| session.ends).min()
    }
}

impl Machine {
    pub(super) fn login(
        &mut self,
        id: u32,
        caller: Caller,
        host: bool,
        command: &[String],
        environment: &[(String, String)],
        tty: bool,
    ) -> Result<Answer, Refusal> {
        let size: usize = command.iter().map(String::len).sum();
        if size > ARGUMENT_LIMIT || command.iter().any(|word| word.contains('\0')) {
            return Err(Refusal::Invalid { reason: format!("the command is longer than {ARGUMENT_LIMIT} bytes") });
        }
        let kept = environment.iter().filter(|(key, value)| KEPT.contains(&key.as_str()) && !value.contains('\0'));
        let environment: Vec<(String, String)> = kept.take(KEPT.len()).cloned().collect();
        let accounts = Accounts::read();
        let user = accounts.user(caller.uid);
        let Some(user) = user.map(|user| user.name).or_else(|| (caller.uid == 0).then(|| "root".to_owned())) else {
            return Err(Refusal::PermissionDenied { need: format!("user {} is none of this machine", caller.uid) });
        };
        let stdio = self.connections.get(id).map(|connection| std::mem::take(&mut connection.descriptors));
        let Ok(stdio) = <[OwnedFd; 3]>::try_from(stdio.unwrap_or_default()) else {
            return Err(Refusal::Invalid { reason: "standard input, output and error must come with the call".into() });
        };
        let number = self.sessions.last + 1;
        let group = format!("/user.slice/user-{}.slice/session-{number}.scope", caller.uid);
        cgroup::make(&group).map_err(|error| Refusal::Failed { reason: format!("cannot make {group}: {error}") })?;
        let name = if host { "root" } else { &user };
        let remote = environment.iter().any(|(key, _)| key == REMOTE);
        let person = Person { name, uid: caller.uid, host, command, environment, tty };
        let (pid, setup) = self.launch_session(&person, &group, stdio).map_err(|reason| {
            cgroup::remove(&group);
            Refusal::Failed { reason }
        })?;
        self.record(host, &user, caller.uid, command);
        self.sessions.last = number;
        self.sessions.setups.extend(setup.map(|setup| (pid, setup)));
        self.sessions.sessions.insert(number, Session { pid, group, ends: None, remote });
        self.save_session(number);
        Ok(Answer::Later(Waiting::Session(number)))
    }

    fn record(&mut self, host: bool, user: &str, uid: u32, command: &[String]) {
        let place = if host { "root shell on the host" } else { "login in the console" };
        let what = if command.is_empty() { "shell".to_owned() } else { command.join(" ") };
        self.log.say(log::NOTICE, None, &format!("{place} by {user} (uid {uid}): {what}"));
    }

    /// Whether the process was a session's; then its caller gets the exit code and what is left is hung up.
    pub(super) fn session_ended(&mut self, pid: u32, exit: Exit) -> bool {
        let found = self.sessions.sessions.iter().find(|(_, session)| session.pid == pid);
        let Some(number) = found.map(|(number, _)| *number) else { return false };
        let code = match exit {
            Exit::Code(code) => code,
            Exit::Signal(signal) | Exit::Dumped(signal) => 128 + signal,
        };
        if let Some(Err(failure)) = self.sessions.setups.remove(&pid).map(Setup::ended) {
            self.log.say(log::ERROR, None, &format!("session {number}: {}", failure.reason));
        }
        for id in self.connections.waiting_for(Waiting::Session(number)) {
            self.end_wait(id, Ok(&Reply::Exit { exit: code }));
        }
        if let Some(session) = self.sessions.sessions.get_mut(&number) {
            session.pid = 0;
        }
        self.hang_up(number);
        true
    }

    /// Asks all of a session's processes to end; [`Self::sessions_tick`] kills them later.
    pub(super) fn hang_up(&mut self, number: u32) {
        let ends = self.core.now().monotonic + PATIENCE;
        let Some(session) = self.sessions.sessions.get_mut(&number) else { return };
        let pids = cgroup::processes(&session.group);
        if pids.is_empty() {
            return self.forget_session(number);
        }
        session.ends = session.ends.or(Some(ends));
        for pid in pids {
            let _ = signal::send(pid, SIGHUP);
            let _ = signal::send(pid, SIGCONT);
        }
        self.save_session(number);
    }

    /// Kills what did not end in time.
    pub(super) fn sessions_tick(&mut self) {
        let now = self.core.now().monotonic;
        let over = self.sessions.sessions.iter().filter(|(_, session)| session.ends.is_some_and(|at| at <= now));
        for number in over.map(|(number, _)| *number).collect::<Vec<_>>() {
            if let Some(session) = self.sessions.sessions.get_mut(&number) {
                let _ = cgroup::kill(&session.group);
                session.ends = Some(now + PATIENCE);
                if !cgroup::is_populated(&session.group) {
                    self.forget_session(number);
                }
            }
        }
    }

    fn forget_session(&mut self, number: u32) {
        if let Some(session) = self.sessions.sessions.remove(&number) {
            cgroup::remove(&session.group);
        }
        self.snapshot.remove(&format!("l:{number}"));
    }

    fn save_session(&mut self, number: u32) {
        if let Some(session) = self.sessions.sessions.get(&number) {
            self.snapshot.put(&format!("l:{number}"), session);
        }
    }

    pub(super) fn restore_session(&mut self, number: &str, value: &Value) {
        let (Ok(number), Ok(session)) = (number.parse::<u32>(), serde_json::from_value(value.clone())) else { return };
        self.sessions.last = self.sessions.last.max(number);
        self.sessions.sessions.insert(number, session);
    }

    /// Kills every session at once: the machine goes down.
    pub(super) fn end_sessions(&mut self) {
        for number in self.sessions.sessions.keys().copied().collect::<Vec<_>>() {
            self.hang_up(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let check = |host, tty, command: &[&str], expect: &str| {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            let environment = vec![("TERM".to_owned(), "vt100".to_owned())];
            let person = Person { name: "core", uid: 1000, host, command: &command, environment, tty };
            assert_eq!(person.arguments().join(" "), expect);
        };
        check(true, false, &[], "/bin/bash -l");
        check(true, true, &["id"], "id");
        check(false, true, &[], "/usr/sbin/runuser -l core -w TERM");
        check(false, true, &["a; b"], "/usr/sbin/runuser -l core -w TERM --session-command a; b");
        check(false, false, &["echo", "it's"], r"/usr/sbin/runuser -l core -w TERM --session-command echo 'it'\''s'");
    }
}
