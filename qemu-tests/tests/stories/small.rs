//! The smallest machine, and one that nobody configured.

use anyhow::{Result, ensure};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::fixture;
use ashlar_qemu_tests::promise::{Promises, eventually};
use ashlar_qemu_tests::vm::Vm;
use serde_json::json;

#[test]
fn a_machine_of_192_mebibytes_reaches_ssh() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("small").memory(192).make()?;
    promises.check("it boots, and takes its user", || vm.boot());
    promises.check("it is running", || {
        let status = vm.status()?;
        ensure!(status.state == "running", "{}: {:?}", status.state, status.unwell);
        Ok(())
    });
    promises.check("nothing was killed for lack of memory", || {
        let log = vm.root("journalctl --no-pager -b -k")?;
        ensure!(!log.contains("Out of memory"), "the kernel killed something");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}

#[test]
fn a_machine_as_delivered_lets_nobody_in() -> Result<()> {
    let mut promises = Promises::new();
    let image = fixture::image(Arch::host())?;
    let mut vm = Vm::builder("delivered").image(&image.join("disk.raw")).make()?;
    vm.launch.drives[0].path = image.join("disk.qcow2");
    vm.launch.drives[0].format = "qcow2".into();
    vm.launch.drives[0].snapshot = true;
    vm.start()?;
    // The image has no room for the machine's state: a real disk is larger.
    vm.qmp()?.execute("block_resize", &json!({ "device": "disk0", "size": 4_u64 << 30 }))?;
    promises.check("the qcow2 image boots without any configuration", || vm.wait_ready().map(drop));
    promises.check("the serial console logs nobody in", || {
        let patience = vm.patience(20);
        eventually(patience, || {
            ensure!(vm.serial()?.text().contains("nobody is logged in here"), "the console does not say so");
            Ok(())
        })?;
        vm.serial()?.type_line("id")?;
        // Long enough for a shell to answer, if there were one.
        let waited = vm.serial()?.wait_for("uid=", patience / 6);
        ensure!(waited.is_err(), "somebody is: {waited:?}");
        Ok(())
    });
    promises.check("it goes down by its power button", || {
        vm.press_power()?;
        vm.wait_off()
    });
    promises.finish();
    vm.finish();
    Ok(())
}
