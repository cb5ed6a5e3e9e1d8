//! What an update costs a machine: one line of one unit has changed. Bytes by patch and by blocks, time against writing the
//! same bytes with dd, memory.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use ashlar_qemu_tests::arch::Arch;
use ashlar_qemu_tests::derived::{Derived, Tools};
use ashlar_qemu_tests::fixture;
use ashlar_qemu_tests::publisher::Publisher;
use ashlar_qemu_tests::qemu::WEB;
use ashlar_qemu_tests::vm::Vm;
use ashlar_qemu_tests::web::Web;

use super::memory::kib;
use super::table::Row;
use crate::project;

const NAME: &str = "bench-update";
/// It is there for a while after its last call.
const PROCESS: &str = "cat /proc/$(head -n 1 /sys/fs/cgroup/system.slice/ashlar-updater.service/cgroup.procs)/status";

/// The group.
pub fn measure() -> Result<Vec<Row>> {
    let tools = Tools { builder: project::target().join("release/ashlar"), programs: project::programs(Arch::host()) };
    let publisher = Publisher::with(tools.builder.clone(), NAME)?;
    let image = |version: &str, description: &str| {
        let unit = format!(
            "description = {description:?}\npackages = [\"coreutils\"]\ncommand = [\"/usr/bin/sleep\", \"infinity\"]\n"
        );
        Derived::version_with(&tools, NAME, version, &publisher.trusted(), &[("works", &unit)])
    };
    let (first, second, third) =
        (image("0.1.0", "Works")?, image("0.2.0", "Works well")?, image("0.3.0", "Works best")?);
    publisher.publish(&first, &[])?;
    publisher.publish(&second, &["--patches", "0"])?;
    let web = Web::serve(Path::new(&publisher.path("shop")))?;
    let config = format!("{}\n[update]\nsource = \"http://{WEB}\"\n", fixture::with_console(NAME, "KEY"));
    let mut vm = Vm::builder(NAME).image(&first.disk()).config(&config).web(web.port).boot()?;
    vm.run("os upgrade --download")?;
    let blocks = web.given();
    // From the first version, too, since that runs; the slot holds all but one line of it by now, so it is emptied.
    publisher.publish(&third, &["--patches", "2"])?;
    let root = std::fs::metadata(third.output().join("root.erofs"))?.len();
    let written = dd(&mut vm, root)?;
    let begun = Instant::now();
    vm.run("os upgrade")?;
    let took = begun.elapsed().as_secs_f64();
    let patch = web.given();
    let peak = kib(&vm.root(PROCESS)?, "VmHWM:")?;
    vm.finish();
    Ok(vec![
        Row::new("update of one line, by patch", patch as f64 / 1e6, "MB").at_most(6.0),
        Row::new("update of one line, by blocks, without the UKI", blocks as f64 / 1e6, "MB"),
        Row::new("the same, wall, with an empty slot", took, "s").against("dd of the root", written).at_most(1.5),
        Row::new("memory of the updater at its peak", peak / 1024.0, "MiB").at_most(64.0),
    ])
}

/// Writes zeros over the slot that does not run, and says how long it took.
fn dd(vm: &mut Vm, bytes: u64) -> Result<f64> {
    let count = bytes.div_ceil(1 << 20);
    let device = vm.root("ls /dev/disk/by-partlabel/root-b")?;
    let line = format!("dd if=/dev/zero of={} bs=1M count={count} oflag=direct conv=fsync,notrunc 2>&1", device.trim());
    let begun = Instant::now();
    vm.root(&line).context("write to the slot")?;
    Ok(begun.elapsed().as_secs_f64())
}
