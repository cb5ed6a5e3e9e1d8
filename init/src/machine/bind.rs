//! A folder or file of the machine that a running service is shown (systemctl(1), bind). A process of its own goes to where
//! the service is: it may have to wait for file systems of others, which PID 1 must not.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use ashlar_control::message::{BindMount, Refusal, Reply};
use ashlar_sys::mounts::{self, Change, READ_ONLY};
use ashlar_sys::namespace::{self, Kind};
use ashlar_sys::{at, child, process};

use super::Machine;
use super::calls::Answer;
use crate::control::Waiting;
use crate::core::state::{Exit, Sub};
use crate::log;

/// EIO: what has no number of its own.
const NO_NUMBER: i32 = 5;

impl Machine {
    pub(super) fn bind(&mut self, name: &str, wish: &BindMount) -> Result<Answer, Refusal> {
        let invalid = |reason: String| Refusal::Invalid { reason };
        let unit = self.unit_named(name)?;
        let name = self.name(unit);
        let main = self.core.run(unit).main;
        if self.core.run(unit).sub != Sub::Running || main == 0 {
            return Err(Refusal::NotRunning { unit: name });
        }
        for (path, what) in [(&wish.source, "Source"), (&wish.target, "Destination")] {
            if !is_plain(path) {
                return Err(invalid(format!("{what} path must be absolute and normalized")));
            }
        }
        let service = child::watch(main).map_err(|_| Refusal::NotRunning { unit: name.clone() })?;
        let view = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        if view(&main.to_string()) == view("self") {
            let reason = format!("Unit '{name}' not running in private mount namespace, cannot live mount.");
            return Err(invalid(reason));
        }
        let log = &mut self.log;
        let helper = process::fork(&[], None, || match mount(wish, &service) {
            Ok(()) => 0,
            Err((path, error)) => {
                let text = format!("cannot bind {} to {}: {path}: {error}", wish.source, wish.target);
                log.say(log::ERROR, Some(&name), &text);
                error.raw_os_error().unwrap_or(NO_NUMBER)
            }
        });
        let helper = helper.map_err(|error| Refusal::Failed { reason: format!("cannot begin to bind: {error}") })?;
        Ok(Answer::Later(Waiting::Helper(helper.pid)))
    }

    /// A process has done what a caller waits for, or has not. Says whether it was such a one.
    pub(super) fn helper_ended(&mut self, pid: u32, exit: Exit) -> bool {
        let waiting = self.connections.waiting_for(Waiting::Helper(pid));
        for id in &waiting {
            match exit {
                Exit::Code(0) => self.end_wait(*id, Ok(&Reply::Done {})),
                Exit::Code(number) => {
                    let reason = io::Error::from_raw_os_error(number).to_string();
                    let reason = reason.split(" (os error").next().unwrap_or(&reason).to_owned();
                    self.end_wait(*id, Err(&Refusal::Failed { reason }));
                }
                killed => self.end_wait(*id, Err(&Refusal::Failed { reason: format!("it ended with {killed}") })),
            }
        }
        !waiting.is_empty()
    }
}

/// In a copy of PID 1: mounts it there. What went wrong is named by its path.
fn mount(wish: &BindMount, service: &OwnedFd) -> Result<(), (String, io::Error)> {
    let of_source = |error| (wish.source.clone(), error);
    let of_target = |error| (wish.target.clone(), error);
    let (source, target) = (Path::new(&wish.source), Path::new(&wish.target));
    let tree = mounts::clone_tree(None, source, true).map_err(of_source)?;
    let is_folder = fs::metadata(source).map_err(of_source)?.is_dir();
    if wish.read_only {
        mounts::change(&tree, &Change { set: READ_ONLY, ..Change::default() }, true).map_err(of_source)?;
    }
    namespace::enter(service, &[Kind::Mount]).map_err(of_target)?;
    if wish.make {
        make(target, is_folder).map_err(of_target)?;
    }
    let root = File::open("/").map_err(of_target)?;
    let place = at::locate(&root, target).map_err(of_target)?;
    mounts::attach(&tree, &place).map_err(of_target)
}

fn make(target: &Path, is_folder: bool) -> io::Result<()> {
    if is_folder {
        return fs::create_dir_all(target);
    }
    target.parent().map_or(Ok(()), fs::create_dir_all)?;
    File::options().append(true).create(true).open(target).map(drop)
}

fn is_plain(path: &str) -> bool {
    path.starts_with('/')
        && Path::new(path).components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths() {
        let check = |path, expect| assert_eq!(is_plain(path), expect, "{path}");
        check("/a/b", true);
        check("/", true);
        check("a/b", false);
        check("/a/../b", false);
        check("", false);
    }
}
