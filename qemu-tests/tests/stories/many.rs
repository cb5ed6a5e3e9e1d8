//! Upgrades in a row leave nothing behind. CI runs a few; `ASHLAR_UPGRADES=100 cargo xtask test upgrades_in_a_row` as many
//! as it says.

use anyhow::{Context, Result, ensure};
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::vm::Vm;

use crate::updates::{BETTER, Site, entries, is_committed, reboot};

/// How many, where nobody says so.
const FEW: usize = 3;
/// What may differ from one boot to the next, in KiB: memory is the kernel's to spend, files are not.
const MEMORY: u64 = 12 << 10;
const FILES: u64 = 64;

/// What could grow.
#[derive(Debug)]
struct Traces {
    /// Boot entries, files of the machine's state apart from its journal, and variables of the firmware.
    files: Vec<String>,
    /// KiB of those on the disk.
    kept: u64,
    /// KiB that are in use.
    memory: u64,
}

impl Traces {
    fn of(vm: &mut Vm) -> Result<Self> {
        let state = "find /var -xdev -path /var/log/journal -prune -o -type f -print";
        let variables = "ls /sys/firmware/efi/efivars";
        let mut files: Vec<String> = vm.root(&format!("{state}; {variables}"))?.lines().map(str::to_owned).collect();
        files.sort();
        files.extend(entries(vm)?.iter().map(|entry| entry.split('_').next().unwrap_or_default().to_owned()));
        let number = |text: String| text.trim().parse::<u64>().with_context(|| format!("`{text}` is no number"));
        let kept = number(vm.root("du -skx --exclude=journal /var | cut -f1")?)?;
        let memory = "awk '/^MemTotal/ { all = $2 } /^MemAvailable/ { print all - $2 }' /proc/meminfo";
        Ok(Self { files, kept, memory: number(vm.root(memory)?)? })
    }

    fn grew_to(&self, later: &Self) -> Result<()> {
        let fresh: Vec<&String> = later.files.iter().filter(|file| !self.files.contains(file)).collect();
        ensure!(
            later.files.len() <= self.files.len(),
            "{} files became {}: {fresh:?}",
            self.files.len(),
            later.files.len()
        );
        ensure!(later.kept <= self.kept + FILES, "{} KiB of files became {}", self.kept, later.kept);
        ensure!(later.memory <= self.memory + MEMORY, "{} KiB of memory became {}", self.memory, later.memory);
        Ok(())
    }
}

#[test]
fn upgrades_in_a_row_leave_nothing_behind() -> Result<()> {
    let mut promises = Promises::new();
    let count = match std::env::var("ASHLAR_UPGRADES") {
        Ok(count) => count.parse().with_context(|| format!("ASHLAR_UPGRADES={count} is no number"))?,
        Err(_) => FEW,
    };
    ensure!(count > 2, "ASHLAR_UPGRADES={count}: the first two are what further ones are held against");
    let mut site = Site::new("many", ("0.2.0", BETTER), "well-for = \"1s\"\n")?;
    site.publisher.publish(&site.second, &[])?;
    let vm = &mut site.vm;
    vm.boot()?;
    // Forth and back is an upgrade each: both are asked for by name.
    let upgrade = |vm: &mut Vm, number: usize| -> Result<()> {
        let version = if number.is_multiple_of(2) { "0.2.0" } else { "0.1.0" };
        vm.run(&format!("os upgrade --version {version} --retry"))?;
        reboot(vm)?;
        is_committed(vm, version)
    };
    let mut begun = None;
    promises.check("two versions, forth and back", || {
        (0..2).try_for_each(|number| upgrade(vm, number))?;
        begun = Some(Traces::of(vm)?);
        Ok(())
    });
    promises.check("further ones leave no file, no boot entry, no variable and no memory behind", || {
        for number in 2..count {
            upgrade(vm, number).with_context(|| format!("upgrade {}", number + 1))?;
            println!("  upgrade {} of {count}", number + 1);
        }
        let (begun, ended) = (begun.context("the first two did not end well")?, Traces::of(vm)?);
        println!("  {} files, {} KiB, {} KiB of memory", begun.files.len(), begun.kept, begun.memory);
        println!("  {} files, {} KiB, {} KiB of memory", ended.files.len(), ended.kept, ended.memory);
        begun.grew_to(&ended)?;
        ensure!(vm.status()?.state == "running");
        Ok(())
    });
    promises.finish();
    site.vm.finish();
    Ok(())
}
