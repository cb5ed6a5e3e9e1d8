//! How PID 1 outlives itself: faults, panics and requests all lead to executing its program again, with the snapshot's
//! descriptor as argument.
//!
//! A fault or panic in the middle of a turn goes back to the state after the turn before; what was begun since is found
//! by looking at the control groups (`machine/save.rs`). A request, and a fault signal that somebody sent, wait for the
//! end of the turn, so that nothing is lost at all.
//!
//! A snapshot that makes every new instance fail would be the end. So each one is told how many before it failed while
//! they came back; after [`ATTEMPTS`] the snapshot is dropped and only what runs is adopted.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicI32, Ordering};

use ashlar_sys::signal;

use crate::snapshot::Snapshot;

const RESUME: &str = "--resume=";
const ATTEMPT: &str = "--attempt=";
/// Failures in a row while coming back, after which the snapshot is not believed.
const ATTEMPTS: u32 = 25;

static WAKE: AtomicI32 = AtomicI32::new(-1);

/// What an earlier instance said on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Legacy {
    /// The snapshot's descriptor.
    pub snapshot: RawFd,
    /// How many instances failed to come back from it.
    pub attempt: u32,
}

impl Legacy {
    /// None on the first start.
    pub fn from_arguments(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut legacy = None;
        let mut attempt = 0;
        for argument in arguments {
            if let Some(fd) = argument.strip_prefix(RESUME).and_then(|text| text.parse().ok()) {
                legacy = Some(fd);
            } else if let Some(number) = argument.strip_prefix(ATTEMPT).and_then(|text| text.parse().ok()) {
                attempt = number;
            }
        }
        legacy.map(|snapshot| Self { snapshot, attempt })
    }

    /// Whether its snapshot still deserves a try.
    pub fn is_credible(self) -> bool {
        self.attempt < ATTEMPTS
    }
}

/// A fault before the snapshot is loaded tries the same again.
pub fn protect_start(legacy: Option<Legacy>) -> io::Result<()> {
    let arguments = legacy.map_or_else(Vec::new, |legacy| {
        vec![format!("{RESUME}{}", legacy.snapshot), format!("{ATTEMPT}{}", legacy.attempt + 1)]
    });
    protect(&arguments)?;
    std::panic::set_hook(Box::new(|panic| {
        let mut log = crate::log::Log::open();
        log.say(crate::log::ERROR, None, &format!("bug in PID 1, going back to the last turn: {panic}"));
        signal::execute();
    }));
    Ok(())
}

/// From now on a fault or a panic goes back to `snapshot`; `wake` is written to when a fault signal is sent.
pub fn protect_running(snapshot: &Snapshot) -> io::Result<()> {
    signal::keep_up_to(snapshot.descriptor());
    protect(&[format!("{RESUME}{}", snapshot.descriptor())])
}

/// Remembers whom to wake when a fault signal is sent.
pub fn arm(wake: io::PipeWriter) {
    let wake = OwnedFd::from(wake);
    WAKE.store(wake.as_raw_fd(), Ordering::SeqCst);
    // Open for as long as the program is.
    std::mem::forget(wake);
}

fn protect(arguments: &[String]) -> io::Result<()> {
    let program = fs::read_link("/proc/self/exe").unwrap_or_else(|_| "/usr/lib/ashlar/init".into());
    let program = CString::new(program.as_os_str().as_bytes())?;
    let mut line = vec![program.clone()];
    for argument in arguments {
        line.push(CString::new(argument.as_str())?);
    }
    let environment: Vec<CString> = std::env::vars_os()
        .filter_map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()).ok())
        .collect();
    signal::survive(&program, &line, &environment, WAKE.load(Ordering::SeqCst))
}

/// Executes PID 1 anew, now.
pub fn execute() -> ! {
    signal::execute()
}

/// Tells the fault handler how far the descriptors go that must stay open.
pub fn keep(fd: RawFd) {
    signal::keep_up_to(fd);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let check = |line: &str, expect| {
            assert_eq!(Legacy::from_arguments(line.split(' ').map(str::to_owned)), expect, "{line}");
        };
        check("/init", None);
        check("/init --resume=5", Some(Legacy { snapshot: 5, attempt: 0 }));
        check("/init --resume=5 --attempt=2", Some(Legacy { snapshot: 5, attempt: 2 }));
        check("/init single quiet", None);
        assert!(!Legacy { snapshot: 5, attempt: ATTEMPTS }.is_credible());
    }
}
