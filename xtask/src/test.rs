//! `test`: setup, tidy, unit tests, images, then the stories in virtual machines. A part that fails does not keep the
//! others from running, except that there are no stories without images. The last line counts what all of them did.

use std::process::Command;

use anyhow::{Result, bail};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::{
    ACCELERATOR_VARIABLE, BUILDER_VARIABLE, IMAGE_VARIABLE, LOGS_VARIABLE, POWERCUT_VARIABLE, PROGRAMS_VARIABLE, probe,
    tool,
};

use crate::step::{cargo, say};
use crate::tally::{self, Tally};
use crate::{image, project, setup, tidy};

/// Virtual machines at the same time. Three take as long on two cores: what keeps them busy is the emulation.
const MACHINES: &str = "2";
const STORIES: &str = "ashlar-qemu-tests";
const POWERCUT: &str = "power_may_fail_at_any_write";

/// Of the environment.
type Variable = (String, std::ffi::OsString);

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Run only what has this in its name; tidy is left out then
    filter: Option<String>,
}

/// The verb.
pub fn main(options: &Options) -> Result<()> {
    setup::everything()?;
    let mut tally = Tally::default();
    let filter = options.filter.as_deref();
    if filter.is_none() {
        say("tidy");
        tally += tidy::run();
    }
    say("unit tests");
    tally += runner(&["--workspace"], filter, None)?;
    if is_wanted(filter)? {
        tally += stories(filter, Vec::new())?;
    }
    finish(tally, filter.unwrap_or_default())
}

/// The verb `powercut`: the story of that, with every class of states booted, and the document about it.
pub fn powercut() -> Result<()> {
    setup::everything()?;
    let document = project::root().join("docs/powercut.md");
    let tally = stories(Some(POWERCUT), vec![(POWERCUT_VARIABLE.to_owned(), document.into_os_string())])?;
    finish(tally, POWERCUT)
}

fn finish(tally: Tally, filter: &str) -> Result<()> {
    println!("\n{tally}");
    match tally.failed {
        0 if tally.passed == 0 => bail!("nothing has {filter} in its name"),
        0 => Ok(()),
        failed => bail!("{failed} failed"),
    }
}

/// Whether any story is asked for: images are expensive.
fn is_wanted(filter: Option<&str>) -> Result<bool> {
    let Some(filter) = filter else { return Ok(true) };
    let mut list = cargo();
    list.args(["test", "--quiet", "--package", STORIES, "--features", "stories", "--test", "stories"]);
    let names = crate::step::output(list.args(["--", "--list", "--format", "terse", filter]))?;
    Ok(names.lines().any(|line| line.ends_with(": test")))
}

fn stories(filter: Option<&str>, mut environment: Vec<Variable>) -> Result<Tally> {
    environment.extend([
        (ACCELERATOR_VARIABLE.to_owned(), probe::accelerator(Arch::host()).name().into()),
        (LOGS_VARIABLE.to_owned(), project::target().join("vm-logs").into_os_string()),
        (BUILDER_VARIABLE.to_owned(), project::target().join("release/ashlar").into_os_string()),
        (PROGRAMS_VARIABLE.to_owned(), project::programs(Arch::host()).into_os_string()),
    ]);
    if let Err(error) = image::compile(&Arch::ALL) {
        eprintln!("error: no programs for images: {error:#}");
        return Ok(Tally { passed: 0, failed: 1 });
    }
    for arch in Arch::ALL {
        match image::build("base", arch, None) {
            Ok(folder) => {
                let variable = format!("{IMAGE_VARIABLE}{}", arch.name().to_uppercase());
                environment.push((variable, folder.into_os_string()));
            }
            Err(error) => {
                eprintln!("error: no image for {arch}: {error:#}");
                return Ok(Tally { passed: 0, failed: 1 });
            }
        }
    }
    say(&format!("stories, {MACHINES} machines at a time, under {}", probe::accelerator(Arch::host()).name()));
    let _ = std::fs::remove_dir_all(project::target().join("vm-logs"));
    let what = ["--package", STORIES, "--features", "stories", "--test", "stories"];
    runner(&what, filter, Some(&environment))
}

/// Runs tests by nextest where it is installed, and by Cargo's own runner elsewhere. With an environment they are stories.
fn runner(what: &[&str], filter: Option<&str>, environment: Option<&[Variable]>) -> Result<Tally> {
    let nextest = tool::find("cargo-nextest").is_some();
    let mut command = cargo();
    match nextest {
        true => command.args(["nextest", "run", "--no-fail-fast", "--no-tests=pass"]).args(what),
        false => command.args(["test", "--no-fail-fast"]).args(what),
    };
    if let Some(environment) = environment {
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        limit_machines(&mut command, nextest);
    } else if !nextest {
        command.arg("--");
    }
    command.args(filter);
    tally::count(command)
}

fn limit_machines(command: &mut Command, nextest: bool) {
    match nextest {
        true => command.args(["--test-threads", MACHINES, "--success-output", "final", "--final-status-level", "slow"]),
        false => command.args(["--", "--test-threads", MACHINES]),
    };
}
