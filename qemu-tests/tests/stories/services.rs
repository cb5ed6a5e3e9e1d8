//! Services that die, and services whose neighbours do.

use anyhow::{Context, Result, ensure};
use ashlar_qemu_tests::promise::{Promises, eventually};
use ashlar_qemu_tests::vm::Vm;

/// Kills the main process of a service four times, each as soon as there is a new one; prints the milliseconds that
/// each time passed without one. All in the machine: SSH is slower than the pauses.
const KILLS: &str = r#"
group=/sys/fs/cgroup/system.slice/$1
first() { find $group -name cgroup.procs -exec cat {} + 2>/dev/null | head -n 1; }
for round in 1 2 3 4; do
    old=$(first)
    kill -KILL $old
    begin=$(date +%s%N)
    while new=$(first); [ -z "$new" ] || [ "$new" = "$old" ]; do sleep 0.02; done
    echo $(( ($(date +%s%N) - begin) / 1000000 ))
done
"#;

#[test]
fn a_killed_service_comes_back() -> Result<()> {
    const SERVICE: &str = "systemd-timesyncd.service";
    let mut promises = Promises::new();
    let mut vm = Vm::builder("killed").boot()?;
    let before = vm.unit(SERVICE)?;
    promises.check("each time after a longer pause", || {
        let script = format!("set -- {SERVICE}\n{KILLS}");
        let pauses: Vec<u64> = vm.root(&script)?.lines().filter_map(|line| line.parse().ok()).collect();
        println!("  pauses in ms: {pauses:?}");
        ensure!(pauses.len() == 4, "{pauses:?}");
        ensure!(pauses[3] >= pauses[0] + 300, "{pauses:?}");
        Ok(())
    });
    promises.check("os ps counts the starts", || {
        let patience = vm.patience(30);
        eventually(patience, || {
            let after = vm.unit(SERVICE)?;
            ensure!(after.active == "active" && after.main_pid != before.main_pid, "{after:?}");
            ensure!(after.restarts >= 4, "restarts: {}", after.restarts);
            Ok(())
        })
    });
    promises.check("the log has the reason", || {
        let log = vm.run("os logs systemd-timesyncd")?;
        ensure!(log.contains("KILL") || log.contains("signal"), "{log}");
        Ok(())
    });
    promises.check("the rest did not notice", || {
        let status = vm.status()?;
        ensure!(status.state == "running", "{}: {:?}", status.state, status.unwell);
        Ok(())
    });
    promises.check("stop and start by hand", || {
        vm.run("os stop systemd-timesyncd")?;
        ensure!(vm.unit(SERVICE)?.active == "inactive", "it still runs");
        vm.run("os start systemd-timesyncd")?;
        ensure!(vm.unit(SERVICE)?.active == "active", "it does not run");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}

#[test]
fn failed_dependencies_are_shown() -> Result<()> {
    const NEEDED: &str = "dbus.service";
    const NEEDING: &str = "systemd-hostnamed";
    let mut promises = Promises::new();
    let mut vm = Vm::builder("dependency").boot()?;
    vm.run(&format!("os stop {NEEDING}"))?;
    vm.run("os stop dbus.socket")?;
    vm.run(&format!("os stop {NEEDED}"))?;
    // As if its part of the image were gone.
    vm.root("mount -t tmpfs none /usr/lib/ashlar/bundles/dbus")?;
    promises.check("a unit whose requirement fails is not started, and the job says so", || {
        let ran = vm.try_run(&format!("os start {NEEDING}"))?;
        ensure!(ran.code != 0, "it started");
        ensure!(ran.stderr.contains(NEEDED), "{}", ran.stderr);
        Ok(())
    });
    promises.check("os status names the one that failed, and why", || {
        let status = vm.status()?;
        ensure!(status.state == "degraded", "{}", status.state);
        let failed = status.unwell.iter().find(|unit| unit.name == NEEDED);
        let failed = failed.with_context(|| format!("{NEEDED} is not among {:?}", status.unwell))?;
        ensure!(failed.reason.contains("/usr/lib/ashlar/bundles/dbus"), "the reason is `{}`", failed.reason);
        Ok(())
    });
    promises.check("mended, both start", || {
        vm.root("umount /usr/lib/ashlar/bundles/dbus")?;
        // By hand, because it was tried too often by then; its socket comes with it.
        vm.run(&format!("os start {NEEDED}"))?;
        vm.run(&format!("os start {NEEDING}"))?;
        let status = vm.status()?;
        ensure!(status.state == "running", "{}: {:?}", status.state, status.unwell);
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}
