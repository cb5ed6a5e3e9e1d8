//! Whether KVM really runs a guest here. `/dev/kvm` may exist and not work, or hang, so a guest of a few instructions
//! is run that does nothing but end the virtual machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::arch::Arch;
use crate::{ACCELERATOR_VARIABLE, tool};

/// Longest that the probe may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor.
    Kvm,
    /// QEMU, several times slower.
    Tcg,
}

impl Accelerator {
    /// QEMU's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// The one for guests of an architecture on this machine: what the environment says was found, or the probe's
    /// verdict.
    pub fn of(arch: Arch) -> Self {
        if arch != Arch::host() {
            return Self::Tcg;
        }
        match std::env::var(ACCELERATOR_VARIABLE).as_deref() {
            Ok("kvm") => Self::Kvm,
            Ok("tcg") => Self::Tcg,
            _ if probe(arch, Self::Kvm) => Self::Kvm,
            _ => Self::Tcg,
        }
    }

    /// How much longer than on bare processors things may take.
    pub const fn slowness(self) -> u32 {
        match self {
            Self::Kvm => 1,
            Self::Tcg => 6,
        }
    }
}

/// Runs the little guest.
pub fn probe(arch: Arch, accelerator: Accelerator) -> bool {
    if accelerator == Accelerator::Kvm && !Path::new("/dev/kvm").exists() {
        return false;
    }
    let program = std::env::temp_dir().join(format!("ashlar-probe-{}-{}", arch.name(), std::process::id()));
    let ran = fs::write(&program, guest(arch)).is_ok() && ends_well(command(arch, accelerator, &program), arch);
    let _ = fs::remove_file(&program);
    ran
}

/// The guest's memory image.
fn guest(arch: Arch) -> Vec<u8> {
    match arch {
        // A ROM whose reset vector writes to the debug exit port: mov dx,0xf4; mov al,0x10; out dx,al; cli; hlt; jmp
        Arch::X86_64 => {
            let mut rom = vec![0xf4; 64 << 10];
            let reset = rom.len() - 16;
            rom[reset..reset + 10].copy_from_slice(&[0xba, 0xf4, 0, 0xb0, 0x10, 0xee, 0xfa, 0xf4, 0xeb, 0xfd]);
            rom
        }
        // PSCI SYSTEM_OFF: mov w0,#8; movk w0,#0x8400,lsl #16; hvc #0; b .
        Arch::Aarch64 => [0x5280_0100_u32, 0x72b0_8000, 0xd400_0002, 0x1400_0000].map(u32::to_le_bytes).concat(),
    }
}

fn command(arch: Arch, accelerator: Accelerator, program: &Path) -> Command {
    let mut command = tool::command(arch.qemu());
    command.args(["-nodefaults", "-display", "none", "-m", "64", "-accel", accelerator.name()]);
    let program: PathBuf = program.into();
    match arch {
        Arch::X86_64 => {
            command.args(["-machine", "pc", "-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-bios"]).arg(program);
        }
        Arch::Aarch64 => {
            let cpu = if accelerator == Accelerator::Kvm { "host" } else { "cortex-a57" };
            let loader = format!("loader,file={},addr=0x40000000,force-raw=on,cpu-num=0", program.display());
            command.args(["-machine", "virt", "-cpu", cpu, "-device", &loader]);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn ends_well(mut command: Command, arch: Arch) -> bool {
    // isa-debug-exit makes (value << 1) | 1 of what was written.
    let expected = match arch {
        Arch::X86_64 => (0x10 << 1) | 1,
        Arch::Aarch64 => 0,
    };
    let Ok(mut child) = command.spawn() else { return false };
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(Some(status)) => return status.code() == Some(expected),
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    // A process that hangs in the kernel cannot be waited for.
    false
}
