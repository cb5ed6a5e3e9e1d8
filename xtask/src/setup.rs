//! `setup`: what this machine lacks. Looks for the programs and files themselves, so that nothing is asked of the package
//! manager when all is there; knows the names of Debian's packages and says them where there is no apt.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::tool;

use crate::step::{output, run, say};

/// What something is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Compiling, and building an image of either architecture.
    Build,
    /// Cross-compiling for the other architecture.
    Cross(Arch),
    /// Booting an image of this architecture.
    Boot(Arch),
    /// The tests' foreign checkers.
    Check,
}

/// How to see that something is there.
enum Sign {
    Program(&'static str),
    /// Any of these files.
    File(&'static [&'static str]),
    Firmware(Arch),
}

struct Need {
    purpose: Use,
    sign: Sign,
    package: &'static str,
}

const fn program(purpose: Use, name: &'static str, package: &'static str) -> Need {
    Need { purpose, sign: Sign::Program(name), package }
}

const fn file(purpose: Use, paths: &'static [&'static str], package: &'static str) -> Need {
    Need { purpose, sign: Sign::File(paths), package }
}

const fn firmware(arch: Arch, package: &'static str) -> Need {
    Need { purpose: Use::Boot(arch), sign: Sign::Firmware(arch), package }
}

const NEEDS: [Need; 23] = [
    program(Use::Build, "cc", "gcc"),
    file(Use::Build, &["/usr/include/stdlib.h"], "libc6-dev"),
    file(
        Use::Build,
        &["/usr/share/keyrings/debian-archive-trixie-automatic.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"],
        "debian-archive-keyring",
    ),
    program(Use::Cross(Arch::X86_64), "x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu"),
    file(
        Use::Cross(Arch::X86_64),
        &["/usr/x86_64-linux-gnu/lib/libc.a", "/usr/lib/x86_64-linux-gnu/libc.a"],
        "libc6-dev-amd64-cross",
    ),
    program(Use::Cross(Arch::Aarch64), "aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    file(
        Use::Cross(Arch::Aarch64),
        &["/usr/aarch64-linux-gnu/lib/libc.a", "/usr/lib/aarch64-linux-gnu/libc.a"],
        "libc6-dev-arm64-cross",
    ),
    program(Use::Boot(Arch::X86_64), "qemu-system-x86_64", "qemu-system-x86"),
    firmware(Arch::X86_64, "ovmf"),
    program(Use::Boot(Arch::Aarch64), "qemu-system-aarch64", "qemu-system-arm"),
    firmware(Arch::Aarch64, "qemu-efi-aarch64"),
    program(Use::Boot(Arch::X86_64), "mcopy", "mtools"),
    program(Use::Boot(Arch::Aarch64), "mcopy", "mtools"),
    program(Use::Boot(Arch::X86_64), "ssh", "openssh-client"),
    program(Use::Check, "cpio", "cpio"),
    program(Use::Check, "sgdisk", "gdisk"),
    program(Use::Check, "fsck.vfat", "dosfstools"),
    program(Use::Check, "e2fsck", "e2fsprogs"),
    program(Use::Check, "veritysetup", "cryptsetup-bin"),
    program(Use::Check, "fsck.erofs", "erofs-utils"),
    program(Use::Check, "sbverify", "sbsigntool"),
    program(Use::Check, "etcd", "etcd-server"),
    program(Use::Check, "docker-registry", "docker-registry"),
];

impl Need {
    fn is_met(&self) -> bool {
        match self.sign {
            Sign::Program(name) => tool::find(name).is_some(),
            Sign::File(paths) => paths.iter().any(|path| Path::new(path).exists()),
            Sign::Firmware(arch) => arch.firmware().is_some(),
        }
    }
}

/// What all verbs need.
pub fn everything() -> Result<()> {
    let mut uses = vec![Use::Build, Use::Check];
    for arch in Arch::ALL {
        uses.extend(to_build(arch));
        uses.push(Use::Boot(arch));
    }
    ensure(&uses)?;
    Arch::ALL.into_iter().try_for_each(ensure_target)
}

/// What building for `arch` needs.
pub fn to_build(arch: Arch) -> Vec<Use> {
    let cross = (arch != Arch::host()).then_some(Use::Cross(arch));
    [Use::Build].into_iter().chain(cross).collect()
}

/// Installs what is missing of what these uses need.
pub fn ensure(uses: &[Use]) -> Result<()> {
    let missing = || NEEDS.iter().filter(|need| uses.contains(&need.purpose) && !need.is_met());
    let mut packages: Vec<&str> = missing().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if tool::find("apt-get").is_none() {
        bail!("this machine lacks what Debian calls {list}: install it with the package manager and try again");
    }
    say(&format!("installing {list}"));
    install(&packages)?;
    match missing().next() {
        Some(need) => bail!("{} is installed and yet not where it is looked for", need.package),
        None => Ok(()),
    }
}

/// Installs packages; the lists are fetched when they are old or do not know a package.
fn install(packages: &[&str]) -> Result<()> {
    let fetch = || run(apt("update").arg("-qq"));
    let lists_are_old = !lists_are_fresh();
    if lists_are_old {
        fetch()?;
    }
    let get = || run(apt("install").args(["-y", "-qq", "--no-install-recommends"]).args(packages));
    if get().is_ok() {
        return Ok(());
    }
    if !lists_are_old {
        fetch()?;
    }
    get()
}

fn lists_are_fresh() -> bool {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    let age = |path: &Path| path.metadata().ok()?.modified().ok()?.elapsed().ok();
    let lists = std::fs::read_dir("/var/lib/apt/lists").into_iter().flatten().flatten().map(|entry| entry.path());
    lists.filter(|path| path.to_string_lossy().ends_with("Release")).any(|path| age(&path).is_some_and(|a| a < WEEK))
}

fn apt(verb: &str) -> Command {
    let mut command = as_root("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300", verb]);
    command
}

/// The program by way of sudo, unless we are root already.
fn as_root(program: &str) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("--preserve-env=DEBIAN_FRONTEND").arg(program);
    command
}

/// Whether we are root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The compiler for an architecture's programs, where it is not the one that Cargo takes by itself.
pub fn compiler(arch: Arch) -> Option<PathBuf> {
    (!has_target(None, arch.target())).then(|| PathBuf::from(DEBIAN_COMPILER))
}

const DEBIAN_COMPILER: &str = "/usr/bin/rustc";

/// The standard library for an architecture: by rustup, or else from Debian's own compiler for other architectures.
pub fn ensure_target(arch: Arch) -> Result<()> {
    let debian = Some(Path::new(DEBIAN_COMPILER));
    if has_target(None, arch.target()) || has_target(debian, arch.target()) {
        return Ok(());
    }
    say(&format!("adding the target {}", arch.target()));
    if add_target(arch.target()) {
        return Ok(());
    }
    if tool::find("dpkg").is_none() {
        bail!("this machine's Rust has no {}: install that target's standard library", arch.target());
    }
    run(as_root("dpkg").args(["--add-architecture", arch.debian()]))?;
    run(apt("update").arg("-qq"))?;
    install(&["rustc-web", &format!("libstd-rust-web-dev:{}", arch.debian())])?;
    match has_target(debian, arch.target()) {
        true => Ok(()),
        false => bail!("{DEBIAN_COMPILER} has no standard library for {}", arch.target()),
    }
}

/// The target of a program that has to start fast; where this machine's Rust has none, it starts less fast.
pub fn small_target(arch: Arch) -> &'static str {
    let target = arch.small_target();
    match compiler(arch).is_none() && (has_target(None, target) || add_target(target)) {
        true => target,
        false => arch.target(),
    }
}

fn add_target(target: &str) -> bool {
    let add = || Command::new("rustup").current_dir(crate::project::root()).args(["target", "add", target]).status();
    tool::find("rustup").is_some() && add().is_ok_and(|status| status.success()) && has_target(None, target)
}

/// Whether a compiler (the one on PATH, or the given one) has a target's standard library.
fn has_target(compiler: Option<&Path>, target: &str) -> bool {
    let mut command = Command::new(compiler.unwrap_or(Path::new("rustc")));
    command.current_dir(crate::project::root()).args(["--print", "target-libdir", "--target", target]);
    let Ok(folder) = output(&mut command) else { return false };
    let entries = std::fs::read_dir(folder.trim()).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}
