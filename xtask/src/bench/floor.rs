//! The floor under every boot: firmware, systemd-boot and kernel of the image, and then one static program that prints.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use ashlar_formats::{cpio, pe};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::disk::Disk;
use ashlar_qemu_tests::tool;
use ashlar_qemu_tests::vm::Vm;

use crate::project;

const PROGRAM: &str = "fn main() { println!(\"the floor is reached\"); loop { std::thread::park() } }\n";

/// Wall and CPU time of QEMU, the best of three.
pub fn measure() -> Result<(Duration, Duration)> {
    let folder = project::target().join("bench");
    fs::create_dir_all(&folder)?;
    let disk = disk(&folder)?;
    let runs: Vec<(Duration, Duration)> = (0..3).map(|_| run(&disk.path)).collect::<Result<_>>()?;
    fs::remove_file(&disk.path)?;
    let best = |part: fn(&(Duration, Duration)) -> Duration| runs.iter().map(part).min().unwrap_or_default();
    Ok((best(|run| run.0), best(|run| run.1)))
}

fn run(disk: &Path) -> Result<(Duration, Duration)> {
    let mut vm = Vm::builder("floor").image(disk).make()?;
    let begun = Instant::now();
    vm.start()?;
    let patience = vm.patience(60);
    vm.serial()?.wait_for("the floor is reached", patience)?;
    let figures = (begun.elapsed(), vm.cpu_time()?);
    vm.cut()?;
    vm.finish();
    Ok(figures)
}

/// The image's disk with another initramfs in its kernel image.
fn disk(folder: &Path) -> Result<Disk> {
    let image = project::image("base", Arch::host());
    let disk = Disk::copy(&image.join("disk.raw"), &folder.join("floor.raw"), 0)?;
    let mut uki = fs::read(image.join("ashlar.efi"))?;
    let initramfs = initramfs(folder)?;
    let content = pe::Image::parse(&uki)?.section(".initrd").context("ashlar.efi has no initramfs")?;
    let (at, length) = (content.as_ptr() as usize - uki.as_ptr() as usize, content.len());
    if initramfs.len() > length {
        bail!("the floor's initramfs has {} bytes, more than the {length} that there is room for", initramfs.len());
    }
    // The kernel skips zeros behind an archive, so the file keeps its layout.
    uki[at..at + length].fill(0);
    uki[at..at + initramfs.len()].copy_from_slice(&initramfs);
    let names = disk.list_esp("EFI/Linux")?;
    let name = names.first().context("the image has no kernel image on its ESP")?;
    disk.put_on_esp(&format!("EFI/Linux/{name}"), &uki)?;
    Ok(disk)
}

fn initramfs(folder: &Path) -> Result<Vec<u8>> {
    let (source, program) = (folder.join("floor.rs"), folder.join("floor"));
    fs::write(&source, PROGRAM)?;
    let mut command = tool::command("rustc");
    command.args(["--edition", "2024", "-Copt-level=s", "-Cstrip=symbols", "-Cpanic=abort", "-Clto=fat"]);
    command.args(["-Ctarget-feature=+crt-static", "--target", Arch::host().target(), "-o"]).arg(&program).arg(&source);
    tool::output(&mut command)?;
    let mut archive = cpio::Writer::new(Vec::new(), 0);
    archive.directory("dev", 0o755)?;
    archive.file("init", 0o755, &fs::read(&program)?)?;
    Ok(archive.finish()?)
}
