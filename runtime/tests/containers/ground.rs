//! What the tests stand on: root, a user namespace, or a virtual machine of their own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::{io, process};

use ashlar_sys::namespace::Kind;
use ashlar_sys::{filesystem, power, process as sys};

/// What there is.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Empty directory for everything.
    pub folder: PathBuf,
    /// Ids that a container may have: the first as seen here, and how many.
    pub ids: (u32, u32),
    /// A directory of control groups v2.
    pub groups: Option<PathBuf>,
    /// It is a machine of our own.
    pub machine: bool,
}

/// Runs `tests` on the best ground there is; the program ends with how many failed.
pub fn on_it(tests: impl Fn(&Ground) -> i32) {
    if process::id() == 1 {
        let failed = in_machine(&tests);
        println!("containers: {failed} failed");
        power::sync();
        power::power(power::Power::Off);
    }
    let folder = std::env::temp_dir().join(format!("ashlar-containers-{}", process::id()));
    fs::create_dir_all(&folder).expect("a folder for tests");
    let mut ground = Ground { folder: folder.clone(), ids: (100_000, 65536), groups: None, machine: false };
    let code = if own_user() == 0 {
        ground.groups = find_groups();
        tests(&ground)
    } else {
        ground.ids = (0, 1);
        in_namespace(|| tests(&ground)).unwrap_or_else(|error| {
            println!("skipped: user namespaces are not allowed here: {error}");
            0
        })
    };
    let _ = fs::remove_dir_all(folder);
    let _ = ground.groups.map(fs::remove_dir);
    process::exit(code);
}

fn own_user() -> u32 {
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").map_or(u32::MAX, |meta| meta.uid())
}

/// A group of our own, if control groups v2 are there and may be changed.
fn find_groups() -> Option<PathBuf> {
    let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
    let place = places.into_iter().map(Path::new).find(|place| place.join("cgroup.subtree_control").exists())?;
    let group = place.join(format!("ashlar-{}", process::id()));
    fs::create_dir(&group).ok().map(|()| group)
}

/// Runs in a user namespace in which we are root.
fn in_namespace(tests: impl FnOnce() -> i32) -> io::Result<i32> {
    let user = own_user();
    let group = fs::read_to_string("/proc/self/status")?
        .lines()
        .find_map(|line| line.strip_prefix("Gid:")?.split_whitespace().next()?.parse::<u32>().ok())
        .unwrap_or(user);
    let (wait, go) = io::pipe()?;
    let child = sys::fork(&[Kind::User, Kind::Mount, Kind::Pid], None, || {
        let _ = io::Read::read(&mut &wait, &mut [0]);
        // Of our own process namespace, so that its files can be written.
        filesystem::mount("proc", Path::new("/proc"), "proc", 0, "").map_or(1, |()| tests())
    })?;
    fs::write(format!("/proc/{}/uid_map", child.pid), format!("0 {user} 1"))?;
    fs::write(format!("/proc/{}/setgroups", child.pid), "deny")?;
    fs::write(format!("/proc/{}/gid_map", child.pid), format!("0 {group} 1"))?;
    io::Write::write_all(&mut &go, b"x")?;
    sys::wait(child.pid)
}

/// We are PID 1: an initramfs with this program as /init, and modules beside it.
fn in_machine(tests: &impl Fn(&Ground) -> i32) -> i32 {
    let mut mounted = Vec::new();
    let mut mount = |kind: &str, path: &str, data: &str| {
        let _ = fs::create_dir_all(path);
        mounted.push(filesystem::mount(kind, Path::new(path), kind, 0, data).is_ok());
    };
    mount("proc", "/proc", "");
    mount("tmpfs", "/new", "mode=0755");
    let root = Path::new("/new");
    let _ = fs::copy("/init", root.join("init"));
    for (name, kind) in [("proc", "proc"), ("sys", "sysfs"), ("dev", "devtmpfs"), ("run", "tmpfs"), ("tmp", "tmpfs")] {
        mount(kind, &format!("/new/{name}"), "");
    }
    mount("devpts", "/new/dev/pts", "ptmxmode=0666");
    mount("mqueue", "/new/dev/mqueue", "");
    mount("cgroup2", "/new/sys/fs/cgroup", "nsdelegate");
    load_modules();
    // Nothing can change its root away from the initramfs itself.
    let moved = std::env::set_current_dir("/new")
        .and_then(|()| File::open("/new"))
        .and_then(|new| ashlar_sys::mounts::attach(&new, &File::open("/")?));
    let entered = moved.and_then(|()| ashlar_sys::mounts::change_root(Path::new(".")));
    println!("containers: mounted {mounted:?}, root {entered:?}");
    let groups = PathBuf::from("/sys/fs/cgroup");
    let _ = fs::create_dir(groups.join("init"));
    let _ = fs::write(groups.join("init/cgroup.procs"), "1");
    let _ = fs::write(groups.join("cgroup.subtree_control"), "+memory +pids +cpu");
    let _ = fs::create_dir(groups.join("tests"));
    let _ = fs::write(groups.join("tests/cgroup.subtree_control"), "+memory +pids +cpu");
    let folder = PathBuf::from("/run/containers");
    let _ = fs::create_dir(&folder);
    let ground = Ground { folder, ids: (524_288, 65536), groups: Some(groups.join("tests")), machine: true };
    tests(&ground)
}

fn load_modules() {
    let list = fs::read_to_string("/modules/load").unwrap_or_default();
    for name in list.lines() {
        let loaded = File::open(format!("/modules/{name}"))
            .and_then(|file| ashlar_sys::kernel_module::load(&file, name.ends_with(".xz"), ""));
        println!("containers: {name}: {loaded:?}");
    }
}
