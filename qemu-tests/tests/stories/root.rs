//! The root: nobody writes to it, and a changed byte on the disk does not go unnoticed.

use anyhow::{Result, ensure};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::fixture;
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::ssh::quote;
use ashlar_qemu_tests::vm::Vm;

#[test]
fn root_cannot_be_written() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("readonly").boot()?;
    for (what, line) in [
        ("make a file in /usr", "touch /usr/here"),
        ("make a file in /etc", "touch /etc/here"),
        ("change a program", "dd if=/dev/zero of=/usr/lib/ashlar/init bs=1 count=1 conv=notrunc"),
        ("mount it writable", "mount -o remount,rw / && touch /usr/here"),
        ("write to its device", "dd if=/dev/zero of=/dev/mapper/root bs=4096 count=1 conv=notrunc,fsync"),
    ] {
        promises.check(&format!("root cannot {what}"), || {
            let ran = vm.try_root(line)?;
            ensure!(ran.code != 0, "`{line}` went through: {}", ran.stdout);
            Ok(())
        });
    }
    promises.check("what root can see is the verified device", || {
        let mounts = vm.root("grep ' / ' /proc/self/mounts")?;
        ensure!(mounts.contains("erofs") && mounts.contains(" ro"), "{mounts}");
        ensure!(mounts.contains("/dev/mapper/root") || mounts.contains("dm-"), "{mounts}");
        Ok(())
    });
    promises.check("the console's writable root is gone after the console", || {
        let ran = vm.try_run("touch /tmp/here && echo made")?;
        ensure!(ran.stdout == "made", "{ran:?}");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}

#[test]
fn changed_bytes_are_noticed() -> Result<()> {
    let mut promises = Promises::new();
    let image = fixture::image(Arch::host())?;
    let root = image.join("root.erofs").metadata()?.len();
    let tree = image.join("root.verity").metadata()?.len();
    // The tree's last block holds the leaves of the root's last blocks, and its end is not used by any.
    for (what, partition, offset) in [("the root", "root-a", root - 4096), ("the hash tree", "verity-a", tree - 4096)] {
        let mut vm = Vm::builder("flipped").boot()?;
        promises.check(&format!("a byte of {what} that changes under a running machine reboots it"), || {
            vm.disk.flip(partition, offset)?;
            vm.qmp()?.forget_events()?;
            let mut reading = vm.ssh()?.command();
            let read = "dd if=/dev/mapper/root of=/dev/null bs=1M iflag=direct";
            reading.arg(format!("os shell -- /bin/sh -c {}", quote(read)));
            reading.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
            let mut reading = reading.spawn()?;
            let reset = vm.wait_reset();
            let _ = reading.kill();
            let _ = reading.wait();
            reset
        });
        promises.check("it says so on the console", || {
            let text = vm.serial()?.text();
            ensure!(text.contains("verity") && text.contains("corrupted"), "nothing about verity");
            Ok(())
        });
        promises.check("with the byte as it was it is well again", || {
            vm.disk.flip(partition, offset)?;
            vm.wait_ready().map(drop)
        });
        vm.cut()?;
        vm.finish();
    }
    let mut vm = Vm::builder("topless").make()?;
    promises.check("a hash tree with another top is no slot: the console says what was looked for", || {
        vm.disk.flip("verity-a", 4096)?;
        vm.start()?;
        let patience = vm.patience(60);
        vm.serial()?.wait_for("root hash", patience).map(drop)
    });
    promises.check("and the machine tries again", || vm.wait_reset());
    promises.finish();
    vm.finish();
    Ok(())
}
