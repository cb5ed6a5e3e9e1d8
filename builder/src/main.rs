//! `ashlar`: from an image's definition to a disk that boots. Runs on the building machine, never as root.
//!
//! The way of an image: [`sources`] (what people wrote) → [`locking`] and [`debian`] (which packages, pinned, fetched,
//! unpacked) → [`recipe`] (the steps from there to a disk) → [`publish`] (signed, where devices find it). Errors are printed here, once, with their whole chain.

mod accounts;
mod assemble;
mod bundle;
mod cli;
mod contents;
mod debian;
mod inspect;
mod kernel;
mod libraries;
mod locking;
mod output;
mod packs;
mod passphrase;
mod programs;
mod publish;
mod recipe;
mod root;
mod sandbox;
mod sbom;
mod secure_boot;
mod sources;
mod steps;
mod system;
mod tools;
mod tree;

use std::process::ExitCode;

use anyhow::Context as _;
use ashlar_fetch::Cache;
use clap::Parser;

use cli::{Cli, Command, InspectArgs, LockArgs};
use sources::Sources;

fn main() -> ExitCode {
    let (outcome, code) = match Cli::parse().command {
        Command::Lock(args) => (lock(&args), ExitCode::FAILURE),
        Command::Build(args) => (recipe::build(&args), ExitCode::FAILURE),
        Command::Keys(args) => (publish::keys::run(&args), ExitCode::FAILURE),
        Command::Publish(args) => (publish::publish(&args), ExitCode::FAILURE),
        Command::Mirror(args) => (publish::mirror(&args), ExitCode::FAILURE),
        Command::Withdraw(args) => (publish::withdraw(&args), ExitCode::FAILURE),
        Command::Inspect(args) => (look(&args), ExitCode::FAILURE),
        // Read by the build that started it, which prints what it says.
        Command::Sandbox(args) => (sandbox::enter(&args), ExitCode::from(sandbox::REFUSED)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if code == ExitCode::FAILURE {
                eprint!("error: ");
            }
            eprintln!("{error:#}");
            code
        }
    }
}

fn lock(args: &LockArgs) -> anyhow::Result<()> {
    let sources = Sources::read(&args.image.image)?;
    let folder = args.image.cache()?.join("blobs");
    let cache = Cache::open(&folder).with_context(|| format!("open the cache {}", folder.display()))?;
    let mirror = args.image.mirror.as_deref();
    for (path, packages) in locking::renew(&sources, args.image.arch()?, mirror, &cache, &args.trust())? {
        println!("{}: {packages} packages", path.display());
    }
    Ok(())
}

fn look(args: &InspectArgs) -> anyhow::Result<()> {
    let report = inspect::read(&args.path)?;
    match (args.json, args.units) {
        (true, _) => print!("{}", report.to_json()),
        (false, true) => print!("{}", inspect::render::expanded_units(&report)),
        (false, false) => print!("{}", inspect::render::text(&report)),
    }
    Ok(())
}
