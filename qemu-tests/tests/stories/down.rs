//! The ways down, and what is left behind on the disk.

use anyhow::{Result, ensure};
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::tool;
use ashlar_qemu_tests::vm::Vm;

#[test]
fn every_way_down_is_clean() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("down").make()?;
    // A reboot ends QEMU here, so that the disk can be looked at.
    vm.launch.no_reboot = true;
    vm.boot()?;
    vm.root("echo something to write > /var/lib/witness; logger -t witness 'the first boot' 2>/dev/null || true")?;
    promises.check("the power button switches off", || {
        vm.press_power()?;
        vm.wait_off()
    });
    promises.check("the state file system is clean after that", || state_is_clean(&vm));

    vm.start()?;
    vm.wait_ready()?;
    promises.check("the power button is heard as soon as the machine is ready", || {
        vm.press_power()?;
        vm.wait_off()
    });

    vm.start()?;
    vm.wait_ready()?;
    promises.check("Ctrl-Alt-Del reboots", || {
        vm.qmp()?.press(&["ctrl", "alt", "delete"])?;
        vm.wait_off()
    });
    promises.check("the state file system is clean after that, too", || state_is_clean(&vm));

    vm.boot()?;
    promises.check("the file that was written is there", || {
        let text = vm.root("cat /var/lib/witness")?;
        ensure!(text == "something to write", "{text}");
        Ok(())
    });
    promises.check("os reboot reboots", || {
        vm.try_run("os reboot")?;
        vm.wait_off()
    });
    promises.check("the state file system is clean after a reboot by hand", || state_is_clean(&vm));

    vm.launch.no_reboot = false;
    vm.boot()?;
    promises.check("fsck found nothing to do", || {
        let log = vm.root("journalctl --no-pager -b")?;
        ensure!(!log.contains("recovering journal"), "the journal of /var was replayed");
        Ok(())
    });
    promises.check("the journal has every boot", || {
        let boots = vm.root("journalctl --no-pager -q --list-boots")?;
        ensure!(boots.lines().filter(|line| !line.contains("BOOT ID")).count() == 5, "{boots}");
        Ok(())
    });
    let (boot, file) = ("cat /proc/sys/kernel/random/boot_id", "/var/lib/witness");
    promises.check("a soft reboot starts all but the kernel again", || {
        let before = vm.root(boot)?;
        vm.try_root("systemctl soft-reboot")?;
        come_back(&mut vm)?;
        let after = vm.root(boot)?;
        ensure!(before == after, "{before} {after}");
        let said = vm.root(&format!("systemctl show -P SoftRebootsCount; systemctl is-system-running; cat {file}"))?;
        ensure!(said.lines().eq(["1", "running", "something to write"]), "{said}");
        Ok(())
    });
    promises.check("and again", || {
        vm.try_run("os soft-reboot")?;
        come_back(&mut vm)?;
        let said = vm.root("systemctl show -P SoftRebootsCount; systemctl is-system-running")?;
        ensure!(said.lines().eq(["2", "running"]), "{said}");
        Ok(())
    });
    promises.check("os poweroff switches off", || {
        vm.try_run("os poweroff")?;
        vm.wait_off()
    });
    promises.finish();
    vm.finish();
    Ok(())
}

/// Everything but the kernel was started again: its connection ends, and the console says when it is ready.
fn come_back(vm: &mut Vm) -> Result<()> {
    let patience = vm.patience(60);
    vm.serial()?.wait_for("soft reboot: beginning anew", patience)?;
    vm.wait_ready()?;
    vm.connect()
}

/// A foreign checker's word on the state partition.
fn state_is_clean(vm: &Vm) -> Result<()> {
    let state = vm.folder().join("state.ext4");
    vm.disk.extract("state", &state)?;
    let superblock = tool::output(tool::command("dumpe2fs").arg("-h").arg(&state))?;
    let text = String::from_utf8_lossy(&superblock.stdout).into_owned();
    let field = text.lines().find(|line| line.starts_with("Filesystem state:")).unwrap_or_default();
    ensure!(field.ends_with(" clean"), "{field}");
    ensure!(!text.contains("needs_recovery"), "its journal has to be replayed");
    tool::output(tool::command("e2fsck").args(["-f", "-n"]).arg(&state)).map(drop)
}
