//! Beginning a process: everything that the caller does itself. It is little, and none of it waits.
//!
//! A new container is set up by two processes. The *inside* is born in the new namespaces and becomes the container's
//! main process. The *host's side* stays outside: only there can ids be mapped, limits be written and the host's files
//! be opened. It hands the inside what that needs (`channel`) and ends before the program is executed. Both report to
//! the caller (`setup`).
//!
//! A process that joins a container needs no second one: it does what takes the host's rights before it gives them up.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use ashlar_sys::namespace::{self, Kind};
use ashlar_sys::process::{self, Child};

use crate::bundle::{self, Bundle};
use crate::error::{Error, Failure, InStep, Step};
use crate::setup::{self, Reporter, Setup};
use crate::spec::NamespaceKind;
use crate::{channel, host_side, inside, join};

/// Exit code of a process that could not be set up.
const NOT_SET_UP: i32 = 127;

/// One process to be started.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// What it runs in.
    pub bundle: &'a Bundle,
    /// What the container is called.
    pub id: &'a str,
    /// Directory of its control group, which exists; `None`: the caller's group, without limits.
    pub group: Option<&'a Path>,
    /// Group below that one in which the process runs; made if it is not there. The limits are on `group`.
    pub subgroup: Option<&'a str>,
    /// Command instead of the bundle's own.
    pub command: Option<&'a [String]>,
    /// Variables besides the bundle's, or instead of those of the same name.
    pub environment: &'a [(String, String)],
    /// Variables whose value is the process's own number, as it sees itself.
    pub own_pid: &'a [&'a str],
    /// Standard input, output and error.
    pub stdio: [BorrowedFd<'a>; 3],
    /// Standard input is a terminal that the process shall control, whoever had it.
    pub terminal: bool,
    /// Descriptors from 3 on.
    pub descriptors: &'a [BorrowedFd<'a>],
    /// Enter the container of this process instead of making one.
    pub join: Option<u32>,
    /// Write what fails on the process's standard error, too: there is a person.
    pub tell: bool,
}

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

impl<'a> Request<'a> {
    /// The process's descriptors, in the order of their numbers.
    pub(crate) fn passed(&self) -> Vec<BorrowedFd<'a>> {
        self.stdio.iter().chain(self.descriptors).copied().collect()
    }

    /// Closes, in a copy, all descriptors but these and the process's own.
    fn close_others(&self, kept: &[RawFd]) {
        let passed: Vec<RawFd> = self.passed().iter().map(AsRawFd::as_raw_fd).collect();
        process::close_all_but(&[passed.as_slice(), kept].concat());
    }

    pub(crate) fn program(&self) -> &[String] {
        self.command.unwrap_or(&self.bundle.process().args)
    }
}

/// Makes the process and returns at once.
///
/// The caller must have a single thread, and is the parent of what is made: of the process, and for a new container of
/// a second, short-lived one, which it has to reap as well.
pub fn begin(request: &Request<'_>) -> Result<Begun, Error> {
    let group = request.group.map(|group| open_group(group, request.subgroup)).transpose()?;
    let (setup, reporter) = setup::pair(request.id.to_owned()).step(Step::Fork, request.id)?;
    let (child, is_init) = match request.join {
        Some(pid) => (begin_join(request, group.as_ref(), reporter, pid)?, false),
        None => (begin_new(request, group.as_ref(), reporter)?, request.bundle.makes(NamespaceKind::Pid)),
    };
    Ok(Begun { pid: child.pid, pidfd: child.pidfd, is_init, setup })
}

fn open_group(group: &Path, subgroup: Option<&str>) -> Result<File, Failure> {
    let path = subgroup.map_or_else(|| group.to_owned(), |name| group.join(name));
    if subgroup.is_some() {
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
        .step(Step::Fork, format!("control group {}", path.display()))?;
    }
    File::open(&path).step(Step::Fork, format!("control group {}", path.display()))
}

/// Namespaces that the inside is born in: those that nobody can enter later, or that own the others. Making the rest
/// takes time (a network's above all), which is the inside's to spend.
fn birth(bundle: &Bundle) -> Vec<Kind> {
    [NamespaceKind::User, NamespaceKind::Pid].into_iter().filter(|k| bundle.makes(*k)).map(bundle::kind).collect()
}

fn begin_new(request: &Request<'_>, group: Option<&File>, reporter: Reporter) -> Result<Child, Failure> {
    let (host, within) = channel::pair().step(Step::Fork, request.id)?;
    let subject = || match request.group {
        Some(group) => format!("new namespaces and control group {}", group.display()),
        None => "new namespaces".to_owned(),
    };
    let inside = process::fork(&birth(request.bundle), group.map(File::as_fd), || {
        request.close_others(&[reporter.raw(), within.raw()]);
        run(request, &reporter, |reporter| inside::run(request, &within, reporter))
    })
    .step(Step::Fork, subject())?;
    let outside = process::fork(&[], group.map(File::as_fd), || {
        process::close_all_but(&[request.stdio[0].as_raw_fd(), reporter.raw(), host.raw()]);
        match host_side::run(request, &host, inside.pid) {
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
        return Err(Failure::new(Step::Fork, subject(), &error));
    }
    Ok(inside)
}

fn begin_join(request: &Request<'_>, group: Option<&File>, reporter: Reporter, pid: u32) -> Result<Child, Error> {
    let target = ashlar_sys::child::watch(pid).map_err(|_| Error::Gone { pid })?;
    if process::readable(&[target.as_fd()], 0).unwrap_or(true) {
        return Err(Error::Gone { pid });
    }
    let subject = || format!("the container of process {pid}");
    let own_pids = request.bundle.owns(NamespaceKind::Pid);
    // The namespace of children is the caller's to set; it is set back at once.
    let home = File::open("/proc/self/ns/pid").step(Step::Namespace, "/proc/self/ns/pid")?;
    if own_pids {
        namespace::enter(&target, &[Kind::Pid]).step(Step::Namespace, subject())?;
    }
    let child = process::fork(&[], group.map(File::as_fd), || {
        request.close_others(&[reporter.raw(), target.as_raw_fd()]);
        run(request, &reporter, |reporter| join::run(request, &target, reporter))
    });
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
