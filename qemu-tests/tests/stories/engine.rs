//! Workloads: podman, from the console.

use anyhow::{Result, ensure};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::oci;
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::vm::Vm;

#[test]
fn podman_runs_a_container_from_a_tar() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("engine").memory(1024).boot()?;
    let tar = std::fs::read(oci::archive(vm.folder(), "hello", Arch::host())?)?;
    promises.check("podman load takes an image from standard input", || {
        let ran = vm.ssh()?.run("podman load", &tar)?;
        ensure!(ran.code == 0 && ran.stdout.contains("localhost/hello"), "{ran:?}");
        Ok(())
    });
    promises.check("podman run runs it, with its arguments", || {
        let said = vm.run("podman run --rm localhost/hello one two")?;
        ensure!(said.contains("hello from a container: one two") && said.contains("pid 1"), "{said}");
        Ok(())
    });
    promises.check("a container in the background is listed", || {
        vm.run("podman run -d --name stays localhost/hello sleep")?;
        let list = vm.run("podman ps --format '{{.Names}} {{.Status}}'")?;
        ensure!(list.contains("stays Up"), "{list}");
        Ok(())
    });
    promises.check("its words are in podman logs", || {
        let said = vm.run("podman logs stays")?;
        ensure!(said.contains("hello from a container: sleep"), "{said}");
        Ok(())
    });
    promises.check("it ends when told to", || {
        vm.run("podman rm -f -t 1 stays")?;
        let list = vm.run("podman ps -a --format '{{.Names}}'")?;
        ensure!(!list.contains("stays"), "{list}");
        Ok(())
    });
    promises.check("an image that does not exist is an error", || {
        let ran = vm.try_run("podman run --rm --pull=never localhost/none")?;
        ensure!(ran.code == 125, "{ran:?}");
        Ok(())
    });
    promises.check("the machine is still running well", || {
        let status = vm.status()?;
        ensure!(status.state == "running", "{}: {:?}", status.state, status.unwell);
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}
