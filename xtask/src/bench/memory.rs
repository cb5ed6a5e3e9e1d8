//! Memory: in use when idle, PID 1's, and the smallest machine.

use anyhow::{Context, Result};
use ashlar_qemu_tests::vm::{READY, Vm};

use super::table::Row;

/// Sizes to try, in MiB, until one fails.
const MACHINES: [u32; 6] = [192, 176, 160, 144, 128, 112];

/// The group.
pub fn measure() -> Result<Vec<Row>> {
    let mut vm = super::machine("memory").memory(512).boot()?;
    let meminfo = vm.root("cat /proc/meminfo")?;
    let used = kib(&meminfo, "MemTotal:")? - kib(&meminfo, "MemAvailable:")?;
    let init = kib(&vm.root("cat /proc/1/status")?, "VmRSS:")?;
    vm.finish();
    let smallest = MACHINES.into_iter().take_while(|size| reaches_ssh(*size)).last();
    let mut rows = vec![
        Row::new("memory in use when idle, somebody logged in", used / 1024.0, "MiB"),
        Row::new("resident memory of PID 1", init / 1000.0, "MB").at_most(4.0),
    ];
    let smallest = smallest.map_or(f64::INFINITY, f64::from);
    rows.push(Row::new("smallest machine that reaches SSH", smallest, "MiB").at_most(192.0));
    Ok(rows)
}

fn reaches_ssh(memory: u32) -> bool {
    let booted = super::machine("smallest").memory(memory).make().and_then(|mut vm| {
        let result = boots(&mut vm);
        vm.finish();
        result
    });
    eprintln!("    {memory} MiB: {}", booted.as_ref().map_or("no", |()| "yes"));
    booted.is_ok()
}

/// A machine that takes several times as long as usual has not enough memory to work.
fn boots(vm: &mut Vm) -> Result<()> {
    let patience = vm.patience(20);
    vm.start()?;
    vm.serial()?.wait_for(READY, patience)?;
    vm.connect()
}

/// A line's number, in KiB.
pub fn kib(text: &str, key: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key}"))?;
    let number = line.split_whitespace().next().context("no number")?;
    Ok(number.parse()?)
}
