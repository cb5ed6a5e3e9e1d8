//! What something costs.

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

/// CPU time in ms, in user's and kernel's mode, of all processes that `action` makes and that end with it, orphans too.
pub fn of(action: &dyn Fn() -> Result<(), String>) -> Result<f64, String> {
    let before = cpu();
    action()?;
    while waitpid(None, Some(WaitPidFlag::WNOHANG)).is_ok_and(|status| status != WaitStatus::StillAlive) {}
    Ok(cpu() - before)
}

fn cpu() -> f64 {
    let usage = of_children();
    (usage.user_time() + usage.system_time()).num_microseconds() as f64 / 1000.0
}

/// Most memory of any child that was waited for, in KiB.
pub fn memory() -> i64 {
    of_children().max_rss()
}

fn of_children() -> Usage {
    getrusage(UsageWho::RUSAGE_CHILDREN).expect("the kernel counts")
}

/// The one in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
