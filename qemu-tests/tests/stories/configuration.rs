//! machine.toml, right and wrong.

use anyhow::{Context, Result, ensure};
use ashlar_qemu_tests::promise::{Promises, eventually};
use ashlar_qemu_tests::vm::Vm;

/// Line 1 is misspelt, line 8 names no group of the machine, line 11 is no setting of the kernel.
const PARTLY_WRONG: &str = r#"hostnme = "web-1"
timezone = "Europe/Vienna"

[[users]]
name = "core"
ssh-keys = ["KEY"]
groups = ["os",
  "nobody-knows"]

[sysctl]
"no.such.setting" = 1
"net.ipv4.ip_forward" = 1
"#;

#[test]
fn mistakes_are_told_and_the_rest_holds() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("mistakes").config(PARTLY_WRONG).make()?;
    vm.start()?;
    let ready = vm.wait_ready()?;
    let console = vm.serial()?.text();
    promises.check("the machine becomes ready", || {
        ensure!(!ready.is_empty());
        Ok(())
    });
    promises.check("the console names file, line and key, and the nearest key", || {
        let line = console.lines().find(|line| line.contains("hostnme")).context("nothing about hostnme")?;
        ensure!(line.contains("machine.toml:1") && line.contains("`hostname`"), "{line}");
        Ok(())
    });
    promises.check("what was right holds: the user logs in", || vm.connect());
    promises.check("os status tells every problem", || {
        let problems = vm.status()?.problems;
        for (key, place) in
            [("hostnme", "machine.toml:1"), ("nobody-knows", "machine.toml:8"), ("no.such.setting", ":11")]
        {
            let told = problems.iter().any(|problem| problem.contains(key) && problem.contains(place));
            ensure!(told, "{key} at {place} is not among {problems:?}");
        }
        Ok(())
    });
    promises.check("os status in words has them too", || {
        let said = vm.try_run("os status")?;
        ensure!(said.code == 3 && said.stdout.contains("hostnme"), "{}: {}", said.code, said.stdout);
        Ok(())
    });
    promises.check("time zone and settings that were right are applied", || {
        let said = vm.run("date +%Z; cat /proc/sys/net/ipv4/ip_forward")?;
        ensure!(said.starts_with("CE") && said.ends_with('1'), "{said}");
        Ok(())
    });
    promises.check("the user's right groups hold", || {
        let groups = vm.run("id -Gn")?;
        ensure!(groups.split(' ').any(|group| group == "os"), "{groups}");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}

#[test]
fn a_file_that_is_no_toml_keeps_nobody_from_mending_it() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("broken").config("hostname = \"broken\n[[users\n\0").make()?;
    vm.start()?;
    promises.check("the machine becomes ready", || vm.wait_ready().map(drop));
    promises.check("the console says where the file is broken", || {
        let text = vm.serial()?.text();
        ensure!(text.contains("machine.toml:1"), "nothing about machine.toml:1");
        Ok(())
    });
    promises.check("nobody is logged in on the serial console", || {
        let patience = vm.patience(20);
        eventually(patience, || {
            ensure!(vm.serial()?.text().contains("nobody is logged in here"), "the console does not say so");
            Ok(())
        })?;
        vm.serial()?.type_line("id")?;
        // Long enough for a shell to answer, if there were one.
        let waited = vm.serial()?.wait_for("uid=", patience / 6);
        ensure!(waited.is_err(), "somebody is: {waited:?}");
        Ok(())
    });
    promises.check("the power button still works", || {
        vm.press_power()?;
        vm.wait_off()
    });
    let key = ashlar_qemu_tests::ssh::key_in(vm.folder())?;
    vm.disk.put_on_esp("ashlar/machine.toml", ashlar_qemu_tests::fixture::smallest("mended", &key).as_bytes())?;
    promises.check("a right file in its place: the machine is reachable", || {
        vm.boot()?;
        let status = vm.status()?;
        ensure!(status.hostname == "mended" && status.problems.is_empty(), "{status:?}");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}
