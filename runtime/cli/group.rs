//! Control groups as files (control groups v2): making, emptying and removing them.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use ashlar_sys::{filesystem, signal};

use crate::{About, Failed};

/// Where they are.
pub const ROOT: &str = "/sys/fs/cgroup";
/// CGROUP2_SUPER_MAGIC.
const VERSION_2: u64 = 0x6367_7270;
/// How long processes may take to end after they were killed.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(1);

/// Says whether this machine has what is needed.
pub fn check() -> Result<(), Failed> {
    match filesystem::kind(Path::new(ROOT)) {
        Ok(VERSION_2) => Ok(()),
        _ => Err(Failed::new(format!(
            "{ROOT} is not of control groups v2: boot with systemd.unified_cgroup_hierarchy=1, or do without by \
             --cgroup-manager disabled"
        ))),
    }
}

/// The directory of a group.
pub fn directory(path: &str) -> PathBuf {
    Path::new(ROOT).join(path.trim_start_matches('/'))
}

/// The group of a process, as this process sees the groups.
pub fn of(pid: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// Makes a group, with the controllers that the machine has.
pub fn make(path: &str) -> Result<PathBuf, Failed> {
    let parts: Vec<Component<'_>> =
        Path::new(path).components().filter(|part| !matches!(part, Component::RootDir | Component::CurDir)).collect();
    if parts.is_empty() || parts.iter().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(Failed::new(format!("linux.cgroupsPath: `{path}` is no path of a control group")));
    }
    let group = directory(path);
    let parent = group.parent().unwrap_or(Path::new(ROOT));
    // Who has all controllers has parents that have them.
    if !has_all(parent) {
        let mut place = PathBuf::from(ROOT);
        for part in &parts {
            enable(&place);
            place.push(part);
            make_one(&place)?;
        }
    } else {
        make_one(&group)?;
    }
    let inside = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    match inside.lines().count() {
        0 => Ok(group),
        count => Err(Failed::new(format!("control group {path} has {count} processes already"))),
    }
}

fn make_one(place: &Path) -> Result<(), Failed> {
    match fs::create_dir(place) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
    .about(format!("make control group {}", place.display()))
}

fn missing(place: &Path) -> Vec<String> {
    let words = |file: &str| fs::read_to_string(place.join(file)).unwrap_or_default();
    let (there, enabled) = (words("cgroup.controllers"), words("cgroup.subtree_control"));
    let enabled: Vec<&str> = enabled.split_whitespace().collect();
    there.split_whitespace().filter(|name| !enabled.contains(name)).map(|name| format!("+{name}")).collect()
}

fn has_all(place: &Path) -> bool {
    place.is_dir() && missing(place).is_empty()
}

/// Enables what can be; a limit that needs another one fails when it is written, and says so.
fn enable(place: &Path) {
    let missing = missing(place);
    let file = place.join("cgroup.subtree_control");
    if !missing.is_empty() && fs::write(&file, missing.join(" ")).is_err() {
        for name in missing {
            let _ = fs::write(&file, name);
        }
    }
}

/// All processes in a group and below it.
pub fn processes(group: &Path) -> Vec<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for below in groups_below(group) {
        found.extend(processes(&below));
    }
    found
}

fn groups_below(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// Sends a signal to all processes of a group.
pub fn signal_all(group: &Path, number: i32) {
    const KILL: i32 = 9;
    if number == KILL && fs::write(group.join("cgroup.kill"), "1").is_ok() {
        return;
    }
    for pid in processes(group) {
        let _ = signal::send(pid, number);
    }
}

/// Freezes a group or lets it go on, and waits until it has.
pub fn freeze(group: &Path, frozen: bool) -> Result<(), Failed> {
    let digit = if frozen { "1" } else { "0" };
    let what = format!("{} {}", if frozen { "freeze" } else { "thaw" }, group.display());
    fs::write(group.join("cgroup.freeze"), digit).about(&what)?;
    let end = Instant::now() + PATIENCE;
    while event(group, "frozen") != Some(u64::from(frozen)) {
        if Instant::now() > end {
            return Err(Failed::new(format!("cannot {what}: it takes longer than {} s", PATIENCE.as_secs())));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Whether a group is frozen.
pub fn is_frozen(group: &Path) -> bool {
    fs::read_to_string(group.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1")
}

fn event(group: &Path, key: &str) -> Option<u64> {
    let text = fs::read_to_string(group.join("cgroup.events")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

/// Kills what is in a group and removes it, with all below. One that is not there will do.
pub fn remove(group: &Path) -> Result<(), Failed> {
    let end = Instant::now() + PATIENCE;
    loop {
        match remove_tree(group) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < end => {
                // Frozen processes do not end.
                let _ = fs::write(group.join("cgroup.freeze"), "0");
                signal_all(group, 9);
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err(error).about(format!("remove control group {}", group.display())),
        }
    }
}

fn remove_tree(group: &Path) -> io::Result<()> {
    match fs::remove_dir(group) {
        // It has groups below, or processes.
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            groups_below(group).iter().try_for_each(|below| remove_tree(below))?;
            fs::remove_dir(group)
        }
        other => other,
    }
}
