//! How long a build takes: with packages at hand and nothing else, after one changed unit file, and when nothing changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::tool;

use super::table::Row;
use crate::{image, project, step};

/// Wall and CPU seconds.
type Cost = (f64, f64);

/// The group.
pub fn measure() -> Result<Vec<Row>> {
    let place = Place::new()?;
    let (wall, cpu) = place.build()?;
    place.change_a_unit()?;
    let (unit, unit_cpu) = place.build()?;
    let (nothing, _) = place.build()?;
    fs::remove_dir_all(&place.folder)?;
    Ok(vec![
        Row::new("build with warm package cache, wall", wall, "s"),
        Row::new("build with warm package cache, CPU", cpu, "s"),
        Row::new("build after one changed unit file, wall", unit, "s").at_most(2.0),
        Row::new("build after one changed unit file, CPU", unit_cpu, "s"),
        Row::new("build when nothing changed, wall", nothing, "s").at_most(0.5),
    ])
}

/// A copy of what the builder reads, with a cache that holds downloads only.
struct Place {
    folder: PathBuf,
    builder: PathBuf,
}

impl Place {
    fn new() -> Result<Self> {
        let folder = project::target().join("bench/build");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("checkout")).with_context(|| format!("cannot make {}", folder.display()))?;
        for part in ["images", "system-containers", "Cargo.lock"] {
            copy(&project::root().join(part), &folder.join("checkout"))?;
        }
        let place = Self { folder, builder: image::builder()? };
        // Once, to have the downloads; what else it made is thrown away.
        place.build()?;
        place.forget_steps()?;
        fs::remove_dir_all(place.folder.join("output"))?;
        Ok(place)
    }

    fn build(&self) -> Result<Cost> {
        let mut command = Command::new(&self.builder);
        command.current_dir(self.folder.join("checkout"));
        command.args(["build", "images/base.toml", "--output", "../output", "--cache", "../cache", "--programs"]);
        command.arg(project::programs(Arch::host()));
        let (begun, before) = (Instant::now(), children_cpu()?);
        step::output(&mut command)?;
        Ok((begun.elapsed().as_secs_f64(), children_cpu()? - before))
    }

    /// Throws away whatever the cache has but downloads.
    fn forget_steps(&self) -> Result<()> {
        for entry in fs::read_dir(self.folder.join("cache"))?.flatten() {
            if entry.file_name() != "blobs" {
                tool::output(tool::command("rm").arg("-rf").arg(entry.path()))?;
            }
        }
        Ok(())
    }

    fn change_a_unit(&self) -> Result<()> {
        let unit = self.folder.join("checkout/system-containers/ssh/unit.toml");
        let text = fs::read_to_string(&unit)?;
        let changed = text.replacen("description = \"", "description = \"Changed: ", 1);
        Ok(fs::write(unit, changed)?)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    tool::output(tool::command("cp").arg("-r").arg(from).arg(to)).map(drop)
}

/// CPU seconds of children that have ended (proc(5), /proc/pid/stat, cutime and cstime).
fn children_cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks: u64 = [13, 14].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / 100.0)
}
