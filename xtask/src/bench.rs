//! `bench`: figures of this machine, as ratios to a floor measured in the same run.

use anyhow::Result;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Measure only what has this in its name
    name: Option<String>,
}

/// The verb.
pub fn main(_options: &Options) -> Result<()> {
    Ok(())
}
