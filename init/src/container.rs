//! The seam to the container runtime: a start is begun here and never waited for.
//!
//! The runtime forks and returns at once; how the set-up went comes later over a descriptor.

use std::os::fd::BorrowedFd;
use std::path::Path;

use ashlar_runtime::{Bundle, Error, Step};

use crate::cgroup;
use crate::exec::{Failure, code};

/// One process to be started in a container.
pub struct Request<'a> {
    /// What the container is called.
    pub id: &'a str,
    /// Where it is described.
    pub bundle: Described<'a>,
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
    pub stdio: [BorrowedFd<'a>; 3],
    /// Standard input is a terminal that the process shall control.
    pub terminal: bool,
    /// Descriptors from 3 on.
    pub descriptors: Vec<BorrowedFd<'a>>,
    /// Enter the namespaces of this process instead of making new ones.
    pub join: Option<u32>,
    /// A person reads its standard error: what fails is to be written there, too.
    pub tell: bool,
}

/// Where a container is described.
pub enum Described<'a> {
    /// In an OCI bundle's directory.
    In(&'a str),
    /// Here.
    As(Box<Bundle>),
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
pub struct Setup(ashlar_runtime::Setup);

impl Setup {
    /// Readable when there is something to say.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.descriptor()
    }

    /// Executed, or which step failed and why; `None`: not yet.
    pub fn outcome(&mut self) -> Option<Result<(), Failure>> {
        self.0.outcome().map(|outcome| outcome.map_err(|error| failure(&error)))
    }

    /// The outcome once the process has ended.
    pub fn ended(self) -> Result<(), Failure> {
        self.0.ended().map_err(|error| failure(&error))
    }
}

fn failure(error: &Error) -> Failure {
    let code = match error {
        Error::Step(failure) => match failure.step {
            Step::WorkingDirectory => code::CHDIR,
            Step::Execute => code::EXEC,
            Step::Terminal | Step::Descriptors => code::STDIN,
            Step::Identity => code::USER,
            Step::Capabilities => code::CAPABILITIES,
            Step::Filter => code::SECCOMP,
            Step::ProcessLimit => code::LIMITS,
            _ => code::NAMESPACE,
        },
        _ => code::EXEC,
    };
    Failure { reason: error.to_string(), code }
}

/// Forks the process.
pub fn begin(request: &Request<'_>) -> Result<Begun, String> {
    let loaded;
    let bundle = match &request.bundle {
        Described::In(directory) => {
            loaded = Bundle::load(Path::new(directory)).map_err(|error| error.to_string())?;
            &loaded
        }
        Described::As(bundle) => bundle,
    };
    let descriptors: Vec<Option<BorrowedFd<'_>>> = request.descriptors.iter().copied().map(Some).collect();
    let begun = ashlar_runtime::begin(&ashlar_runtime::Request {
        group: Some(&cgroup::path(request.group)),
        subgroup: request.subgroup,
        command: request.command,
        environment: &request.environment,
        own_pid: &request.own_pid,
        terminal: request.terminal,
        descriptors: &descriptors,
        join: request.join,
        tell: request.tell,
        ..ashlar_runtime::Request::new(bundle, request.id, request.stdio)
    });
    let begun = begun.map_err(|error| error.to_string())?;
    Ok(Begun { pid: begun.pid, is_init: begun.is_init, setup: Setup(begun.setup) })
}
