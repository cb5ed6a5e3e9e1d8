//! Making a container and waiting for it: for a caller that does nothing else meanwhile. It is the host's side itself,
//! which saves a process.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use ashlar_sys::process::{self, Child};

use crate::begin;
use crate::error::{Error, InStep, Step};
use crate::request::Request;
use crate::setup::Setup;
use crate::{channel, host_side, setup};

/// A container whose process is ready behind its gate, or runs.
#[derive(Debug)]
pub struct Created {
    /// Its number, as the caller sees it.
    pub pid: u32,
    /// The process itself.
    pub pidfd: OwnedFd,
}

/// Makes a container and waits until its process is ready behind `request.gate`; without a gate, until it has become
/// the program. The caller must have a single thread.
///
/// `born` is told the number of the process before anything else is done for it. It may put the process into a control
/// group, and gives the directory of that, which gets the limits; `None`: they are those of `request.group`.
///
/// # Errors
/// Nothing of the process is left then.
pub fn create(
    request: &Request<'_>,
    born: impl FnOnce(u32) -> Result<Option<PathBuf>, Error>,
) -> Result<Created, Error> {
    let group = begin::open_group(request)?;
    let (mut setup, reporter) = setup::pair(request.id.to_owned()).step(Step::Fork, request.id)?;
    let (host, within) = channel::pair().step(Step::Fork, request.id)?;
    let Child { pid, pidfd } = begin::fork_inside(request, group.as_ref(), &reporter, &within)?;
    // Their other ends are the process's alone now: if it ends, we hear of it.
    drop((reporter, within));
    let outside = born(pid).and_then(|group| {
        let group = group.as_deref().or(request.group);
        host_side::run(request, group, &host, pid).map_err(Error::from)
    });
    let outcome = match outside {
        Ok(()) => setup.wait(),
        // If the process has failed by now, it was the first. (It does not know of our failure before the channel is
        // closed.)
        Err(error) => Err(match setup.outcome() {
            Some(Err(first @ Error::Step(_))) => first,
            _ => error,
        }),
    };
    drop(host);
    match outcome {
        Ok(()) => Ok(Created { pid, pidfd }),
        Err(error) => {
            let _ = process::signal(&pidfd, 9);
            let _ = process::wait(pid);
            Err(error)
        }
    }
}

/// Lets the process behind a gate become the program, and waits until it has.
///
/// # Errors
/// What it could not do; that it is not there.
pub fn start(gate: &Path, id: &str) -> Result<(), Error> {
    let stream = UnixStream::connect(gate).step(Step::Start, id)?;
    Setup::over(stream.into(), id.to_owned()).step(Step::Start, id)?.wait()
}
