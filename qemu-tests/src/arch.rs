//! The two architectures, and what each one is called by whom.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// An architecture that images are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arch {
    /// 64-bit PC.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

/// UEFI for a virtual machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// Code, mapped read-only.
    pub code: PathBuf,
    /// Fresh variable store to copy; without one the code is given as `-bios` and forgets its variables.
    pub variables: Option<PathBuf>,
}

/// Code and variables where distributions put them.
const X86_64: [(&str, &str); 4] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
];
/// The same with Secure Boot, and no keys yet.
const X86_64_SECURE: [(&str, &str); 3] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ("/usr/share/edk2/x64/OVMF_CODE.secboot.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
];
const AARCH64: [(&str, &str); 3] = [
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    ("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"),
    ("/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", ""),
];

impl Arch {
    /// Both.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// This machine's.
    pub const fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 }
    }

    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Rust's name of the target.
    pub const fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-gnu",
            Self::Aarch64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// The same with a C library that programs carry with them, and that starts in no time.
    pub const fn small_target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-musl",
            Self::Aarch64 => "aarch64-unknown-linux-musl",
        }
    }

    /// Debian's name.
    pub const fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The cross compiler that links for it.
    pub const fn linker(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-linux-gnu-gcc",
            Self::Aarch64 => "aarch64-linux-gnu-gcc",
        }
    }

    /// QEMU's program.
    pub const fn qemu(self) -> &'static str {
        match self {
            Self::X86_64 => "qemu-system-x86_64",
            Self::Aarch64 => "qemu-system-aarch64",
        }
    }

    /// UEFI of this machine's packages.
    pub fn firmware(self) -> Option<Firmware> {
        match self {
            Self::X86_64 => installed(&X86_64),
            Self::Aarch64 => installed(&AARCH64),
        }
    }

    /// UEFI that has Secure Boot.
    pub fn secure_firmware(self) -> Option<Firmware> {
        match self {
            Self::X86_64 => installed(&X86_64_SECURE),
            Self::Aarch64 => None,
        }
    }
}

fn installed(places: &[(&str, &str)]) -> Option<Firmware> {
    let exists = |path: &str| path.is_empty() || Path::new(path).exists();
    let (code, variables) = places.iter().find(|(code, vars)| exists(code) && exists(vars))?;
    let variables = (!variables.is_empty()).then(|| PathBuf::from(variables));
    Some(Firmware { code: PathBuf::from(code), variables })
}

impl fmt::Display for Arch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Arch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|arch| text == arch.name() || text == arch.debian());
        found.ok_or_else(|| format!("there are images for x86_64 and aarch64, not for {text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |text: &str, expect: Option<Arch>| assert_eq!(text.parse::<Arch>().ok(), expect, "{text}");
        check("x86_64", Some(Arch::X86_64));
        check("amd64", Some(Arch::X86_64));
        check("aarch64", Some(Arch::Aarch64));
        check("riscv64", None);
    }
}
