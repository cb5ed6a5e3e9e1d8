//! From the power button to a person at work.

use anyhow::{Result, bail, ensure};
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::vm::Vm;

#[test]
fn boots_and_takes_people_in() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("boot").memory(768).make()?;
    vm.start()?;
    let ready = vm.wait_ready()?;
    println!("{ready}");
    promises.check("the console says that the machine is ready, and that nothing is not well", || {
        ensure!(ready.contains("(slot a)") && !ready.contains("not well"), "it says: {ready}");
        Ok(())
    });
    promises.check("the serial console logs its user in, to a shell", || {
        let patience = vm.patience(30);
        let serial = vm.serial()?;
        serial.type_line("")?;
        serial.type_line("echo I am $(id -un) on $(uname -n) twice: $((21 * 2))")?;
        serial.wait_for("I am core on boot twice: 42", patience).map(drop)
    });
    promises.check("SSH takes the user's key", || vm.connect());
    promises.check("os status: running, and no unit is unwell", || {
        let status = vm.status()?;
        ensure!(status.state == "running", "state {}: {:?}", status.state, status.unwell);
        ensure!(status.slot == "a" && status.hostname == "boot" && status.root_hash.len() == 64, "{status:?}");
        ensure!(status.problems.is_empty(), "problems: {:?}", status.problems);
        Ok(())
    });
    promises.check("os status fits one screen of words", || {
        let text = vm.run("os status")?;
        ensure!(text.lines().count() <= 24 && text.contains("running"), "{text}");
        Ok(())
    });
    promises.check("os ps lists the services that the image has", || lists_services(&mut vm));
    promises.check("os version says what release.json says", || {
        let release: serde_json::Value = serde_json::from_slice(&std::fs::read(
            ashlar_qemu_tests::fixture::image(ashlar_qemu_tests::arch::Arch::host())?.join("release.json"),
        )?)?;
        let version = release["version"].as_str().unwrap_or_default().to_owned();
        let said = vm.run("os version")?;
        ensure!(!version.is_empty() && said.contains(&version), "release.json has `{version}`, os says {said}");
        Ok(())
    });
    promises.check("os logs shows a service's lines", || {
        let lines = vm.run("os logs ssh")?;
        ensure!(!lines.is_empty(), "no line of ssh");
        Ok(())
    });
    promises.check("systemd's own tools answer in the console", || {
        let journal = vm.run("journalctl --no-pager -n 5")?;
        ensure!(journal.lines().count() >= 2, "journalctl: {journal}");
        vm.run("networkctl --no-pager list").map(drop)
    });
    promises.check("PID 1's socket describes itself to varlinkctl, and refuses a way down that leads nowhere", || {
        let described = vm.run("varlinkctl introspect /run/ashlar/control io.ashlar.Control")?;
        ensure!(described.contains("method GetMachine"), "{described}");
        let call = "varlinkctl call /run/ashlar/control io.ashlar.Control.Shutdown '{\"how\": \"kexec\"}'";
        let ran = vm.try_run(call)?;
        ensure!(ran.code != 0 && format!("{ran:?}").contains("no kernel is loaded"), "{ran:?}");
        ensure!(vm.status()?.state == "running", "it goes down all the same");
        Ok(())
    });
    promises.check("an ordinary command's exit code comes back", || {
        let ran = vm.try_run("exit 42")?;
        ensure!(ran.code == 42, "{ran:?}");
        Ok(())
    });
    promises.check("os shell is the host's root, and the journal has it", || {
        let who = vm.root("id -u; cat /proc/1/comm; readlink /proc/self/ns/pid /proc/1/ns/pid | uniq | wc -l")?;
        ensure!(who.lines().collect::<Vec<_>>() == ["0", "init", "1"], "{who}");
        let journal = vm.root("journalctl --no-pager -b -g 'root shell on the host by core'")?;
        ensure!(journal.contains("root shell on the host by core"), "{journal}");
        Ok(())
    });
    promises.check("a command of os that does not exist is refused with a word about it", || {
        let ran = vm.try_run("os strat ssh")?;
        ensure!(ran.code != 0 && ran.stderr.contains("start"), "{ran:?}");
        Ok(())
    });
    promises.check("a unit that does not exist is named, with the nearest one", || {
        let ran = vm.try_run("os restart sssh")?;
        ensure!(ran.code != 0 && ran.stderr.contains("sssh") && ran.stderr.contains("ssh.service"), "{ran:?}");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}

fn lists_services(vm: &mut Vm) -> Result<()> {
    const EXPECTED: [&str; 9] = [
        "systemd-journald.service",
        "systemd-udevd.service",
        "dbus.service",
        "systemd-networkd.service",
        "systemd-resolved.service",
        "systemd-timesyncd.service",
        "ssh.service",
        "getty.service",
        "console.service",
    ];
    let units = vm.units()?;
    for name in EXPECTED {
        let Some(unit) = units.iter().find(|unit| unit.name == name) else { bail!("{name} is not listed") };
        ensure!(
            unit.active == "active" && unit.main_pid != 0,
            "{name} is {} ({}): {}",
            unit.active,
            unit.sub,
            unit.reason
        );
    }
    Ok(())
}
