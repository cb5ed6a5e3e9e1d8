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
    let before = other.partitions()?;
    vm.launch.drives.insert(0, Drive { path: other.path.clone(), format: "raw".into(), snapshot: false });
    vm.launch.boot_from = 1;
    vm.boot()?;
    promises.check("the configuration is that of the disk that was booted", || {
        let status = vm.status()?;
        ensure!(status.hostname == "own" && status.state == "running", "{status:?}");
        Ok(())
    });
    promises.check("so are the root and the state", || {
        let devices =
            vm.root("dmsetup deps -o devname root 2>/dev/null || cat /run/ashlar/boot.json; cat /proc/mounts")?;
        ensure!(devices.contains("/dev/vdb") && !devices.contains("/dev/vda"), "{devices}");
        Ok(())
    });
    promises.check("nothing of the other disk was touched", || {
        vm.press_power()?;
        vm.wait_off()?;
        let after = other.partitions()?;
        ensure!(after == before, "{before:?} became {after:?}");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}
