//! The same image on the other architecture.

use anyhow::{Result, ensure};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::vm::Vm;

#[test]
fn boots_on_arm_under_edk2() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("arm").arch(Arch::Aarch64).make()?;
    promises.check("it boots, and takes its user", || vm.boot());
    promises.check("it is an arm machine", || {
        let machine = vm.run("uname -m")?;
        ensure!(machine == "aarch64", "{machine}");
        Ok(())
    });
    promises.check("it is running, and no unit is unwell", || {
        let status = vm.status()?;
        ensure!(status.state == "running" && status.slot == "a", "{}: {:?}", status.state, status.unwell);
        Ok(())
    });
    promises.check("a sealed service has ids of its own", || {
        let pid = vm.unit("ssh.service")?.main_pid;
        let map = vm.root(&format!("cat /proc/{pid}/uid_map"))?;
        let words: Vec<&str> = map.split_whitespace().collect();
        ensure!(words.len() == 3 && words[0] == "0" && words[2] == "65536", "{map}");
        Ok(())
    });
    promises.check("the power button switches it off", || {
        vm.press_power()?;
        vm.wait_off()
    });
    promises.finish();
    vm.finish();
    Ok(())
}
