//! What a command on the host finds: folders of its own, streams, variables.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ashlar_config::systemd::words::split;
use ashlar_config::unit::{Exec, FOLDERS, FolderKind, Keep, Output, Service, Stream};
use ashlar_sys::descriptor;

use super::prepare::{give_group, make_folder, open_input};
use super::{Machine, journal};
use crate::core::{Role, Stage, UnitId};
use crate::exec::{self, Failure, Identity, code};
use crate::small_file::{self, NONBLOCK_NOCTTY};

/// Standard input, output and error of a command.
pub(super) struct Streams {
    pub fds: [OwnedFd; 3],
    /// What JOURNAL_STREAM says.
    pub journal: Option<String>,
    /// Standard input is a terminal that it shall control.
    pub terminal: bool,
}

fn failed(code: i32) -> impl Fn(String) -> Failure {
    move |reason| Failure { reason, code }
}

/// Makes the folders that a service owns.
pub(super) fn make_folders(exec: &Exec, identity: &Identity) -> Result<(), Failure> {
    for folder in &exec.folders {
        let place = FOLDERS.iter().find(|(kind, ..)| *kind == folder.kind).map_or("", |(_, place, _)| place);
        // A folder of settings is its administrator's.
        let (uid, gid) = if place == "/etc" { (0, 0) } else { (identity.uid, identity.gid) };
        let path = format!("{place}/{}", folder.name);
        make_folder(&path, folder.mode, uid, gid).map_err(failed(code::DIRECTORIES))?;
    }
    Ok(())
}

/// Removes its runtime folders, unless they stay.
pub(super) fn remove_folders(exec: &Exec, restarts: bool) {
    let stay = match exec.keep_runtime_folders {
        Keep::No => false,
        Keep::Restart => restarts,
        Keep::Yes => true,
    };
    for folder in exec.folders.iter().filter(|folder| folder.kind == FolderKind::Runtime && !stay) {
        let _ = fs::remove_dir_all(format!("/run/{}", folder.name));
    }
}

/// Below its own group a delegated service does as it likes.
pub(super) fn delegate(group: &str, identity: &Identity) -> Result<(), Failure> {
    give_group(group, identity.uid, identity.gid).map_err(failed(code::DIRECTORIES))
}

/// What everybody has, what belongs to a user, and what the manager was told to pass on.
pub(super) fn environment(
    exec: &Exec,
    identity: &Identity,
    manager: &BTreeMap<String, String>,
) -> Vec<(String, String)> {
    let mut environment = vec![("PATH".to_owned(), exec::PATH.to_owned()), ("LANG".to_owned(), "C.UTF-8".to_owned())];
    if let Some((name, home)) = identity.person.as_ref().filter(|_| exec.user.is_some() || exec.dynamic_user) {
        for (key, value) in [("HOME", home), ("LOGNAME", name), ("USER", name)] {
            environment.push((key.to_owned(), value.clone()));
        }
        environment.push(("SHELL".to_owned(), "/bin/sh".to_owned()));
    }
    environment.extend(manager.iter().map(|(name, value)| (name.clone(), value.clone())));
    environment
}

/// Variables that name the folders.
pub(super) fn folders(exec: &Exec) -> Vec<(String, String)> {
    let named = FOLDERS.iter().filter_map(|(kind, place, variable)| {
        let own = exec.folders.iter().filter(|folder| folder.kind == *kind);
        let paths: Vec<String> = own.map(|folder| format!("{place}/{}", folder.name)).collect();
        (!paths.is_empty()).then(|| ((*variable).to_owned(), paths.join(":")))
    });
    named.collect()
}

/// Variables out of files.
pub(super) fn environment_files(exec: &Exec) -> Result<Vec<(String, String)>, Failure> {
    let mut environment = Vec::new();
    for (path, optional) in &exec.environment_files {
        match small_file::read(Path::new(path)) {
            Ok(text) => environment.extend(assignments(&text)),
            Err(_) if *optional => {}
            Err(error) => {
                return Err(Failure { reason: format!("cannot read {path}: {error}"), code: code::EXEC });
            }
        }
    }
    Ok(environment)
}

/// Lines of `NAME=value`, with quotes (systemd.exec(5), EnvironmentFile=).
fn assignments(text: &str) -> Vec<(String, String)> {
    let joined = text.replace("\\\n", "");
    let lines = joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let pairs = lines.filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        let name = name.trim().trim_start_matches("export ").trim();
        let value = value.trim();
        let quoted = value.starts_with(['"', '\'']);
        let value = if quoted { split(value).ok()?.concat() } else { value.replace('\\', "") };
        (!name.is_empty()).then(|| (name.to_owned(), value))
    });
    pairs.collect()
}

impl Machine {
    /// Opens a command's streams.
    pub(super) fn open_streams(
        &mut self,
        unit: UnitId,
        name: &str,
        role: Role,
        service: &Service,
        exec: &Exec,
    ) -> Result<Streams, Failure> {
        let main = role == Role::Main;
        if let Some(fds) = if main { self.gifts.stdio.remove(&unit) } else { None } {
            return Ok(Streams { fds, journal: None, terminal: service.tty.is_some() });
        }
        let silent = if service.output == Output::Null { Output::Null } else { Output::Journal };
        let sink = journal::open(name, exec, silent);
        let sink =
            sink.map_err(|error| Failure { reason: format!("cannot open its output: {error}"), code: code::STDOUT })?;
        let again =
            |fd: &OwnedFd| fd.try_clone().map_err(|error| Failure { reason: error.to_string(), code: code::STDOUT });
        let terminal = service.tty.is_some() && (main || matches!(role, Role::Control(Stage::Pre, _)));
        let input = match &exec.streams[0] {
            _ if terminal => open_input(service).map_err(failed(code::STDIN))?,
            Stream::File(path) => open(path, OpenOptions::new().read(true), code::STDIN)?,
            Stream::Data(text) => data(text)?,
            Stream::Socket => self.only_socket(unit)?,
            _ => open("/dev/null", OpenOptions::new().read(true), code::STDIN)?,
        };
        let socket = exec.streams[0] == Stream::Socket && !terminal;
        let named = if exec.streams[1..].contains(&Stream::Socket) { Some(self.only_socket(unit)?) } else { None };
        let mut journal = None;
        let mut output = |stream: &Stream, before: &OwnedFd, own: bool| match stream {
            Stream::Null => open("/dev/null", OpenOptions::new().write(true), code::STDOUT),
            Stream::File(path) => open(path, OpenOptions::new().write(true).create(true).truncate(false), code::STDOUT),
            Stream::Append(path) => open(path, OpenOptions::new().append(true).create(true), code::STDOUT),
            Stream::Truncate(path) => {
                open(path, OpenOptions::new().write(true).create(true).truncate(true), code::STDOUT)
            }
            Stream::Tty | Stream::Default if terminal => again(&input),
            // Who answers by it has it as his input.
            Stream::Default if own && socket => again(&input),
            Stream::Socket => again(named.as_ref().unwrap_or(&input)),
            Stream::Inherit if own => again(&input),
            Stream::Inherit => again(before),
            // Standard error goes where standard output goes, unless it says otherwise.
            Stream::Default if !own => again(before),
            _ => {
                journal.clone_from(&sink.journal_stream);
                again(&sink.fd)
            }
        };
        let first = output(&exec.streams[1], &sink.fd, true)?;
        let second = output(&exec.streams[2], &first, false)?;
        let to_journal = [Stream::Default, Stream::Journal, Stream::JournalAndConsole].contains(&exec.streams[1]);
        if to_journal && !terminal && !(socket && exec.streams[1] == Stream::Default) {
            journal.clone_from(&sink.journal_stream);
        }
        Ok(Streams { fds: [input, first, second], journal, terminal })
    }
}

impl Machine {
    /// The connection or the only socket that a service was started for, as a stream that it may wait for.
    fn only_socket(&self, unit: UnitId) -> Result<OwnedFd, Failure> {
        let mut sockets = self.sockets_of(unit);
        let (Some((_, fd)), None) = (sockets.next(), sockets.next()) else {
            let reason = "it was not started for a single socket, which its streams are to be".to_owned();
            return Err(Failure { reason, code: code::STDIN });
        };
        let own = fd.try_clone_to_owned().and_then(|fd| descriptor::set_blocking(&fd, true).map(|()| fd));
        own.map_err(|error| Failure { reason: error.to_string(), code: code::STDIN })
    }
}

/// The service may wait for the other end of a pipe as long as it likes, but not we.
fn open(path: &str, options: &mut OpenOptions, code: i32) -> Result<OwnedFd, Failure> {
    let opened = options.custom_flags(NONBLOCK_NOCTTY).open(path);
    let opened = opened.and_then(|file| descriptor::set_blocking(&file, true).map(|()| OwnedFd::from(file)));
    opened.map_err(|error| Failure { reason: format!("cannot open {path}: {error}"), code })
}

/// A text as a file that nobody else sees.
fn data(text: &str) -> Result<OwnedFd, Failure> {
    let make = || -> std::io::Result<File> {
        let mut file = ashlar_sys::memfd::create(c"stdin")?;
        file.write_all(text.as_bytes())?;
        std::io::Seek::rewind(&mut file)?;
        Ok(file)
    };
    make().map(OwnedFd::from).map_err(|error| Failure { reason: error.to_string(), code: code::STDIN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_variables() {
        let check = |text: &str, expect: &[(&str, &str)]| {
            let got = assignments(text);
            let got: Vec<(&str, &str)> = got.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(got, expect, "{text}");
        };
        check("# c\n\nA=1\nB = x y \n", &[("A", "1"), ("B", "x y")]);
        check("A=\"x # y\"\nB='$z'", &[("A", "x # y"), ("B", "$z")]);
        check("OPTS=-a \\\n-b\nnonsense\n=1", &[("OPTS", "-a -b")]);
    }
}
