//! `fuzz`: libFuzzer over what reads bytes of strangers, one target after the other. The layout is cargo-fuzz's, so that
//! works here, too; this needs no nightly compiler, and so no address sanitizer: nothing that is fuzzed is unsafe code.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use ashlar_qemu_tests::arch::Arch;

use crate::project;
use crate::step::{cargo, run, say};

/// Coverage for the fuzzer, as cargo-fuzz asks the compiler for it.
const FLAGS: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "--cfg=fuzzing",
];

/// Arguments of `fuzz`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only this target
    target: Option<String>,
    /// Seconds for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// The verb.
pub fn main(options: &Options) -> Result<()> {
    let folder = project::root().join("fuzz");
    let targets = targets(&folder)?;
    let wanted: Vec<&String> =
        targets.iter().filter(|target| options.target.as_ref().is_none_or(|wanted| wanted == *target)).collect();
    if wanted.is_empty() {
        bail!(
            "there is no fuzz target {}; there is {}",
            options.target.as_deref().unwrap_or_default(),
            targets.join(", ")
        );
    }
    let programs = build(&folder, &wanted)?;
    for target in wanted {
        say(&format!("fuzz {target}, {} s", options.seconds));
        let found = project::target().join("fuzz").join(target);
        let corpus = found.join("corpus");
        fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
        let mut command = Command::new(programs.join(target));
        command.arg(format!("-max_total_time={}", options.seconds)).arg("-timeout=10").arg("-rss_limit_mb=1024");
        // What breaks it is kept there.
        command.arg(format!("-artifact_prefix={}/", found.display())).arg(&corpus);
        let seeds = folder.join("seeds").join(target);
        if seeds.is_dir() {
            command.arg(seeds);
        }
        run(&mut command).with_context(|| format!("{target} broke; the input is in {}", found.display()))?;
    }
    Ok(())
}

/// Names of all targets.
fn targets(folder: &std::path::Path) -> Result<Vec<String>> {
    let path = folder.join("targets");
    let read = fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let names = read.flatten().filter_map(|entry| Some(entry.path().file_stem()?.to_str()?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    Ok(names)
}

/// Builds them, and returns the folder that they are in.
fn build(folder: &std::path::Path, targets: &[&String]) -> Result<PathBuf> {
    let made = project::target().join("fuzz/build");
    let mut command = cargo();
    command.current_dir(folder).args(["build", "--release", "--target", Arch::host().target()]);
    command.args(targets.iter().flat_map(|target| ["--bin", target]));
    command.env("CARGO_TARGET_DIR", &made).env_remove("CARGO_ENCODED_RUSTFLAGS").env("RUSTFLAGS", FLAGS.join(" "));
    run(&mut command)?;
    Ok(made.join(Arch::host().target()).join("release"))
}
