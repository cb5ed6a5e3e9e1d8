//! Whether KVM really runs a guest here. `/dev/kvm` may exist and refuse, hang, or run a few instructions and then give
//! up, so the firmware itself is run until it says something on the serial console.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::ACCELERATOR_VARIABLE;
use crate::accelerator::Accelerator;
use crate::arch::Arch;
use crate::qemu::Launch;

/// Longest that the probe may take; it takes about a second where KVM works.
const PATIENCE: Duration = Duration::from_secs(15);

/// The accelerator for guests of an architecture on this machine: what the environment says was found, or the probe's
/// verdict.
pub fn accelerator(arch: Arch) -> Accelerator {
    if arch != Arch::host() {
        return Accelerator::Tcg;
    }
    match std::env::var(ACCELERATOR_VARIABLE).as_deref() {
        Ok("kvm") => Accelerator::Kvm,
        Ok("tcg") => Accelerator::Tcg,
        _ if Path::new("/dev/kvm").exists() && probe(arch, Accelerator::Kvm, PATIENCE) => Accelerator::Kvm,
        _ => Accelerator::Tcg,
    }
}

/// Whether the firmware of an architecture comes to say something within `patience`.
fn probe(arch: Arch, accelerator: Accelerator, patience: Duration) -> bool {
    let folder = std::env::temp_dir().join(format!("ashlar-probe-{}-{}", arch.name(), std::process::id()));
    let speaks = fs::create_dir_all(&folder).is_ok() && speaks(arch, accelerator, &folder, patience).unwrap_or(false);
    let _ = fs::remove_dir_all(&folder);
    speaks
}

fn speaks(arch: Arch, accelerator: Accelerator, folder: &Path, patience: Duration) -> Result<bool> {
    let mut command = Launch::bare(arch, accelerator).command(folder)?;
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut qemu = command.spawn()?;
    let mut output = qemu.stdout.take().context("QEMU has no standard output")?;
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut byte = [0];
        let _ = sender.send(output.read(&mut byte).unwrap_or(0) == 1);
    });
    let speaks = receiver.recv_timeout(patience).unwrap_or(false);
    // Not waited for if it hangs in the kernel.
    let _ = qemu.kill();
    let _ = qemu.try_wait();
    Ok(speaks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool;

    #[test]
    fn the_probe_sees_a_guest_that_runs() {
        let (arch, tcg) = (Arch::host(), Accelerator::Tcg);
        if tool::find(arch.qemu()).is_some() && arch.firmware().is_some() {
            assert!(probe(arch, tcg, Duration::from_secs(120)));
            assert!(!probe(arch, tcg, Duration::ZERO));
        }
    }
}
