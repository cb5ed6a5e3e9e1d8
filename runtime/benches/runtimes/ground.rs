//! What the measurement stands on: nothing of the machine's is changed, and orphans are ours.

use std::fs;
use std::path::Path;

use ashlar_sys::namespace::{self, Kind};
use ashlar_sys::{filesystem, mounts};
use nix::sys::prctl;

const GROUPS: &str = "/sys/fs/cgroup";
/// CGROUP2_SUPER_MAGIC.
const VERSION_2: u64 = 0x6367_7270;

/// A mount namespace with control groups v2 where runtimes look for them, and an empty /run.
pub fn prepare() -> Result<(), String> {
    let prepare = || {
        namespace::unshare(&[Kind::Mount])?;
        let private = mounts::Change { propagation: Some(mounts::Propagation::Private), ..mounts::Change::default() };
        mounts::change(fs::File::open("/")?, &private, true)?;
        if filesystem::kind(Path::new(GROUPS))? != VERSION_2 {
            filesystem::mount("cgroup2", Path::new(GROUPS), "cgroup2", 0, "")?;
        }
        filesystem::mount("tmpfs", Path::new("/run"), "tmpfs", 0, "mode=0755")?;
        prctl::set_child_subreaper(true).map_err(std::io::Error::from)
    };
    prepare().map_err(|error| format!("cannot prepare this machine, as root: {error}"))
}

/// The machine, without its name.
pub fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']).trim();
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let controllers = read("/sys/fs/cgroup/cgroup.controllers");
    let controllers = if controllers.trim().is_empty() { "no controllers" } else { controllers.trim() };
    format!("Machine: {cores} cores of {model}, Linux {}, control groups v2 with {controllers}.", kernel.trim())
}
