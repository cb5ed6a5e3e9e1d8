//! What a unit costs: a thousand of them, each a container in which `sleep` runs, started one after the other and stopped.

use std::time::Duration;

use anyhow::{Context, Result};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::derived::{Derived, Tools};
use ashlar_qemu_tests::vm::Vm;

use super::table::Row;
use crate::project;

const COUNT: usize = 1000;
/// Units of one `os start`; the first so many are compared with the last.
const BATCH: usize = 100;
const UNIT: &str =
    "description = 'Sleeps'\npackages = ['coreutils']\ncommand = ['/usr/bin/sleep', 'infinity']\nwanted-by = []\n";
/// The ratio of the last to the first that still is called flat.
const FLAT: f64 = 1.2;

/// The group.
pub fn measure() -> Result<Vec<Row>> {
    let names: Vec<String> = (1..=COUNT).map(|number| format!("sleep-{number:04}")).collect();
    let units: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), UNIT)).collect();
    let tools = Tools { builder: project::target().join("release/ashlar"), programs: project::programs(Arch::host()) };
    let image = Derived::build_with(&tools, "thousand", &units)?;
    let mut vm = Vm::builder("thousand").image(&image.disk()).memory(3072).boot()?;
    let started = batches(&mut vm, "start", &names)?;
    let resident = init(&mut vm)?;
    let stopped = batches(&mut vm, "stop", &names)?;
    vm.finish();
    let rows = [("start", started), ("stop", stopped)].into_iter().map(|(verb, costs)| row(verb, &costs));
    let mut rows = rows.collect::<Result<Vec<_>>>()?;
    rows.push(Row::new("resident memory of PID 1 with 1,000 more units running", resident / 1000.0, "MB"));
    Ok(rows)
}

fn row(verb: &str, costs: &[Duration]) -> Result<Row> {
    let (first, last) = costs.first().zip(costs.last()).context("no batch")?;
    let per_unit = |batch: &Duration| batch.as_secs_f64() * 1000.0 / BATCH as f64;
    let what = match verb {
        "start" => "start of a unit, 901st to 1,000th, CPU of QEMU",
        _ => "stop of a unit, 901st to 1,000th, CPU of QEMU",
    };
    Ok(Row::new(what, per_unit(last), "ms").against("1st to 100th", per_unit(first)).at_most(FLAT))
}

/// CPU time of QEMU for each batch.
fn batches(vm: &mut Vm, verb: &str, names: &[String]) -> Result<Vec<Duration>> {
    let mut costs = Vec::new();
    for batch in names.chunks(BATCH) {
        let before = vm.cpu_time()?;
        vm.run(&format!("os {verb} {}", batch.join(" ")))?;
        costs.push(vm.cpu_time()?.saturating_sub(before));
    }
    Ok(costs)
}

/// Resident memory of PID 1 in kB.
fn init(vm: &mut Vm) -> Result<f64> {
    super::memory::kib(&vm.root("cat /proc/1/status")?, "VmRSS:")
}
