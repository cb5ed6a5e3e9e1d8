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
    promises.check("it is a scope of PID 1, which systemctl shows with its processes", || {
        let id = vm.run("podman inspect -f '{{.Id}}' stays")?;
        let said = vm.root(&format!("systemctl status --no-pager libpod-{}.scope", id.trim()))?;
        ensure!(said.contains("active (running)") && said.contains("/machine.slice/libpod-"), "{said}");
        let group = vm.root(&format!("systemctl show -P ControlGroup libpod-{}.scope", id.trim()))?;
        ensure!(group.trim() == format!("/machine.slice/libpod-{}.scope", id.trim()), "{group}");
        Ok(())
    });
    promises.check("its limits are the kernel's, and can be changed while it runs", || {
        let id = vm.run("podman run -d --name small --memory 64m --pids-limit 32 localhost/hello sleep")?;
        let group = format!("/sys/fs/cgroup/machine.slice/libpod-{}.scope", id.trim());
        let limits = |vm: &mut Vm| vm.root(&format!("cat {group}/memory.max {group}/pids.max"));
        let said = limits(&mut vm)?;
        ensure!(said.split_whitespace().eq(["67108864", "32"]), "{said}");
        vm.run("podman update --memory 80m small")?;
        let said = limits(&mut vm)?;
        ensure!(said.split_whitespace().eq(["83886080", "32"]), "{said}");
        vm.run("podman rm -f -t 1 small")?;
        let left = vm.root("systemctl list-units --all --no-legend 'libpod-*.scope'")?;
        ensure!(!left.contains(id.trim()), "{left}");
        Ok(())
    });
    promises.check("containers of a pod are in a slice of their own", || {
        vm.run("podman pod create --name pair --infra=false")?;
        vm.run("podman run -d --pod pair --name one localhost/hello sleep")?;
        let said = vm.root("systemctl list-units --no-legend 'machine-libpod_pod_*.slice'")?;
        ensure!(said.contains("active"), "{said}");
        vm.run("podman pod rm -f -t 1 pair")?;
        Ok(())
    });
    promises.check("a command runs in it", || {
        let said = vm.run("podman exec stays /hello inside")?;
        ensure!(said.contains("hello from a container: inside"), "{said}");
        Ok(())
    });
    promises.check("the engine may go: containers stay", || {
        vm.root("systemctl stop podman.service")?;
        let said = vm.run("podman ps --format '{{.Names}} {{.Status}}'")?;
        ensure!(said.contains("stays Up"), "{said}");
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
