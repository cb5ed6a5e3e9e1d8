//! Power fails at any write of an upgrade and of the way back: what is left always starts, as the old version or the new
//! one. A sample of the states is booted; `cargo xtask powercut` boots one of every class, and writes docs/powercut.md.

use anyhow::{Result, ensure};
use ashlar_qemu_tests::POWERCUT_VARIABLE;
use ashlar_qemu_tests::derived::Derived;
use ashlar_qemu_tests::disk::Disk;
use ashlar_qemu_tests::powercut::examine::{Class, Findings, Subject, Version};
use ashlar_qemu_tests::powercut::log::Log;
use ashlar_qemu_tests::powercut::{Booted, document, esp, rebuild};
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::vm::Vm;

use crate::updates::{BETTER, Site, is_committed, reboot};

const OLD: &str = "0.1.0";
const NEW: &str = "0.2.0";
/// Classes that are booted unless all are asked for.
const SAMPLE: usize = 2;
/// Sets drawn of the writes between two flushes, where there are many.
const SETS: u32 = 200;

fn version(name: &str, slot: &str, image: &Derived) -> Result<Version> {
    let read = |file: &str| std::fs::read(image.output().join(file));
    let slot = [(format!("root-{slot}"), read("root.erofs")?), (format!("verity-{slot}"), read("root.verity")?)];
    Ok(Version { name: name.to_owned(), uki: esp::sum(&read("ashlar.efi")?[..])?, slot })
}

/// An upgrade, the reboot into it, its trial, the way back and its trial.
fn live(vm: &mut Vm) -> Result<()> {
    vm.boot()?;
    vm.run("os upgrade")?;
    reboot(vm)?;
    is_committed(vm, NEW)?;
    vm.run("os rollback")?;
    reboot(vm)?;
    is_committed(vm, OLD)?;
    switch_off(vm)
}

fn switch_off(vm: &mut Vm) -> Result<()> {
    vm.try_run("os poweroff")?;
    vm.wait_off()
}

/// Boots what a cut has left: it is the version that the loader was to take, and an upgrade gets it to the new one.
fn boots(vm: &mut Vm, subject: &Subject<'_>, class: &Class) -> Result<()> {
    rebuild(subject, &class.example, &vm.disk.path)?;
    vm.boot()?;
    is_committed(vm, &class.starts)?;
    if class.starts == OLD {
        vm.run("os upgrade --retry")?;
        reboot(vm)?;
        is_committed(vm, NEW)?;
        let left = vm.disk.list_esp("EFI/Linux")?;
        ensure!(left == ["ashlar_0.1.0.efi", "ashlar_0.2.0.efi"], "the upgrade left {left:?}");
    }
    switch_off(vm)
}

/// All classes, or some of them far apart.
fn chosen(findings: &Findings, all: bool) -> Vec<(&String, &Class)> {
    let step = if all { 1 } else { findings.classes.len().div_ceil(SAMPLE).max(1) };
    findings.classes.iter().step_by(step).collect()
}

#[test]
fn power_may_fail_at_any_write() -> Result<()> {
    let mut promises = Promises::new();
    let report = std::env::var_os(POWERCUT_VARIABLE);
    let mut site = Site::new("powercut", (NEW, BETTER), "")?;
    let Site { publisher, first, second, web, vm } = &mut site;
    publisher.publish(second, &[])?;
    vm.boot()?;
    switch_off(vm)?;
    let size = vm.disk.path.metadata()?.len();
    let before = Disk::copy(&vm.disk.path, &vm.folder().join("before.raw"), size)?;
    let recorded = vm.folder().join("writes.log");
    std::fs::write(&recorded, "")?;
    vm.launch.drives[0].log = Some(recorded.clone());
    live(vm)?;
    let given = web.given();
    vm.launch.drives[0].log = None;

    let log = Log::read(&recorded)?;
    let versions = [version(OLD, "a", first)?, version(NEW, "b", second)?];
    let untouched = &["root-a", "verity-a"];
    let subject = Subject { disk: &before, log: &log, untouched, versions: &versions, samples: SETS };
    let findings = subject.examine()?;
    println!(
        "  {} writes, {} flushes: {} states, {} different, {} classes",
        findings.writes,
        findings.flushes,
        findings.made,
        findings.different,
        findings.classes.len()
    );
    for (name, class) in &findings.classes {
        println!("  {:6} {name} -> {}", class.states, class.starts);
    }
    promises.check("whatever a cut leaves starts, as the old version or the new one", || {
        ensure!(findings.broken.is_empty(), "{:#?}", findings.broken);
        ensure!(findings.different > 100 && findings.classes.len() > 3, "too few states: {findings:?}");
        Ok(())
    });
    promises.check("a changed line costs a few kilobytes", || {
        println!("  {given} bytes were fetched");
        ensure!(given < 100_000, "{given} bytes");
        Ok(())
    });
    let mut booted = Vec::new();
    for (name, class) in chosen(&findings, report.is_some()) {
        promises.check(&format!("{name}: starts {}", class.starts), || {
            let result = boots(vm, &subject, class);
            let error = result.as_ref().err().map(|error| format!("{error:#}"));
            booted.push(Booted { class: name.clone(), starts: class.starts.clone(), error });
            if result.is_err() {
                let _ = vm.cut();
            }
            result
        });
    }
    if let Some(path) = report {
        std::fs::write(path, document(&findings, &booted))?;
    }
    promises.finish();
    site.vm.finish();
    Ok(())
}
