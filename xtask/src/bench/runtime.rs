//! The container runtime beside others: the bench of its crate, built as the runtime of images is.

use anyhow::Result;
use ashlar_qemu_tests::arch::Arch;

use crate::setup;
use crate::step::{cargo, run};

/// Prints the table. Nothing of the machine's is changed, but only root may make what is measured.
pub fn compare() -> Result<()> {
    let target = setup::small_target(Arch::host());
    let mut command = cargo();
    command.args(["bench", "--profile", "image", "--package", "ashlar-runtime", "--bench", "runtimes"]);
    command.args(["--target", target]).env("RUSTFLAGS", "-Ctarget-feature=+crt-static");
    if !setup::is_root() {
        command.env(format!("CARGO_TARGET_{}_RUNNER", target.replace('-', "_").to_uppercase()), "sudo");
    }
    run(&mut command)
}
