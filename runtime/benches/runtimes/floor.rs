//! The floor: one clone3(2) into all namespaces, the mounts of the bundle, a change of the root, one exec.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use ashlar_sys::at::{self, Node};
use ashlar_sys::mounts::{self, Change, FileSystem, NO_DEVICES, NO_EXEC, NO_SUID, Propagation, READ_ONLY};
use ashlar_sys::namespace::Kind;
use ashlar_sys::{network, process};

const KINDS: [Kind; 6] = [Kind::Mount, Kind::Pid, Kind::Network, Kind::Ipc, Kind::Uts, Kind::Cgroup];
const HARMLESS: u64 = NO_SUID | NO_EXEC | NO_DEVICES;
/// A place, a type, options and attributes.
type Mount = (&'static str, &'static str, &'static [(&'static str, &'static str)], u64);
const MOUNTS: [Mount; 7] = [
    ("/proc", "proc", &[], 0),
    ("/dev", "tmpfs", &[("mode", "755"), ("size", "65536k")], NO_SUID),
    ("/dev/pts", "devpts", &[("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")], NO_SUID | NO_EXEC),
    ("/dev/shm", "tmpfs", &[("mode", "1777"), ("size", "65536k")], HARMLESS),
    ("/dev/mqueue", "mqueue", &[], HARMLESS),
    ("/sys", "sysfs", &[], HARMLESS | READ_ONLY),
    ("/sys/fs/cgroup", "cgroup2", &[], HARMLESS | READ_ONLY),
];
const NODES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
const READ_ONLY_PATHS: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const MASKED_DIRECTORIES: [&str; 4] = ["/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/firmware"];
const MASKED_FILES: [&str; 6] =
    ["/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug"];

pub fn run(root: &str) -> Result<(), String> {
    let child = process::fork(&KINDS, None, || i32::from(inside(Path::new(root)).is_err()));
    let code = child.and_then(|child| process::wait(child.pid)).map_err(|error| format!("clone3: {error}"))?;
    if code == 0 { Ok(()) } else { Err(format!("the floor's container ended with {code}")) }
}

fn inside(path: &Path) -> io::Result<()> {
    network::loopback_up()?;
    let private = Change { propagation: Some(Propagation::Private), ..Change::default() };
    mounts::change(File::open("/")?, &private, true)?;
    let root = mounts::clone_tree(None, path, true)?;
    mounts::attach(&root, File::open(path)?)?;
    let place = |path: &str| at::locate(&root, Path::new(path));
    for (path, kind, options, attributes) in MOUNTS {
        let system = FileSystem::new(kind)?;
        options.iter().try_for_each(|(key, value)| system.set(key, Some(value)))?;
        let target = match place(path) {
            Ok(target) => target,
            Err(_) => {
                let (parent, name) = path.rsplit_once('/').unwrap_or_default();
                at::make_directory(&place(parent)?, Path::new(name), 0o755)?;
                place(path)?
            }
        };
        mounts::attach(system.mount(attributes)?, target)?;
    }
    let devices = place("/dev")?;
    for (name, major, minor) in NODES {
        at::make_node(&devices, Path::new(name), Node::Character(major, minor), 0o666, 0, 0)?;
    }
    let cover = |path: &str, cover: &dyn Fn(&OwnedFd) -> io::Result<OwnedFd>| match place(path) {
        Ok(place) => mounts::attach(cover(&place)?, place),
        Err(_) => Ok(()),
    };
    let read_only = Change { set: READ_ONLY, ..Change::default() };
    for path in READ_ONLY_PATHS {
        cover(path, &|place| {
            let clone = mounts::clone_tree(Some(std::os::fd::AsFd::as_fd(place)), Path::new(""), true)?;
            mounts::change(&clone, &read_only, true).map(|()| clone)
        })?;
    }
    for path in MASKED_DIRECTORIES {
        cover(path, &|_| FileSystem::new("tmpfs")?.mount(HARMLESS | READ_ONLY))?;
    }
    for path in MASKED_FILES {
        cover(path, &|_| mounts::clone_tree(None, Path::new("/dev/null"), false))?;
    }
    mounts::change(&root, &read_only, false)?;
    mounts::pivot(&root)?;
    let program = CString::new("/true")?;
    Err(process::execute(&program, std::slice::from_ref(&program), &[]))
}
