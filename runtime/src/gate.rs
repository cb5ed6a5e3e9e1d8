//! The gate of a container: its process waits there until it is started, and says behind it how that went.

use std::os::fd::BorrowedFd;

use ashlar_sys::{process, socket};

use crate::error::{Failure, InStep, Step};
use crate::setup::Reporter;

/// Says that everything is ready and waits for whoever starts it; from then on it is that one who is told.
pub(crate) fn wait(gate: BorrowedFd<'_>, reporter: &Reporter, lowest: usize) -> Result<Reporter, Failure> {
    reporter.ready();
    loop {
        process::readable(&[gate], -1).step(Step::Start, "the process")?;
        if let Some(visitor) = socket::accept(&gate).step(Step::Start, "the process")? {
            return Reporter::over(visitor).above(lowest, None).step(Step::Start, "the process");
        }
    }
}
