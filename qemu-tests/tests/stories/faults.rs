//! PID 1 faults, and nobody notices.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::vm::Vm;

/// Faults of PID 1 while the machine works: processors, forks and the disk.
const FAULTS: &str = r"
work() { while :; do /bin/true; done; }
work & first=$!
(while :; do dd if=/dev/zero of=/var/tmp/load bs=64k count=64 conv=fsync 2>/dev/null; done) & second=$!
for round in $(seq 50); do
    kill -SEGV 1
    sleep 0.1
done
kill $first $second
rm -f /var/tmp/load
tr '\0' ' ' < /proc/1/cmdline
";

#[test]
fn faults_of_pid_1_cost_nothing() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("faults").memory(768).cpus(2).boot()?;
    let before = main_processes(&mut vm)?;
    promises.check("fifty faults under load: PID 1 is back, by its snapshot", || {
        let line = vm.root(FAULTS)?;
        ensure!(line.contains("--resume="), "its command line is {line}");
        Ok(())
    });
    promises.check("no service was started again or lost", || {
        let after = main_processes(&mut vm)?;
        ensure!(before == after, "before: {before:?}; after: {after:?}");
        Ok(())
    });
    promises.check("the machine is running", || {
        let status = vm.status()?;
        ensure!(status.state == "running", "{}: {:?}", status.state, status.unwell);
        Ok(())
    });
    promises.check("it still starts and stops services", || {
        vm.run("os restart systemd-timesyncd")?;
        let unit = vm.unit("systemd-timesyncd.service")?;
        ensure!(unit.active == "active", "{unit:?}");
        Ok(())
    });
    promises.check("it still restarts what dies", || {
        let pid = vm.unit("systemd-timesyncd.service")?.main_pid;
        vm.root(&format!("kill -KILL {pid}"))?;
        let patience = vm.patience(20);
        ashlar_qemu_tests::promise::eventually(patience, || {
            let unit = vm.unit("systemd-timesyncd.service")?;
            ensure!(unit.active == "active" && unit.main_pid != pid, "{unit:?}");
            Ok(())
        })
    });
    promises.check("an abort is survived too", || {
        vm.root("kill -ABRT 1; sleep 1; kill -0 1").map(drop)?;
        ensure!(vm.status()?.state == "running", "it is not");
        Ok(())
    });
    promises.check("and it goes down in order", || {
        vm.press_power()?;
        vm.wait_off()
    });
    promises.finish();
    vm.finish();
    Ok(())
}

/// Main process and number of restarts of each running service.
fn main_processes(vm: &mut Vm) -> Result<BTreeMap<String, (u32, u32)>> {
    // Activated by the bus or a socket, and gone again when idle.
    const COME_AND_GO: [&str; 3] = ["systemd-hostnamed.service", "systemd-timedated.service", "podman.service"];
    let units = vm.units()?.into_iter().filter(|unit| unit.main_pid != 0 && !COME_AND_GO.contains(&unit.name.as_str()));
    Ok(units.map(|unit| (unit.name, (unit.main_pid, unit.restarts))).collect())
}
