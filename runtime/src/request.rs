//! What is asked for: one process, in a new container or in one that is there.

use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::path::Path;

use ashlar_sys::process;

use crate::bundle::Bundle;

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
    /// A socket. The process gets a new terminal of the container's own instead of `stdio`; whoever is behind the socket
    /// gets the other end of it.
    pub console: Option<BorrowedFd<'a>>,
    /// A listening socket. The process waits there, ready, until [`start`](crate::start) knocks.
    pub gate: Option<BorrowedFd<'a>>,
    /// Descriptors from 3 on; `None`: that number is closed.
    pub descriptors: &'a [Option<BorrowedFd<'a>>],
    /// Enter the container of this process instead of making one.
    pub join: Option<u32>,
    /// Write what fails on the process's standard error, too: there is a person.
    pub tell: bool,
    /// The root is moved over the old one: for a host whose own root is the initramfs.
    pub no_pivot: bool,
    /// The caller's keys stay visible.
    pub keep_keyring: bool,
}

impl<'a> Request<'a> {
    /// The bundle's own process, with nothing special about it.
    pub fn new(bundle: &'a Bundle, id: &'a str, stdio: [BorrowedFd<'a>; 3]) -> Self {
        Self {
            bundle,
            id,
            group: None,
            subgroup: None,
            command: None,
            environment: &[],
            own_pid: &[],
            stdio,
            terminal: false,
            console: None,
            gate: None,
            descriptors: &[],
            join: None,
            tell: false,
            no_pivot: false,
            keep_keyring: false,
        }
    }

    /// The process's descriptors, in the order of their numbers.
    pub(crate) fn passed(&self) -> Vec<Option<BorrowedFd<'a>>> {
        self.stdio.into_iter().map(Some).chain(self.descriptors.iter().copied()).collect()
    }

    /// Closes, in a copy, all descriptors but these and the process's own.
    pub(crate) fn close_others(&self, kept: &[RawFd]) {
        let passed = self.passed().into_iter().flatten().chain(self.console).chain(self.gate);
        let passed: Vec<RawFd> = passed.map(|fd| fd.as_raw_fd()).collect();
        process::close_all_but(&[passed.as_slice(), kept].concat());
    }

    pub(crate) fn program(&self) -> &[String] {
        self.command.unwrap_or(&self.bundle.process().args)
    }
}
