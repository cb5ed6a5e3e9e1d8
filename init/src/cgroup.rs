//! The control group tree: a group for each unit, its state, its end. Limits are the runtime's to write.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the tree is mounted.
pub const ROOT: &str = "/sys/fs/cgroup";
/// Controllers that units may have limits in.
const CONTROLLERS: [&str; 5] = ["cpu", "memory", "pids", "io", "cpuset"];

/// A group by its path below the root, such as `/system.slice/ssh.service`.
pub fn path(group: &str) -> PathBuf {
    Path::new(ROOT).join(group.trim_start_matches('/'))
}

/// Makes the group and its parents, with every controller enabled in the parents.
pub fn make(group: &str) -> io::Result<()> {
    let target = path(group);
    if target.is_dir() {
        return Ok(());
    }
    if let Some(parent) = Path::new(group).parent().and_then(Path::to_str).filter(|parent| !parent.is_empty()) {
        make(parent)?;
        enable_controllers(parent);
    }
    match fs::create_dir(&target) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Hands the controllers on to the children. Kernels have different ones, so each one that is there is asked for.
pub fn enable_controllers(group: &str) {
    let Ok(there) = fs::read_to_string(path(group).join("cgroup.controllers")) else { return };
    let wanted: Vec<String> =
        there.split_whitespace().filter(|name| CONTROLLERS.contains(name)).map(|name| format!("+{name}")).collect();
    let _ = fs::write(path(group).join("cgroup.subtree_control"), wanted.join(" "));
}

/// Whether any process is in the group or below it. A group that is not there has none.
pub fn is_populated(group: &str) -> bool {
    value(&path(group).join("cgroup.events"), "populated").is_some_and(|n| n != 0)
}

/// How many processes of the group the kernel has killed for lack of memory.
pub fn out_of_memory_kills(group: &str) -> u64 {
    value(&path(group).join("memory.events"), "oom_kill").unwrap_or(0)
}

/// A number out of a flat keyed file.
fn value(file: &Path, key: &str) -> Option<u64> {
    keyed(&fs::read_to_string(file).ok()?, key)
}

fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Processes of the group and of all below it.
pub fn processes(group: &str) -> Vec<u32> {
    let mut found = Vec::new();
    let mut work = vec![path(group)];
    while let Some(directory) = work.pop() {
        let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        work.extend(subdirectories(&directory));
    }
    found
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()).collect()
}

/// Kills every process of the group and below, at once.
pub fn kill(group: &str) -> io::Result<()> {
    fs::write(path(group).join("cgroup.kill"), "1")
}

/// Stops every process of the group in its tracks, or lets them go on.
pub fn freeze(group: &str, frozen: bool) -> io::Result<()> {
    fs::write(path(group).join("cgroup.freeze"), if frozen { "1" } else { "0" })
}

/// Removes an empty group with all below it.
pub fn remove(group: &str) {
    let mut order = vec![path(group)];
    let mut next = 0;
    while next < order.len() {
        order.extend(subdirectories(&order[next].clone()));
        next += 1;
    }
    for directory in order.iter().rev() {
        let _ = fs::remove_dir(directory);
    }
}

/// Moves a process into the group.
pub fn enter(group: &str, pid: u32) -> io::Result<()> {
    fs::write(path(group).join("cgroup.procs"), pid.to_string())
}

/// The group that a process is in.
pub fn of(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// What a group uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes.
    pub memory: Option<u64>,
    /// Nanoseconds.
    pub cpu: Option<u64>,
    pub tasks: Option<u64>,
}

/// Reads what a group uses now.
pub fn usage(group: &str) -> Usage {
    let directory = path(group);
    let number = |name| fs::read_to_string(directory.join(name)).ok().and_then(|text| text.trim().parse().ok());
    let cpu = value(&directory.join("cpu.stat"), "usage_usec").map(|usec| usec * 1000);
    Usage { memory: number("memory.current"), cpu, tasks: number("pids.current") }
}

/// The unit whose group, or a sub-group of it, this is: `/system.slice/ssh.service/x` gives `ssh.service`.
pub fn unit_of(group: &str) -> Option<&str> {
    group.split('/').find(|part| part.ends_with(".service") || part.ends_with(".scope"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_by_group() {
        let check = |group, expect| assert_eq!(unit_of(group), expect, "{group}");
        check("/system.slice/ssh.service", Some("ssh.service"));
        check("/system.slice/udev.service/udev", Some("udev.service"));
        check("/user.slice/user-0.slice/session-3.scope", Some("session-3.scope"));
        check("/init.scope", Some("init.scope"));
        check("/", None);
    }

    #[test]
    fn keyed_values() {
        let check = |text, key, expect| assert_eq!(keyed(text, key), expect, "{text}");
        check("populated 1\nfrozen 0\n", "populated", Some(1));
        check("oom 5\noom_kill 2\n", "oom_kill", Some(2));
        check("", "populated", None);
    }
}
