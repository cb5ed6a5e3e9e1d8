//! What a developer does with this repository: `cargo xtask VERB`. One module for each verb; what they share is in
//! `project` (where things are), `step` (running programs) and `tally` (what tests came to).

mod bench;
mod directives;
mod fuzz;
mod image;
mod project;
mod run;
mod setup;
mod step;
mod tally;
mod test;
mod tidy;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Builds, boots and tests Ashlar.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Install what is missing on this machine (apt; other machines are told what they lack)
    Setup,
    /// Build an image
    Image(image::Options),
    /// Build an image and boot it in QEMU, with its console in this terminal
    Run(run::Options),
    /// Run everything: tidy, unit tests, image checks and the stories in virtual machines
    Test(test::Options),
    /// Boot one of every class of states that power cuts can leave, and write docs/powercut.md
    Powercut,
    /// Check the import table, what must be absent, format, lints and licences
    Tidy,
    /// Fuzz what reads bytes of strangers
    Fuzz(fuzz::Options),
    /// Count what PID 1 makes of the unit files of Debian's packages, and write docs/directives.md
    Directives(directives::Options),
    /// Measure, and write docs/benchmarks.md
    Bench(bench::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().verb {
        Verb::Setup => setup::everything(),
        Verb::Image(options) => image::main(&options),
        Verb::Run(options) => run::main(&options),
        Verb::Test(options) => test::main(&options),
        Verb::Powercut => test::powercut(),
        Verb::Tidy => tidy::main(),
        Verb::Fuzz(options) => fuzz::main(&options),
        Verb::Directives(options) => directives::main(&options),
        Verb::Bench(options) => bench::main(&options),
    };
    finish(result)
}

fn finish(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
