//! The first boot makes the state partition, and may be cut anywhere.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use ashlar_qemu_tests::disk::Disk;
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::tool;
use ashlar_qemu_tests::vm::Vm;

/// Whether the disk is as far as the plug is to be pulled at.
type Point = fn(&Disk) -> bool;

const POINTS: [(&str, Point); 4] = [
    ("once there is a partition", |disk| disk.partition(BEGUN).is_ok()),
    ("once the file system has a superblock", |disk| has_magic(disk, BEGUN)),
    ("once it is called complete", |disk| disk.partition(COMPLETE).is_ok()),
    ("once it was mounted", |disk| mount_count(disk) > 0),
];

/// The partition's name while its file system is made, and from then on.
const BEGUN: &str = "state-new";
const COMPLETE: &str = "state";

/// ext4's magic number, 1080 bytes into the file system.
const MAGIC: u64 = 1080;

fn has_magic(disk: &Disk, partition: &str) -> bool {
    disk.read(partition, MAGIC, 2).is_ok_and(|magic| magic == [0x53, 0xef])
}

/// How often it was mounted since the last check, as the superblock has it.
fn mount_count(disk: &Disk) -> u16 {
    disk.read(COMPLETE, 1076, 2).map_or(0, |bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

#[test]
fn cut_in_the_first_boot() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("cut").make()?;
    for (name, point) in POINTS {
        promises.check(&format!("reaches the point {name}, and the plug is pulled"), || {
            // What an earlier try made of it must not be taken for what this one does.
            if has_magic(&vm.disk, BEGUN) {
                vm.disk.write(BEGUN, MAGIC, &[0; 2])?;
            }
            vm.start()?;
            let until = Instant::now() + vm.patience(60);
            while !point(&vm.disk) {
                if Instant::now() > until {
                    bail!("not reached");
                }
                std::thread::sleep(Duration::from_millis(2));
            }
            vm.cut()
        });
    }
    promises.check("the next boot finishes the work", || vm.boot());
    promises.check("there is one state partition, and it is /var", || {
        let mounts = vm.root("grep ' /var ' /proc/self/mounts; df --output=size -m /var | tail -n 1")?;
        ensure!(mounts.contains("ext4") && mounts.contains("rw"), "{mounts}");
        let states = vm.disk.partitions()?.into_iter().filter(|partition| partition.name.starts_with(COMPLETE)).count();
        ensure!(states == 1, "there are {states}");
        Ok(())
    });
    promises.check("the machine is running", || {
        let status = vm.status()?;
        ensure!(status.state == "running", "{}: {:?}", status.state, status.unwell);
        Ok(())
    });
    promises.check("it goes down", || {
        vm.press_power()?;
        vm.wait_off()
    });
    promises.check("sgdisk and e2fsck find nothing wrong", || {
        let table = tool::output(tool::command("sgdisk").arg("-v").arg(&vm.disk.path))?;
        let text = String::from_utf8_lossy(&table.stdout).into_owned();
        ensure!(text.contains("No problems found"), "{text}");
        let state = vm.folder().join("state.ext4");
        vm.disk.extract(COMPLETE, &state)?;
        tool::output(tool::command("e2fsck").args(["-f", "-n"]).arg(&state)).map(drop)
    });
    promises.check("a larger disk is used to its end", || {
        let before = vm.disk.partition(COMPLETE)?.length;
        std::fs::OpenOptions::new().write(true).open(&vm.disk.path)?.set_len(6 << 30)?;
        vm.boot()?;
        let after = vm.disk.partition(COMPLETE)?.length;
        let seen: u64 = vm.root("df --output=size -B1 /var | tail -n 1")?.trim().parse()?;
        ensure!(after > before + (1 << 30), "the partition has {after} bytes after {before}");
        ensure!(seen > before, "the file system has {seen} bytes");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}
