//! The seam to the container runtime: a start is begun here and never waited for.
//!
//! The runtime forks and returns at once; how the set-up went comes later over a descriptor.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

/// One process to be started in a container.
#[expect(dead_code, reason = "the runtime reads them; it is not linked yet")]
pub struct Request<'a> {
    /// OCI bundle directory.
    pub bundle: &'a str,
    /// Control group below the root; the bundle's limits apply to it.
    pub group: &'a str,
    /// Group below that one in which the process runs.
    pub subgroup: Option<&'a str>,
    /// Command instead of the bundle's own.
    pub command: Option<&'a [String]>,
    pub environment: Vec<(String, String)>,
    /// Variables whose value is the process's own number, as it sees itself.
    pub own_pid: Vec<&'static str>,
    /// Standard input, output and error.
    pub stdio: [RawFd; 3],
    /// Standard input is a terminal that the process shall control.
    pub terminal: bool,
    /// Descriptors from 3 on.
    pub descriptors: Vec<RawFd>,
    /// Enter the namespaces of this process instead of making new ones.
    pub join: Option<u32>,
}

/// A process that was forked.
pub struct Begun {
    pub pid: u32,
    /// It is the first of its own process namespace.
    pub is_init: bool,
    pub setup: Setup,
}

/// A set-up that is under way.
#[derive(Debug)]
pub struct Setup(OwnedFd);

impl Setup {
    /// Readable when there is something to say.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&self.0)
    }

    /// Executed, or which step failed and why; `None`: not yet.
    pub fn outcome(&mut self) -> Option<Result<(), String>> {
        None
    }
}

/// Forks the process.
pub fn begin(request: &Request<'_>) -> Result<Begun, String> {
    Err(format!("cannot start {}: this build has no container runtime", request.bundle))
}
