//! Units that somebody else brings: an image that inherits from `base`, with services that tick, eat memory, read their
//! configuration again, do not want to stop, and are not well. Last of all PID 1 itself hangs.

use anyhow::{Result, ensure};
use ashlar_qemu_tests::derived::{Derived, Unit};
use ashlar_qemu_tests::promise::{Promises, eventually};
use ashlar_qemu_tests::vm::Vm;

const UNITS: [Unit<'static>; 5] = [
    (
        "tick",
        r#"
description = "Ticks"
packages = ["coreutils"]
type = "oneshot"
command = ["/usr/bin/echo", "a tick"]
[timer]
on-boot = "1s"
on-unit-active = "2s"
"#,
    ),
    (
        "hog",
        r#"
description = "Wants more memory than it may have"
packages = ["coreutils"]
command = ["/usr/bin/tail", "/dev/zero"]
wanted-by = []
[limits]
memory-max = "24M"
"#,
    ),
    (
        "attentive",
        r#"
description = "Reads its configuration again"
packages = ["coreutils", "dash"]
command = ["/bin/sh", "-c", "trap 'echo read again' HUP; while :; do sleep 1000 & wait; done"]
reload = ["/bin/sh", "-c", "kill -HUP 1"]
"#,
    ),
    (
        "stubborn",
        r#"
description = "Does not want to stop"
packages = ["coreutils", "dash"]
command = ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
timeout-stop = "2s"
"#,
    ),
    (
        "sick",
        r#"
description = "Runs, and does not do its work"
packages = ["coreutils"]
command = ["/usr/bin/sleep", "infinity"]
wanted-by = []
[health]
command = ["/usr/bin/test", "-e", "/run/well"]
interval = "500ms"
timeout = "20s"
retries = 2
"#,
    ),
];

#[test]
fn units_of_ones_own_do_as_they_say() -> Result<()> {
    let mut promises = Promises::new();
    let image = Derived::build("units", &UNITS)?;
    let mut machine = Vm::builder("units").image(&image.disk()).make()?;
    machine.launch.extra = ["-device", "i6300esb", "-action", "watchdog=reset"].map(str::to_owned).into();
    let vm = &mut machine;
    vm.boot()?;
    promises.check("a timer starts its service again and again", || {
        let patience = vm.patience(30);
        eventually(patience, || {
            let ticks = vm.run("os logs tick")?.lines().filter(|line| line.ends_with("a tick")).count();
            ensure!(ticks >= 3, "{ticks} ticks");
            Ok(())
        })
    });
    promises.check("a service over its limit is killed, and it is said why", || {
        vm.try_run("os start hog")?;
        let patience = vm.patience(30);
        eventually(patience, || {
            let hog = vm.unit("hog.service")?;
            ensure!(hog.active == "failed" && hog.result == "oom-kill", "{hog:?}");
            ensure!(hog.reason.contains("memory"), "the reason is `{}`", hog.reason);
            Ok(())
        })?;
        let unwell = vm.status()?.unwell;
        ensure!(unwell.len() == 1 && unwell[0].name == "hog.service", "{unwell:?}");
        Ok(())
    });
    promises.check("os reload: the service does it", || {
        vm.run("os reload attentive")?;
        let patience = vm.patience(10);
        eventually(patience, || {
            let log = vm.run("os logs attentive")?;
            ensure!(log.contains("read again"), "{log}");
            Ok(())
        })
    });
    promises.check("os reload of what cannot is refused, with the unit's name", || {
        let ran = vm.try_run("os reload stubborn")?;
        ensure!(ran.code != 0 && ran.stderr.contains("stubborn"), "{ran:?}");
        Ok(())
    });
    promises.check("what does not stop is killed after its time, and that is said", || {
        vm.try_run("os stop stubborn")?;
        let stubborn = vm.unit("stubborn.service")?;
        ensure!(stubborn.main_pid == 0 && stubborn.result == "timeout", "{stubborn:?}");
        Ok(())
    });
    promises.check("a service that fails its health check is not called well", || {
        vm.try_run("os start sick")?;
        let patience = vm.patience(20);
        eventually(patience, || {
            let sick = vm.unit("sick.service")?;
            ensure!(sick.active == "failed" && sick.reason.contains("health"), "{sick:?}");
            Ok(())
        })
    });
    promises.check("a PID 1 that hangs is noticed by the hardware's watchdog", || {
        vm.serial()?.type_line("os shell -- sh -c 'echo 1 > /sys/fs/cgroup/init.scope/cgroup.freeze'")?;
        vm.wait_reset()?;
        vm.wait_ready().map(drop)
    });
    promises.finish();
    machine.finish();
    Ok(())
}
