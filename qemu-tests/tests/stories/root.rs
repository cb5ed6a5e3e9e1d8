//! The root: nobody writes to it, and a changed byte on the disk does not go unnoticed.

use std::process::Stdio;

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
    let root = image.join("root.erofs").metadata()?.len() - 4096;
    // The tree's last block holds the leaves of the root's last blocks.
    let leaf = image.join("root.verity").metadata()?.len() - 4096;
    let mut vm = Vm::builder("flipped").boot()?;
    promises.check("a byte of the root that changes under a running machine reboots it", || {
        vm.disk.flip("root-a", root)?;
        read_until_reset(&mut vm)
    });
    promises.check("with the byte as it was it is well again", || {
        vm.disk.flip("root-a", root)?;
        vm.wait_ready().map(drop)
    });
    vm.cut()?;
    promises.check("a byte of the hash tree that changed while it was off reboots it when it is read", || {
        vm.disk.flip("verity-a", leaf)?;
        vm.start()?;
        let patience = vm.patience(60);
        // What is read while booting may be enough.
        let (reached, _) = vm.serial()?.wait_for_any(&[" ready in ", "corrupted"], patience)?;
        if reached == 0 {
            vm.connect()?;
            return read_until_reset(&mut vm);
        }
        vm.wait_reset()
    });
    promises.check("the console says what was noticed, twice", || {
        let text = vm.serial()?.text();
        let told = text.lines().filter(|line| line.contains("verity") && line.contains("corrupted")).count();
        ensure!(told >= 2, "{told} lines are about verity");
        Ok(())
    });
    vm.cut()?;
    promises.check("a hash tree with another top is no slot: the console says what was looked for", || {
        vm.disk.flip("verity-a", leaf)?;
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

/// Reads the whole root past every cache, which does not come to its end.
fn read_until_reset(vm: &mut Vm) -> Result<()> {
    vm.qmp()?.forget_events()?;
    let mut reading = vm.ssh()?.command();
    let read = "echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/mapper/root of=/dev/null bs=1M iflag=direct";
    reading.arg(format!("os shell -- /bin/sh -c {}", quote(read)));
    reading.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut reading = reading.spawn()?;
    let reset = vm.wait_reset();
    let _ = reading.kill();
    let _ = reading.wait();
    reset
}
