//! More than one disk of ours in a machine.

use anyhow::{Result, ensure};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::disk::Disk;
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::qemu::Drive;
use ashlar_qemu_tests::vm::Vm;
use ashlar_qemu_tests::{fixture, tool};

#[test]
fn another_machines_disk_is_left_alone() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("own").make()?;
    // The same release, found first, and somebody else's.
    let image = fixture::image(Arch::host())?.join("disk.raw");
    let other = Disk::copy(&image, &vm.folder().join("other.raw"), 4 << 30)?;
    tool::output(tool::command("sgdisk").args(["--move-second-header", "--randomize-guids"]).arg(&other.path))?;
    other.put_on_esp("ashlar/machine.toml", b"hostname = \"other\"\n")?;
    let before = Disk::copy(&other.path, &vm.folder().join("before.raw"), 0)?;
    vm.launch.drives.insert(0, Drive::raw(&other.path));
    vm.launch.boot_from = 1;
    vm.boot()?;
    promises.check("the configuration is that of the disk that was booted", || {
        let status = vm.status()?;
        ensure!(status.hostname == "own" && status.state == "running", "{status:?}");
        Ok(())
    });
    promises.check("so are the root and the state", || {
        let root = vm.root("ls /sys/block/dm-0/slaves")?;
        ensure!(!root.is_empty() && root.lines().all(|device| device.starts_with("vdb")), "the root is on {root}");
        let mounts = vm.root("cat /proc/mounts")?;
        ensure!(mounts.contains("/dev/vdb") && !mounts.contains("/dev/vda"), "{mounts}");
        Ok(())
    });
    promises.check("no byte of the other disk was written", || {
        vm.press_power()?;
        vm.wait_off()?;
        tool::output(tool::command("cmp").arg(&before.path).arg(&other.path)).map(drop)
    });
    promises.finish();
    vm.finish();
    Ok(())
}
