//! Beginning a process: everything that the caller does itself. It is little, and none of it waits.
//!
//! A new container is set up by two processes. The *inside* is born in the new namespaces and becomes the container's
//! main process. The *host's side* stays outside: only there can ids be mapped, limits be written and hooks be run. It
//! hands the inside what that needs (`channel`) and ends before the program is executed. Both report to the caller
//! (`setup`). A caller that waits anyway is the host's side itself ([`create`](crate::create())).
//!
//! A process that joins a container needs no second one: it does what takes the host's rights before it gives them up.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use ashlar_sys::credentials;
use ashlar_sys::namespace::{self, Kind};
use ashlar_sys::process::{self, Child};

use crate::bundle;
use crate::channel::{self, Channel};
use crate::error::{Error, Failure, InStep, Step};
use crate::request::Request;
use crate::setup::{self, Reporter, Setup};
use crate::spec::NamespaceKind;
use crate::{host_side, inside, join};

/// Exit code of a process that could not be set up.
const NOT_SET_UP: i32 = 127;

/// A process that was made and is being set up.
#[derive(Debug)]
pub struct Begun {
    /// Its number, as the caller sees it.
    pub pid: u32,
    /// The process itself.
    pub pidfd: OwnedFd,
    /// It is the first of its own process namespace.
    pub is_init: bool,
    /// How that went comes later.
    pub setup: Setup,
}

/// Makes the process and returns at once.
///
/// The caller must have a single thread, and is the parent of what is made: of the process, and for a new container of
/// a second, short-lived one, which it has to reap as well.
pub fn begin(request: &Request<'_>) -> Result<Begun, Error> {
    let group = open_group(request)?;
    let (setup, reporter) = setup::pair(request.id.to_owned()).step(Step::Fork, request.id)?;
    let (child, is_init) = match request.join {
        Some(pid) => (begin_join(request, group.as_ref(), &reporter, pid)?, false),
        None => (begin_new(request, group.as_ref(), &reporter)?, request.bundle.makes(NamespaceKind::Pid)),
    };
    Ok(Begun { pid: child.pid, pidfd: child.pidfd, is_init, setup })
}

pub(crate) fn open_group(request: &Request<'_>) -> Result<Option<File>, Failure> {
    let Some(group) = request.group else { return Ok(None) };
    let path = request.subgroup.map_or_else(|| group.to_owned(), |name| group.join(name));
    if request.subgroup.is_some() {
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
        .step(Step::Fork, format!("control group {}", path.display()))?;
    }
    File::open(&path).step(Step::Fork, format!("control group {}", path.display())).map(Some)
}

fn begin_new(request: &Request<'_>, group: Option<&File>, reporter: &Reporter) -> Result<Child, Failure> {
    let (host, within) = channel::pair().step(Step::Fork, request.id)?;
    let inside = fork_inside(request, group, reporter, &within)?;
    let outside = process::fork(&[], group.map(File::as_fd), || {
        process::close_all_but(&[request.stdio[0].as_raw_fd(), reporter.raw(), host.raw()]);
        match host_side::run(request, request.group, &host, inside.pid) {
            Ok(()) => 0,
            Err(failure) => {
                reporter.failed(&failure);
                NOT_SET_UP
            }
        }
    });
    if let Err(error) = outside {
        let _ = process::signal(&inside.pidfd, 9);
        let _ = process::wait(inside.pid);
        return Err(Failure::new(Step::Fork, subject(request), &error));
    }
    Ok(inside)
}

fn subject(request: &Request<'_>) -> String {
    match request.group {
        Some(group) => format!("new namespaces and control group {}", group.display()),
        None => "new namespaces".to_owned(),
    }
}

/// Makes the inside. It is born in the namespaces that nobody can enter later, or that own the others; making the rest
/// takes time (a network's above all), which is the inside's to spend.
pub(crate) fn fork_inside(
    request: &Request<'_>,
    group: Option<&File>,
    reporter: &Reporter,
    within: &Channel,
) -> Result<Child, Failure> {
    let bundle = request.bundle;
    let kinds = [NamespaceKind::User, NamespaceKind::Pid];
    let born_in: Vec<Kind> = kinds.into_iter().filter(|kind| bundle.makes(*kind)).map(bundle::kind).collect();
    let body = || {
        request.close_others(&[reporter.raw(), within.raw()]);
        run(request, reporter, |reporter| inside::run(request, within, reporter))
    };
    let joined = |kind| bundle.spec.linux.namespaces.iter().find(|n| n.kind == kind)?.path.as_deref();
    match (joined(NamespaceKind::User), joined(NamespaceKind::Pid)) {
        (None, None) => process::fork(&born_in, group.map(File::as_fd), body).step(Step::Fork, subject(request)),
        (users, processes) => {
            let open = |path: Option<&str>| path.map(|path| File::open(path).step(Step::Namespace, path)).transpose();
            let (users, processes) = (open(users)?, open(processes)?);
            fork_within(group, users.as_ref(), processes.as_ref(), &born_in, body)
        }
    }
}

/// Makes the inside in namespaces of others: by a process in between that enters them, so that ours are left alone.
fn fork_within(
    group: Option<&File>,
    users: Option<&impl AsFd>,
    processes: Option<&impl AsFd>,
    born_in: &[Kind],
    body: impl FnOnce() -> i32,
) -> Result<Child, Failure> {
    let subject = || "the namespaces of another container".to_owned();
    let (mut answer, mut writer) = io::pipe().step(Step::Fork, subject())?;
    let between = process::fork(&[], group.map(File::as_fd), || {
        let entered = || {
            // Who is root on the host may enter any; who is not has to be root in there first.
            let early = processes.map(|file| namespace::enter(file, &[Kind::Pid]));
            if let Some(file) = users {
                namespace::enter(file, &[Kind::User])?;
            }
            match (early, processes) {
                (Some(Err(_)), Some(file)) => namespace::enter(file, &[Kind::Pid]),
                _ => Ok(()),
            }
        };
        let made = entered().and_then(|()| process::fork_beside(born_in, body).map(|child| child.pid));
        let (pid, errno) = match made {
            Ok(pid) => (pid, 0),
            Err(error) => (0, error.raw_os_error().unwrap_or(UNKNOWN)),
        };
        let told = [pid.to_le_bytes(), errno.to_le_bytes()].concat();
        i32::from(writer.write_all(&told).is_err())
    })
    .step(Step::Fork, subject())?;
    drop(writer);
    let mut told = [0; 8];
    let read = answer.read_exact(&mut told);
    let _ = process::wait(between.pid);
    read.step(Step::Fork, subject())?;
    let [p0, p1, p2, p3, e0, e1, e2, e3] = told;
    match i32::from_le_bytes([e0, e1, e2, e3]) {
        0 => {
            let pid = u32::from_le_bytes([p0, p1, p2, p3]);
            let pidfd = ashlar_sys::child::watch(pid).step(Step::Fork, subject())?;
            Ok(Child { pid, pidfd })
        }
        errno => Err(Failure::new(Step::Namespace, subject(), &io::Error::from_raw_os_error(errno))),
    }
}

/// An error without a number (EIO).
const UNKNOWN: i32 = 5;

fn begin_join(request: &Request<'_>, group: Option<&File>, reporter: &Reporter, pid: u32) -> Result<Child, Error> {
    let target = ashlar_sys::child::watch(pid).map_err(|_| Error::Gone { pid })?;
    if process::readable(&[target.as_fd()], 0).unwrap_or(true) {
        return Err(Error::Gone { pid });
    }
    let subject = || format!("the container of process {pid}");
    let own_pids = request.bundle.owns(NamespaceKind::Pid);
    let body = || {
        request.close_others(&[reporter.raw(), target.as_raw_fd()]);
        run(request, reporter, |reporter| join::run(request, &target, reporter))
    };
    // The namespace of children is the caller's to set, and is set back at once.
    let home = File::open("/proc/self/ns/pid").step(Step::Namespace, "/proc/self/ns/pid")?;
    if own_pids && namespace::enter(&home, &[Kind::Pid]).is_err() {
        // The way back takes rights over the namespace at home, which root of a user namespace has not. Without rights over
        // the container's either, one has to be root in there first, which is for good.
        let users = (request.bundle.owns(NamespaceKind::User) && !credentials::may_administer()).then_some(&target);
        return Ok(fork_within(group, users, Some(&target), &[], body)?);
    }
    if own_pids {
        namespace::enter(&target, &[Kind::Pid]).step(Step::Namespace, subject())?;
    }
    let child = process::fork(&[], group.map(File::as_fd), body);
    if own_pids {
        namespace::enter(&home, &[Kind::Pid]).step(Step::Namespace, "/proc/self/ns/pid")?;
    }
    Ok(child.step(Step::Fork, subject())?)
}

/// Runs a set-up in a copy; it comes back only if it failed.
fn run(
    request: &Request<'_>,
    reporter: &Reporter,
    set_up: impl FnOnce(&Reporter) -> Result<Infallible, Failure>,
) -> i32 {
    let person = request.tell.then_some(request.stdio[2]);
    if let Ok(reporter) = reporter.above(request.passed().len(), person) {
        let Err(failure) = set_up(&reporter);
        reporter.failed(&failure);
    }
    NOT_SET_UP
}
