//! How large things are.

use std::path::Path;

use anyhow::{Context, Result};
use ashlar_formats::pe;
use ashlar_qemu_tests::arch::Arch;

use super::table::Row;
use crate::project;

const MB: f64 = 1e6;

/// The group.
pub fn measure() -> Result<Vec<Row>> {
    let image = project::image("base", Arch::host());
    let programs = project::programs(Arch::host());
    let uki = std::fs::read(image.join("ashlar.efi"))?;
    let kernel = pe::Image::parse(&uki)?.section(".linux").context("ashlar.efi has no kernel")?.len() as f64;
    Ok(vec![
        Row::new("root (EROFS)", megabytes(&image.join("root.erofs"))?, "MB").at_most(130.0),
        Row::new("kernel image (UKI) beyond its kernel", (uki.len() as f64 - kernel) / MB, "MB").at_most(4.0),
        Row::new("program of PID 1", megabytes(&programs.join("init"))?, "MB").at_most(3.0),
        Row::new("program of the first stage", megabytes(&programs.join("boot"))?, "MB"),
        Row::new("disk.qcow2", megabytes(&image.join("disk.qcow2"))?, "MB"),
    ])
}

fn megabytes(path: &Path) -> Result<f64> {
    let metadata = path.metadata().with_context(|| format!("cannot look at {}", path.display()))?;
    Ok(metadata.len() as f64 / MB)
}
