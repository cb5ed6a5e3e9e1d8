//! What can go wrong with a start, and in which step.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// One step of a set-up, in the order in which they are done. Its words complete "cannot …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the words beside them say it")]
pub enum Step {
    Fork,
    MapIds,
    Limit,
    Devices,
    ProcessLimit,
    Prepare,
    ShiftIds,
    Namespace,
    Identity,
    HostName,
    Loopback,
    Sysctl,
    Start,
    Root,
    Overlay,
    MountPoint,
    Mount,
    Node,
    Mask,
    Hook,
    Pivot,
    Terminal,
    WorkingDirectory,
    Capabilities,
    Label,
    Filter,
    Descriptors,
    Execute,
}

/// Steps with their words.
const STEPS: [(Step, &str); 28] = [
    (Step::Fork, "make a process in"),
    (Step::MapIds, "map the ids of"),
    (Step::Limit, "write"),
    (Step::Devices, "restrict the devices of"),
    (Step::ProcessLimit, "set"),
    (Step::Prepare, "prepare the mounts of"),
    (Step::ShiftIds, "shift the ids of"),
    (Step::Namespace, "enter"),
    (Step::Identity, "become"),
    (Step::HostName, "set the host name to"),
    (Step::Loopback, "bring up"),
    (Step::Sysctl, "set kernel parameter"),
    (Step::Start, "start"),
    (Step::Root, "mount the root"),
    (Step::Overlay, "lay a writable overlay over"),
    (Step::MountPoint, "make mount point"),
    (Step::Mount, "mount"),
    (Step::Node, "make"),
    (Step::Mask, "mask"),
    (Step::Hook, "run hook"),
    (Step::Pivot, "change the root to"),
    (Step::Terminal, "take the terminal"),
    (Step::WorkingDirectory, "change the directory to"),
    (Step::Capabilities, "set"),
    (Step::Label, "set label"),
    (Step::Filter, "filter system calls by"),
    (Step::Descriptors, "arrange"),
    (Step::Execute, "execute"),
];

impl Step {
    /// What the step does, to be followed by what it does that to.
    pub fn words(self) -> &'static str {
        STEPS[self as usize].1
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        STEPS.get(usize::from(number)).map(|(step, _)| *step)
    }
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("cannot {} {subject}: {reason}", .step.words())]
pub struct Failure {
    /// Which.
    pub step: Step,
    /// On what: a path, a name.
    pub subject: String,
    /// The kernel's error number; 0 if it was not the kernel.
    pub errno: i32,
    /// In words.
    pub reason: String,
}

impl Failure {
    /// The kernel refused.
    pub fn new(step: Step, subject: impl Into<String>, error: &io::Error) -> Self {
        Self { step, subject: subject.into(), errno: error.raw_os_error().unwrap_or(0), reason: reason(error) }
    }

    /// Something else than the kernel is the reason.
    pub fn because(step: Step, subject: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { step, subject: subject.into(), errno: 0, reason: reason.into() }
    }
}

/// An error of the system in words. Without a capital: Docker finds out by "no such file or directory" and "permission
/// denied", as Go writes them, what a container's exit code is. Without the number: people do not need it.
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let mut words = text.split(" (os error").next().unwrap_or(&text).to_owned();
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    words
}

/// Names the step that an error belongs to.
pub(crate) trait InStep<T> {
    fn step(self, step: Step, subject: impl Into<String>) -> Result<T, Failure>;
}

impl<T> InStep<T> for io::Result<T> {
    fn step(self, step: Step, subject: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(step, subject, &error))
    }
}

/// Why a process was not started.
#[derive(Debug, Error)]
pub enum Error {
    /// The bundle has no readable config.json.
    #[error("cannot read {}: {}", .path.display(), reason(.error))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not what the specification says.
    #[error("cannot use {}: {reason}", .path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// The container to be entered has ended.
    #[error("cannot enter the container of process {pid}: it has ended")]
    Gone {
        /// Its main process.
        pid: u32,
    },
    /// The caller's own part of it failed.
    #[error("{0}")]
    Caller(String),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] Failure),
    /// The process is gone, and nobody said why: it was killed.
    #[error("cannot start {subject}: it was killed while it was set up")]
    Killed {
        /// What was being started.
        subject: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_step_at_its_place() {
        for (place, (step, words)) in STEPS.iter().enumerate() {
            assert_eq!((*step as usize, step.words()), (place, *words));
        }
        assert_eq!(Step::from_number(STEPS.len() as u8), None);
    }

    #[test]
    fn messages() {
        let missing = io::Error::from_raw_os_error(2);
        let check = |step, subject: &str, expect: &str| {
            assert_eq!(Failure::new(step, subject, &missing).to_string(), expect);
        };
        check(
            Step::Mount,
            "/var/lib/x at /var/lib/x",
            "cannot mount /var/lib/x at /var/lib/x: no such file or directory",
        );
        check(Step::Execute, "/bin/nothing", "cannot execute /bin/nothing: no such file or directory");
    }
}
