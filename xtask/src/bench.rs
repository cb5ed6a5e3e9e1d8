//! `bench`: figures of the default image on this machine, as ratios to a floor measured in the same run, and the table
//! in docs/benchmarks.md.

mod boot;
mod build;
mod floor;
mod memory;
mod runtime;
mod size;
mod table;
mod units;
mod update;

use std::fs;

use anyhow::{Context, Result, bail};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::vm::{Builder, Vm};

use crate::step::say;
use crate::{image, project, setup};
use table::Row;

/// Arguments of `bench`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Measure only this group: sizes, build, boot, memory, units or update; nothing is written then. Or `runtime`: the
    /// container runtime against crun and runc, which have to be installed, on this machine and as root
    name: Option<String>,
}

/// Measures a group of figures.
type Group = fn() -> Result<Vec<Row>>;

const GROUPS: [(&str, Group); 6] = [
    ("sizes", size::measure),
    ("build", build::measure),
    ("boot", boot::measure),
    ("memory", memory::measure),
    ("units", units::measure),
    ("update", update::measure),
];

/// The verb.
pub fn main(options: &Options) -> Result<()> {
    if options.name.as_deref() == Some("runtime") {
        return runtime::compare();
    }
    let wanted = |name: &str| options.name.as_deref().is_none_or(|only| only == name);
    let groups: Vec<_> = GROUPS.into_iter().filter(|(name, _)| wanted(name)).collect();
    if groups.is_empty() {
        bail!("there is no such group of figures; there are {}, runtime", GROUPS.map(|(name, _)| name).join(", "));
    }
    setup::everything()?;
    image::build("base", Arch::host(), None)?;
    let mut rows = Vec::new();
    for (name, measure) in groups {
        say(&format!("measuring: {name}"));
        rows.extend(measure().with_context(|| format!("cannot measure {name}"))?);
    }
    let text = table::document(&rows);
    println!("{text}");
    if options.name.is_none() {
        let path = project::root().join("docs/benchmarks.md");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// A machine of the default image.
fn machine(name: &str) -> Builder {
    Vm::builder(name).image(&project::image("base", Arch::host()).join("disk.raw"))
}
