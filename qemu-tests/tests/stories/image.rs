//! What the builder made, in the eyes of foreign checkers. No machine is started.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::disk::Disk;
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::{fixture, tool};
use serde_json::Value;

#[test]
fn foreign_checkers_find_nothing() -> Result<()> {
    let mut promises = Promises::new();
    for arch in Arch::ALL {
        let image = fixture::image(arch)?;
        let disk = Disk { path: image.join("disk.raw") };
        promises.check(&format!("{arch}: sgdisk -v"), || {
            let said = said(tool::command("sgdisk").arg("-v").arg(&disk.path))?;
            ensure!(said.contains("No problems found"), "{said}");
            Ok(())
        });
        promises.check(&format!("{arch}: partitions have their names, in the disk's order"), || {
            let names: Vec<String> = disk.partitions()?.into_iter().map(|partition| partition.name).collect();
            ensure!(names == ["esp", "root-a", "verity-a", "root-b", "verity-b"], "{names:?}");
            Ok(())
        });
        promises.check(&format!("{arch}: fsck.vfat"), || {
            let esp = Scratch::new(&format!("esp-{arch}"));
            disk.extract("esp", &esp.0)?;
            said(tool::command("fsck.vfat").arg("-n").arg(&esp.0)).map(drop)
        });
        promises.check(&format!("{arch}: fsck.erofs"), || {
            said(tool::command("fsck.erofs").arg(image.join("root.erofs"))).map(drop)
        });
        promises.check(&format!("{arch}: veritysetup verify, with the root hash of release.json"), || {
            let release = json(&image.join("release.json"))?;
            let hash = find(&release, "root_hash").or_else(|| find(&release, "rootHash"));
            let hash = hash.or_else(|| find(&release, "root-hash")).context("release.json has no root hash")?;
            let mut command = tool::command("veritysetup");
            command.arg("verify").arg(image.join("root.erofs")).arg(image.join("root.verity")).arg(hash);
            said(&mut command).map(drop)
        });
        promises.check(&format!("{arch}: the slot holds what lies beside the disk"), || {
            for (partition, file) in [("root-a", "root.erofs"), ("verity-a", "root.verity")] {
                let bytes = fs::read(image.join(file))?;
                ensure!(disk.read(partition, 0, bytes.len())? == bytes, "{partition} is not {file}");
            }
            Ok(())
        });
        promises.check(&format!("{arch}: the ESP has a loader, a kernel image and no counter"), || {
            let loader = if arch == Arch::X86_64 { "BOOTX64.EFI" } else { "BOOTAA64.EFI" };
            let names = disk.list_esp("EFI/BOOT")?;
            ensure!(names.iter().any(|name| name.eq_ignore_ascii_case(loader)), "{names:?}");
            let images = disk.list_esp("EFI/Linux")?;
            ensure!(images.len() == 1 && !images[0].contains('+') && images[0].ends_with(".efi"), "{images:?}");
            ensure!(
                disk.get_from_esp(&format!("EFI/Linux/{}", images[0]))? == fs::read(image.join("ashlar.efi"))?,
                "differs"
            );
            Ok(())
        });
        promises.check(&format!("{arch}: SHA256SUMS"), || {
            said(tool::command("sha256sum").current_dir(&image).args(["--check", "--strict", "SHA256SUMS"])).map(drop)
        });
        promises.check(&format!("{arch}: the SBOM is SPDX, and has packages and crates"), || {
            let sbom = json(&image.join("sbom.spdx.json"))?;
            ensure!(sbom["spdxVersion"].as_str().is_some_and(|version| version.starts_with("SPDX-2")), "no version");
            let packages = sbom["packages"].as_array().context("no packages")?;
            for name in ["openssh-server", "podman", "serde"] {
                ensure!(packages.iter().any(|package| package["name"] == name), "{name} is not in it");
            }
            Ok(())
        });
        promises.check(&format!("{arch}: what is large stays within its budget"), || budgets(&image));
    }
    promises.finish();
    Ok(())
}

/// Sizes that only a decision may raise: the root as a whole, PID 1, and of the kernel image all that is not the kernel.
fn budgets(image: &Path) -> Result<()> {
    let root = image.join("root.erofs").metadata()?.len();
    let bytes = fs::read(image.join("ashlar.efi"))?;
    let kernel = section_size(&bytes, b".linux\0\0").context("ashlar.efi has no kernel")?;
    let around = bytes.len() as u64 - kernel;
    let mut init = tool::command("dump.erofs");
    let init = said(init.arg("--path=/usr/lib/ashlar/init").arg(image.join("root.erofs")))?;
    let init = init.split_whitespace().skip_while(|word| *word != "Size:").nth(1);
    let init: u64 = init.context("dump.erofs tells no size of PID 1")?.parse()?;
    let all = [("root.erofs", root, 130.0), ("ashlar.efi without its kernel", around, 4.0), ("PID 1", init, 3.0)];
    for (what, size, megabytes) in all {
        println!("  {what}: {:.2} MB", size as f64 / 1e6);
        ensure!(size as f64 <= megabytes * 1e6, "{what} has {size} bytes, at most {megabytes} MB are allowed");
    }
    Ok(())
}

/// Size of a PE file's section (PE format: the COFF header is behind the signature, the section table behind the
/// optional header).
fn section_size(file: &[u8], name: &[u8; 8]) -> Option<u64> {
    let word = |at: usize| Some(u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?));
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(file.get(at..at + 2)?.try_into().ok()?)));
    let header = word(0x3c)? as usize + 4;
    let (count, table) = (half(header + 2)?, header + 20 + half(header + 16)?);
    let mut sections = (0..count).map(|number| table + number * 40);
    let at = sections.find(|at| file.get(*at..*at + 8) == Some(&name[..]))?;
    word(at + 8).map(u64::from)
}

/// A file that is gone with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("ashlar-{name}-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn said(command: &mut std::process::Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&tool::output(command)?.stdout).into_owned())
}

fn json(path: &Path) -> Result<Value> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&bytes).with_context(|| format!("cannot understand {}", path.display()))
}

/// A text by its key, however deep.
fn find(value: &Value, key: &str) -> Option<String> {
    match value {
        Value::Object(map) => {
            let here = map.get(key).and_then(Value::as_str).map(str::to_owned);
            here.or_else(|| map.values().find_map(|inner| find(inner, key)))
        }
        Value::Array(list) => list.iter().find_map(|inner| find(inner, key)),
        _ => None,
    }
}
