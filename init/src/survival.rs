//! How PID 1 outlives itself: faults, panics and requests all lead to executing its program again with one argument,
//! the snapshot's descriptor.
//!
//! A fault or panic in the middle of a turn goes back to the state after the turn before; what was begun since is found
//! by looking at the control groups (`machine/save.rs`). A request, and a fault signal that somebody sent, wait for the
//! end of the turn, so that nothing is lost at all.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicI32, Ordering};

use ashlar_sys::signal;

use crate::snapshot::Snapshot;

/// The argument by which a new instance knows that it is one.
const RESUME: &str = "--resume=";

static SNAPSHOT: AtomicI32 = AtomicI32::new(-1);
static WAKE: AtomicI32 = AtomicI32::new(-1);

/// The snapshot's descriptor, if an earlier instance left one.
pub fn inherited() -> Option<RawFd> {
    std::env::args().find_map(|argument| argument.strip_prefix(RESUME)?.parse().ok())
}

/// Remembers whom to wake when a fault signal is sent.
pub fn arm(wake: io::PipeWriter) -> io::Result<()> {
    let wake = OwnedFd::from(wake);
    WAKE.store(wake.as_raw_fd(), Ordering::SeqCst);
    // Open for as long as the program is.
    std::mem::forget(wake);
    Ok(())
}

/// From now on a fault or a panic goes back to `snapshot`.
pub fn enable(snapshot: &Snapshot) -> io::Result<()> {
    SNAPSHOT.store(snapshot.descriptor(), Ordering::SeqCst);
    let program = fs::read_link("/proc/self/exe")?;
    let program = CString::new(program.as_os_str().as_bytes())?;
    let argument = CString::new(format!("{RESUME}{}", snapshot.descriptor()))?;
    let environment: Vec<CString> = std::env::vars_os()
        .filter_map(|(key, value)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat()).ok())
        .collect();
    signal::survive(&program, &[program.clone(), argument], &environment, WAKE.load(Ordering::SeqCst))?;
    std::panic::set_hook(Box::new(|panic| {
        let mut log = crate::log::Log::open();
        log.say(crate::log::ERROR, None, &format!("bug in PID 1, going back to the last turn: {panic}"));
        signal::execute();
    }));
    Ok(())
}

/// Executes PID 1 anew, now.
pub fn execute(snapshot: &Snapshot) -> ! {
    signal::keep_up_to(snapshot.descriptor());
    signal::execute()
}

/// Tells the fault handler how far the descriptors go that must stay open.
pub fn keep(fd: RawFd) {
    signal::keep_up_to(fd);
}
