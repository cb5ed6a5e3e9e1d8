//! What an administrator writes: unit files and containers on the state partition, over boots and executions of PID 1.

use anyhow::{Result, ensure};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::oci;
use ashlar_qemu_tests::promise::{Promises, eventually};
use ashlar_qemu_tests::vm::Vm;

const OWN: &str = "[Unit]\nDescription=Of an administrator\nAfter=network.target\n[Service]\nType=notify\n\
                   NotifyAccess=all\nExecStart=/bin/sh -c 'systemd-notify --ready; exec sleep infinity'\n\
                   StateDirectory=own\nProtectSystem=strict\n[Install]\nWantedBy=multi-user.target\n";
const TIMER: &str = "[Timer]\nOnCalendar=*-*-* 00:00:00\nPersistent=yes\n[Install]\nWantedBy=timers.target\n";
const ONCE: &str = "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo ran >> /var/lib/once'\n";
const CONTAINER: &str = "[Unit]\nDescription=A container as a service\n[Container]\nImage=localhost/hello\nExec=sleep\n\
                         Pull=never\nNetwork=none\n[Install]\nWantedBy=multi-user.target\n";

/// Writes a file as root.
fn write(vm: &mut Vm, path: &str, text: &str) -> Result<()> {
    let ran = vm.ssh()?.run(&format!("os shell -- tee {path}"), text.as_bytes())?;
    ensure!(ran.code == 0, "{ran:?}");
    Ok(())
}

#[test]
fn what_an_administrator_writes_stays() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("unit-files").memory(1024).boot()?;
    let tar = std::fs::read(oci::archive(vm.folder(), "hello", Arch::host())?)?;
    ensure!(vm.ssh()?.run("podman load", &tar)?.code == 0, "the image cannot be loaded");
    for (path, text) in [
        ("/etc/systemd/system/own.service", OWN),
        ("/etc/systemd/system/once.timer", TIMER),
        ("/etc/systemd/system/once.service", ONCE),
        ("/etc/containers/systemd/box.container", CONTAINER),
    ] {
        write(&mut vm, path, text)?;
    }
    promises.check("a member of group os enables and starts it from the console", || {
        vm.run("systemctl daemon-reload")?;
        vm.run("systemctl enable --now own.service once.timer")?;
        let said = vm.run("systemctl is-enabled own.service; systemctl is-active own.service once.timer")?;
        ensure!(said.split_whitespace().eq(["enabled", "active", "active"]), "{said}");
        Ok(())
    });
    promises.check("the console shows its file", || {
        let said = vm.run("systemctl cat own.service")?;
        ensure!(said.contains("Description=Of an administrator"), "{said}");
        Ok(())
    });
    promises.check("podman's own generator makes a service of a container, which podman and systemctl know", || {
        vm.run("systemctl start box.service")?;
        let said = vm.run("systemctl show -P ActiveState -P UnitFileState -P SourcePath box.service")?;
        ensure!(said.contains("active") && said.contains("generated") && said.contains("box.container"), "{said}");
        let said = vm.run("podman ps --format '{{.Names}} {{.Status}}'")?;
        ensure!(said.contains("systemd-box Up"), "{said}");
        Ok(())
    });
    promises.check("a drop-in changes a container of the image, and its limits are the kernel's", || {
        vm.root("mkdir -p /etc/systemd/system/systemd-timesyncd.service.d")?;
        let text = "[Service]\nMemoryMax=48M\nRestartSec=7\nNice=3\n";
        write(&mut vm, "/etc/systemd/system/systemd-timesyncd.service.d/own.conf", text)?;
        vm.root("systemctl daemon-reload; systemctl restart systemd-timesyncd.service")?;
        let said = vm.root("cat /sys/fs/cgroup/system.slice/systemd-timesyncd.service/memory.max")?;
        ensure!(said.trim() == "50331648", "{said}");
        let said = vm.root("systemctl show -P RestartUSec -P DropInPaths systemd-timesyncd.service")?;
        ensure!(said.contains("7s") && said.contains("own.conf"), "{said}");
        Ok(())
    });
    promises.check("a limit that is set while it runs is kept", || {
        vm.root("systemctl set-property systemd-timesyncd.service TasksMax=99 && systemctl set-property user.slice TasksMax=999")?;
        let said = vm.root("systemctl show -P NeedDaemonReload -P MemoryMax -P TasksMax systemd-timesyncd.service")?;
        ensure!(said.split_whitespace().eq(["50331648", "no", "99"]), "{said}");
        Ok(())
    });
    promises.check("what does nothing in it is told in the journal", || {
        let said = vm.root("journalctl -b --no-pager -u systemd-timesyncd.service")?;
        ensure!(said.contains("the rest of what is said of it does nothing"), "{said}");
        Ok(())
    });
    promises.check("a service of the image can be disabled", || {
        vm.root("systemctl disable --now systemd-timesyncd.service")?;
        let said = vm.try_root("systemctl is-enabled systemd-timesyncd.service")?;
        ensure!(said.stdout.trim() == "disabled", "{said:?}");
        Ok(())
    });
    promises.check("PID 1 executes itself anew and knows all of it", || {
        let before = vm.unit("own.service")?;
        vm.root("systemctl daemon-reexec")?;
        let after = vm.unit("own.service")?;
        ensure!(before.main_pid == after.main_pid && after.active == "active", "{before:?} {after:?}");
        let said =
            vm.root("systemctl show -P FragmentPath own.service; systemctl restart own.service && echo again")?;
        ensure!(said.contains("/etc/systemd/system/own.service") && said.contains("again"), "{said}");
        let said = vm.root("systemctl is-enabled ssh.service")?;
        ensure!(said.trim() == "enabled", "{said}");
        Ok(())
    });
    promises.check("a unit with a mistake is refused, and keeps nobody else", || {
        let text = "[Service]\nExecStart=/bin/true\nRootImage=/x\n[Install]\nWantedBy=multi-user.target\n";
        write(&mut vm, "/etc/systemd/system/wrong.service", text)?;
        vm.root("systemctl daemon-reload; systemctl enable wrong.service")?;
        let said = vm.try_root("systemctl start wrong.service; systemctl status --no-pager wrong.service")?;
        ensure!(said.stdout.contains("wrong.service:3: RootImage= is not supported, and guards something"), "{said:?}");
        Ok(())
    });
    promises.check("the next boot starts what is enabled, containers among them, and not what is disabled", || {
        // A day that passed while the machine was off.
        vm.root("touch -d '2 days ago' /var/lib/systemd/timers/stamp-once.timer; rm -f /var/lib/once; sync")?;
        let _ = vm.try_root("systemctl reboot");
        vm.wait_reset()?;
        vm.wait_ready()?;
        vm.connect()?;
        let said = vm.try_run("systemctl is-active own.service once.timer box.service systemd-timesyncd.service")?;
        ensure!(said.stdout.split_whitespace().eq(["active", "active", "active", "inactive"]), "{said:?}");
        Ok(())
    });
    promises.check("and has the limits that were kept", || {
        vm.root("systemctl start systemd-timesyncd.service")?;
        let said =
            vm.root("cd /sys/fs/cgroup; cat system.slice/systemd-timesyncd.service/pids.max user.slice/pids.max")?;
        ensure!(said.split_whitespace().eq(["99", "999"]), "{said}");
        Ok(())
    });
    promises.check("a time of the calendar that passed while the machine was off is made up for", || {
        eventually(vm.patience(20), || {
            let said = vm.root("cat /var/lib/once")?;
            ensure!(said.trim() == "ran", "{said}");
            Ok(())
        })
    });
    promises.check("enabled again, the image's service starts", || {
        vm.root("systemctl enable --now systemd-timesyncd.service")?;
        let said = vm
            .root("systemctl is-active systemd-timesyncd.service; ls -A /etc/systemd/system/multi-user.target.wants")?;
        ensure!(said.contains("active") && !said.contains("timesyncd"), "{said}");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}
