//! Booting, up to the loop: a list of named phases. Each one does what it can; what fails is said and the next one runs,
//! because a machine that is half there can still be looked at.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ashlar_config::unit::Unit;
use ashlar_sys::{descriptor, filesystem as fsys, power};

use crate::accounts::DIRECTORY;
use crate::log::{self, Log};
use crate::{cgroup, identity};

/// Where an image says what its units are.
pub const UNITS: &str = "/usr/lib/ashlar/units";
const BASE_FILES: &str = "/usr/share/ashlar/etc";
/// Sockets, stores and streams of many services.
const OPEN_FILES: u64 = 524_288;

/// A step, and the words for it when it fails.
type Phase = (&'static str, fn() -> io::Result<()>);

/// What is done before the first unit.
pub fn phases() -> [Phase; 10] {
    [
        ("mount the kernel's file systems", mount_all),
        // Ours and early services' messages must not be dropped as too many.
        ("open the kernel's log", || fs::write("/proc/sys/kernel/printk_devkmsg", "on\n")),
        ("make the control groups", make_groups),
        ("make folders in /run and /dev", make_folders),
        ("fill /run/ashlar/etc", fill_etc),
        ("set the machine id", || identity::publish(&identity::early_id())),
        ("set the host name", identity::set_host_name),
        ("bring the loopback device up", ashlar_sys::network::loopback_up),
        ("set kernel parameters", || apply_sysctl(Path::new("/usr/lib/sysctl.d"))),
        ("take Ctrl-Alt-Del and open files", || {
            power::catch_ctrl_alt_del()?;
            descriptor::raise_limit(OPEN_FILES)
        }),
    ]
}

/// Runs the phases.
pub fn prepare(log: &mut Log) {
    for (what, phase) in phases() {
        if let Err(error) = phase() {
            log.say(log::ERROR, None, &format!("cannot {what}: {error}"));
        }
    }
}

/// Type, target, flags, options.
type Mount = (&'static str, &'static str, u64, &'static str);

const STRICT: u64 = fsys::NO_SUID | fsys::NO_DEVICES | fsys::NO_EXEC;

const MOUNTS: [Mount; 9] = [
    ("proc", "/proc", STRICT, ""),
    ("sysfs", "/sys", STRICT, ""),
    ("devtmpfs", "/dev", fsys::NO_SUID, "mode=0755"),
    ("tmpfs", "/run", fsys::NO_SUID | fsys::NO_DEVICES, "mode=0755,size=20%"),
    ("devpts", "/dev/pts", fsys::NO_SUID | fsys::NO_EXEC, "mode=0620,gid=5,ptmxmode=0666"),
    ("tmpfs", "/dev/shm", fsys::NO_SUID | fsys::NO_DEVICES, "mode=1777"),
    ("mqueue", "/dev/mqueue", STRICT, ""),
    ("cgroup2", "/sys/fs/cgroup", STRICT, "nsdelegate,memory_recursiveprot"),
    ("tmpfs", "/tmp", fsys::NO_SUID | fsys::NO_DEVICES, "mode=1777,size=50%"),
];

/// Mounts what init/boot has not mounted already.
fn mount_all() -> io::Result<()> {
    let mut failed = Ok(());
    for (kind, target, flags, options) in MOUNTS {
        if is_mounted(kind, target) {
            continue;
        }
        let _ = fs::create_dir(target);
        if let Err(error) = fsys::mount(kind, Path::new(target), kind, flags, options) {
            failed = Err(io::Error::new(error.kind(), format!("{target}: {error}")));
        }
    }
    // Containers take what is mounted below their binds later, unless they say otherwise.
    let _ = fsys::mount("", Path::new("/"), "", fsys::SHARED, "");
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        let _ = symlink(target, link);
    }
    failed
}

fn is_mounted(kind: &str, target: &str) -> bool {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().any(|line| {
        let mut fields = line.split(' ').skip(1);
        fields.next() == Some(target) && fields.next() == Some(kind)
    })
}

/// PID 1 lives in init.scope: a group with controllers handed on may have no process of its own.
fn make_groups() -> io::Result<()> {
    cgroup::make("/init.scope")?;
    cgroup::enter("/init.scope", std::process::id())?;
    cgroup::enable_controllers("/");
    for slice in ["/system.slice", "/user.slice", "/machine.slice"] {
        cgroup::make(slice)?;
        cgroup::enable_controllers(slice);
    }
    Ok(())
}

fn make_folders() -> io::Result<()> {
    // /run/systemd/system is how sd_booted(3) knows that systemd's interfaces are there.
    // The journal's memory is no runtime folder of its unit: journald would look for its sockets there, too.
    let systemd = ["systemd/system", "systemd/units", "systemd/ask-password", "systemd/journal"];
    for folder in systemd.into_iter().chain(["ashlar/etc", "lock", "log/journal"]) {
        fs::create_dir_all(format!("/run/{folder}"))?;
    }
    // Watched from the start, though the kernel makes it with the first device only.
    fs::create_dir_all(crate::power_key::DEVICES)?;
    fs::set_permissions("/run/lock", fs::Permissions::from_mode(0o1777))
}

fn fill_etc() -> io::Result<()> {
    let Ok(entries) = fs::read_dir(BASE_FILES) else { return Ok(()) };
    for entry in entries.flatten() {
        fs::copy(entry.path(), Path::new(DIRECTORY).join(entry.file_name()))?;
    }
    Ok(())
}

/// Applies one file of `key = value` lines, or every `*.conf` of a directory in order.
pub fn apply_sysctl(path: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    match fs::read_dir(path) {
        Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => files.push(path.to_owned()),
        Err(_) => return Ok(()),
    }
    files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file)?;
        for (key, value, optional) in settings(&text) {
            match fs::write(format!("/proc/sys/{key}"), value) {
                Err(error) if !optional => return Err(io::Error::new(error.kind(), format!("{key}: {error}"))),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Key as a path, value, and whether it may fail (sysctl.d(5)).
fn settings(text: &str) -> Vec<(String, &str, bool)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let pairs = pairs.filter(|(key, _)| !key.contains('*'));
    // The separator that comes first is the one that is meant.
    let slashed = |key: &str| key.find(['/', '.']).is_some_and(|at| key[at..].starts_with('/'));
    let path = |key: &str| if slashed(key) { key.to_owned() } else { swap(key) };
    pairs.map(|(key, value)| (path(key.trim().trim_start_matches('-')), value.trim(), key.starts_with('-'))).collect()
}

/// Dots become slashes and slashes dots: `net.ipv4.conf.eth0/1.x`.
fn swap(key: &str) -> String {
    key.chars()
        .map(|c| match c {
            '.' => '/',
            '/' => '.',
            c => c,
        })
        .collect()
}

/// Reads every unit of the image, ours before them; one that cannot be read is said and left out.
pub fn load_units(log: &mut Log) -> Vec<Unit> {
    let mut units = crate::builtin::units();
    let Ok(entries) = fs::read_dir(UNITS) else {
        log.say(log::ERROR, None, &format!("cannot read {UNITS}: there are no units but our own"));
        return units;
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    for path in paths {
        match fs::read(&path).map_err(|error| error.to_string()).and_then(|bytes| unit(&bytes)) {
            Ok(unit) => units.push(crate::builtin::with_defaults(unit)),
            Err(error) => log.say(log::ERROR, None, &format!("cannot read {}: {error}", path.display())),
        }
    }
    units
}

/// A unit out of its JSON, by way of a value as from the socket and the snapshot: a second reader of units would be a
/// tenth of the program.
fn unit(bytes: &[u8]) -> Result<Unit, String> {
    serde_json::from_slice(bytes).and_then(serde_json::from_value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctl_lines() {
        let check = |text: &str, expect: &[(&str, &str, bool)]| {
            let got = settings(text);
            let got: Vec<(&str, &str, bool)> = got.iter().map(|(k, v, o)| (k.as_str(), *v, *o)).collect();
            assert_eq!(got, expect, "{text}");
        };
        check("# no\n\nkernel.panic = 10\n", &[("kernel/panic", "10", false)]);
        check("-net.ipv4.conf.eth0/1.rp_filter=2", &[("net/ipv4/conf/eth0.1/rp_filter", "2", true)]);
        check("net/core/somaxconn=1", &[("net/core/somaxconn", "1", false)]);
        check("net.ipv4.conf.*.rp_filter = 2", &[]);
    }
}
