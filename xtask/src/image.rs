//! `image`: our programs for the machine, the builder for this host, and then the builder's work. Cargo and the builder
//! both know what has changed, so a second run makes nothing anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail};
use ashlar_qemu_tests::arch::Arch;

use crate::step::{cargo, run, say};
use crate::{project, setup};

/// Arguments of `image`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Image: a file of `images/` without its ending
    #[arg(default_value = "base")]
    name: String,
    /// Architecture of the machine: x86_64 or aarch64
    #[arg(long, default_value_t = Arch::host())]
    arch: Arch,
    /// Version that the image carries
    #[arg(long)]
    version: Option<String>,
}

/// Crates whose programs go into an image, and the programs.
const STATIC: Linked = Linked {
    packages: &["ashlar-boot", "ashlar-init", "ashlar-provision", "ashlar-dbus", "ashlar-os"],
    programs: &["boot", "state", "init", "provision", "bus", "os", "login"],
    flags: &[STATICALLY, PACKED],
    on_x86_64: &["-Clink-arg=-Wl,-T,init/no-unwinding.ld"],
    folder: None,
    target: Arch::target,
};
/// Engines call it several times for each container. Before main, glibc asks the processor what it is so often that in a
/// virtual machine, which each question leaves, the program takes twice as long to start.
const SMALL: Linked = Linked {
    packages: &["ashlar-runtime"],
    programs: &["ashlar-runtime"],
    flags: &[STATICALLY],
    on_x86_64: &[],
    folder: None,
    target: setup::small_target,
};
/// Static glibc looks up no host names: what fetches is linked with the image's.
const DYNAMIC: Linked = Linked {
    packages: &["ashlar-updater"],
    programs: &["updater"],
    flags: &["-Ctarget-feature=-crt-static"],
    on_x86_64: &[],
    // In one folder each would throw away what the other made.
    folder: Some("dynamic"),
    target: Arch::target,
};
const STATICALLY: &str = "-Ctarget-feature=+crt-static";
/// Addresses to be shifted at the start take 24 bytes each otherwise.
const PACKED: &str = "-Clink-arg=-Wl,-z,pack-relative-relocs";

/// Crates that are linked in the same way.
struct Linked {
    packages: &'static [&'static str],
    programs: &'static [&'static str],
    flags: &'static [&'static str],
    /// Further ones. A static program of aarch64 is not position-independent, and the C library's part of such a one refers
    /// to the tables for unwinding.
    on_x86_64: &'static [&'static str],
    /// Below Cargo's folder of what it makes.
    folder: Option<&'static str>,
    target: fn(Arch) -> &'static str,
}

/// The verb.
pub fn main(options: &Options) -> Result<()> {
    setup::ensure(&setup::to_build(options.arch))?;
    let folder = build(&options.name, options.arch, options.version.as_deref())?;
    println!("{}", folder.display());
    Ok(())
}

/// Builds an image and returns the folder that it is in.
pub fn build(name: &str, arch: Arch, version: Option<&str>) -> Result<PathBuf> {
    let definition = project::root().join("images").join(format!("{name}.toml"));
    if !definition.exists() {
        bail!("{} does not exist: there is no image {name}", definition.display());
    }
    compile(&[arch])?;
    let (builder, programs) = (project::target().join("release/ashlar"), project::programs(arch));
    let folder = project::image(name, arch);
    say(&format!("image {name} for {}", arch.name()));
    let mut command = std::process::Command::new(builder);
    command.current_dir(project::root());
    command.arg("build").arg(&definition).args(["--arch", arch.name()]);
    command.arg("--programs").arg(programs).arg("--output").arg(&folder);
    if let Some(version) = version {
        command.args(["--version", version]);
    }
    run(&mut command)?;
    Ok(folder)
}

/// Our programs for these architectures, each in a folder of its own, and the builder for this host: beside each other,
/// because linking keeps no more than one processor busy.
pub fn compile(archs: &[Arch]) -> Result<()> {
    archs.iter().try_for_each(|arch| setup::ensure_target(*arch))?;
    // What shares a folder waits for each other.
    let lane = |linked: &[Linked]| {
        archs.iter().try_for_each(|arch| linked.iter().try_for_each(|linked| programs(linked, *arch)))
    };
    thread::scope(|scope| {
        let lanes = [
            scope.spawn(|| lane(&[STATIC, SMALL])),
            scope.spawn(|| lane(&[DYNAMIC])),
            scope.spawn(|| builder().map(drop)),
        ];
        // All of them, so that no error is lost behind another's output.
        let ended = lanes.map(|lane| lane.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault)));
        ended.into_iter().collect()
    })
}

/// The builder for this host.
pub fn builder() -> Result<PathBuf> {
    say("builder");
    run(cargo().args(["build", "--release", "--package", "ashlar"]))?;
    Ok(project::target().join("release/ashlar"))
}

fn programs(linked: &Linked, arch: Arch) -> Result<()> {
    say(&format!("{} for {arch}", linked.programs.join(", ")));
    let folder = project::programs(arch);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let made = link(linked, arch)?;
    linked.programs.iter().try_for_each(|program| place(&made.join(program), &folder.join(program)))
}

/// Builds some of them, and returns the folder that Cargo leaves them in.
fn link(linked: &Linked, arch: Arch) -> Result<PathBuf> {
    let target = (linked.target)(arch);
    let mut command = cargo();
    command.args(["build", "--profile", "image", "--target", target]);
    command.args(linked.packages.iter().flat_map(|package| ["--package", package]));
    command.env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", flags(linked, arch)?);
    if arch != Arch::host() {
        command.env(format!("CARGO_TARGET_{}_LINKER", target.replace('-', "_").to_uppercase()), arch.linker());
        // For the one dependency with code that is not Rust.
        command.env(format!("CC_{}", target.replace('-', "_")), arch.linker());
    }
    let mut made = project::target();
    made.extend(linked.folder);
    if let Some(compiler) = setup::compiler(arch) {
        // As above: another compiler gets a folder of its own.
        made.push("debian-rustc");
        command.env("RUSTC", compiler).arg("--ignore-rust-version");
    }
    command.env("CARGO_TARGET_DIR", &made);
    run(&mut command)?;
    made.extend([target, "image"]);
    Ok(made)
}

/// How it is linked, and no path of this machine in what is built: the same sources give the same bytes anywhere.
fn flags(linked: &Linked, arch: Arch) -> Result<String> {
    let further = if arch == Arch::X86_64 { linked.on_x86_64 } else { &[] };
    let mut flags: Vec<String> = linked.flags.iter().chain(further).map(|flag| (*flag).to_owned()).collect();
    flags.push(format!("--remap-path-prefix={}=/ashlar", project::root().display()));
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    let registries = home.and_then(|home| fs::read_dir(home.join("registry/src")).ok());
    for registry in registries.into_iter().flatten().flatten() {
        flags.push(format!("--remap-path-prefix={}=/registry", registry.path().display()));
    }
    match flags.iter().find(|flag| flag.contains(' ')) {
        Some(flag) => bail!("{flag} has a blank: build from a folder without blanks in its path"),
        None => Ok(flags.join(" ")),
    }
}

/// Copies a program unless it is there already.
fn place(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    fs::copy(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}
