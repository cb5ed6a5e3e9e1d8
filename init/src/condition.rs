//! Whether what a unit's conditions ask for holds now (systemd.unit(5), "Conditions and asserts").

use std::fs;
use std::path::Path;

use ashlar_config::glob;
use ashlar_config::unit::Condition;

use crate::cgroup;

/// Whether a list of conditions holds: all of the plain ones, and one of those with a mark, if there are any.
pub fn hold(conditions: &[Condition]) -> bool {
    let holds = |condition: &Condition| check(&condition.kind, &condition.parameter) != condition.negate;
    let mut marked = conditions.iter().filter(|condition| condition.trigger).peekable();
    let one = marked.peek().is_none() || marked.any(holds);
    one && conditions.iter().filter(|condition| !condition.trigger).all(holds)
}

/// The first one of a list that does not hold, as it is written.
pub fn first_unmet(conditions: &[Condition]) -> Option<String> {
    let unmet = conditions.iter().find(|condition| check(&condition.kind, &condition.parameter) == condition.negate)?;
    let marks = [(unmet.trigger, "|"), (unmet.negate, "!")];
    let marks: String = marks.iter().filter(|(set, _)| *set).map(|(_, mark)| *mark).collect();
    Some(format!("Condition{}={marks}{}", unmet.kind, unmet.parameter))
}

fn check(kind: &str, parameter: &str) -> bool {
    let path = Path::new(parameter);
    let yes = || ["1", "yes", "true", "on"].contains(&parameter);
    match kind {
        "PathExists" => path.exists(),
        "PathExistsGlob" => !matches(parameter).is_empty(),
        "PathIsDirectory" => path.is_dir(),
        "PathIsSymbolicLink" => fs::read_link(path).is_ok(),
        "PathIsMountPoint" => is_mount_point(path),
        "PathIsReadWrite" => path.exists() && !is_read_only(path),
        "DirectoryNotEmpty" => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()),
        "FileNotEmpty" => fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() > 0),
        "FileIsExecutable" => {
            use std::os::unix::fs::PermissionsExt;
            fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        }
        "KernelCommandLine" => on_command_line(&read("/proc/cmdline"), parameter),
        "KernelVersion" => version(&read("/proc/sys/kernel/osrelease"), parameter),
        "KernelModuleLoaded" => Path::new("/sys/module").join(parameter.replace('-', "_")).is_dir(),
        "Architecture" => parameter == architecture() || parameter == "native",
        "Host" => {
            glob::fits(parameter, read("/proc/sys/kernel/hostname").trim())
                || parameter == read("/etc/machine-id").trim()
        }
        "Virtualization" => virtualization(parameter),
        "Security" => match parameter {
            "selinux" => Path::new("/sys/fs/selinux").is_dir(),
            "apparmor" => read("/sys/module/apparmor/parameters/enabled").trim() == "Y",
            "uefi-secureboot" => secure_boot(),
            "tpm2" => Path::new("/sys/class/tpmrm").is_dir(),
            "audit" => Path::new("/proc/self/loginuid").exists(),
            _ => false,
        },
        // Of PID 1 itself: the host's root, with everything.
        "User" => ["root", "0", "@system"].contains(&parameter),
        "Group" => ["root", "0"].contains(&parameter),
        "Capability" => true,
        "ACPower" => on_mains() == yes(),
        // The root comes with the image: nothing of it is ever updated, nor booted for the first time.
        "NeedsUpdate" => false,
        "FirstBoot" => !yes(),
        "ControlGroupController" => {
            let there = read(&format!("{}/cgroup.controllers", cgroup::ROOT));
            parameter == "v2" || parameter.split_whitespace().all(|name| there.split_whitespace().any(|c| c == name))
        }
        "Memory" => {
            compare(memory(), parameter, |text| ashlar_config::quantity::Size::parse(text).ok().map(|size| size.0))
        }
        "CPUs" => {
            let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
            compare(count, parameter, |text| text.parse().ok())
        }
        "Environment" => match parameter.split_once('=') {
            Some((name, value)) => std::env::var(name).is_ok_and(|own| own == value),
            None => std::env::var_os(parameter).is_some(),
        },
        _ => false,
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Paths that fit a pattern, whose folders have no pattern in them but the last.
pub fn matches(pattern: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for folder in &found {
            if !part.contains(['*', '?', '[']) {
                next.push(format!("{folder}/{part}"));
                continue;
            }
            let place = if folder.is_empty() { "/" } else { folder };
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if glob::fits(part, &name) && (!name.starts_with('.') || part.starts_with('.')) {
                    next.push(format!("{folder}/{name}"));
                }
            }
        }
        found = next;
    }
    found.retain(|path| Path::new(path).exists());
    found
}

fn is_mount_point(path: &Path) -> bool {
    let mounts = read("/proc/self/mountinfo");
    path == Path::new("/") || mounts.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| Path::new(at) == path))
}

/// What it is in is mounted read-only.
fn is_read_only(path: &Path) -> bool {
    let mounts = read("/proc/self/mountinfo");
    let within = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(4);
        Some((fields.next()?, fields.next()?))
    });
    let nearest = within.filter(|(at, _)| path.starts_with(at)).max_by_key(|(at, _)| at.len());
    nearest.is_some_and(|(_, options)| options.split(',').any(|option| option == "ro"))
}

fn on_command_line(line: &str, parameter: &str) -> bool {
    let exact = parameter.contains('=');
    line.split_whitespace().any(|word| word == parameter || (!exact && word.split('=').next() == Some(parameter)))
}

fn version(own: &str, parameter: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        let plain = text.trim().split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
        plain.split('.').filter_map(|part| part.parse().ok()).collect()
    };
    parameter.split_whitespace().all(|one| {
        let rest = one.trim_start_matches(['<', '>', '=', '!']);
        let (own_numbers, wanted) = (numbers(own), numbers(rest));
        match &one[..one.len() - rest.len()] {
            "<" => own_numbers < wanted,
            "<=" => own_numbers <= wanted,
            "=" | "==" => own_numbers == wanted,
            "!=" | "<>" => own_numbers != wanted,
            ">=" => own_numbers >= wanted,
            ">" => own_numbers > wanted,
            _ => glob::fits(rest, own.trim()),
        }
    })
}

fn compare(own: u64, parameter: &str, parse: impl Fn(&str) -> Option<u64>) -> bool {
    let rest = parameter.trim_start_matches(['<', '>', '=', '!']);
    let Some(wanted) = parse(rest.trim()) else { return false };
    match &parameter[..parameter.len() - rest.len()] {
        "<" => own < wanted,
        "<=" => own <= wanted,
        "=" | "==" => own == wanted,
        "!=" => own != wanted,
        ">" => own > wanted,
        _ => own >= wanted,
    }
}

/// By systemd's names.
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x86-64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Whether this is a virtual machine, as far as its firmware or processor says so.
fn virtualization(parameter: &str) -> bool {
    let product =
        ["sys_vendor", "product_name", "bios_vendor"].map(|name| read(&format!("/sys/class/dmi/id/{name}"))).concat();
    const VENDORS: [(&str, &str); 7] = [
        ("QEMU", "qemu"),
        ("KVM", "kvm"),
        ("VMware", "vmware"),
        ("innotek", "oracle"),
        ("VirtualBox", "oracle"),
        ("Amazon EC2", "amazon"),
        ("Microsoft Corporation", "microsoft"),
    ];
    let vendor = VENDORS.iter().find(|(word, _)| product.contains(word)).map(|(_, name)| *name);
    let on_processor =
        read("/proc/cpuinfo").lines().any(|line| line.starts_with("flags") && line.contains(" hypervisor"));
    let name = vendor.or(on_processor.then_some("vm-other"));
    match parameter {
        "vm" | "yes" | "true" | "1" => name.is_some(),
        "no" | "false" | "0" => name.is_none(),
        "container" | "private-users" => false,
        other => name == Some(other),
    }
}

fn secure_boot() -> bool {
    let variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    fs::read(variable).is_ok_and(|bytes| bytes.get(4) == Some(&1))
}

/// A machine without a supply that says anything is on mains.
fn on_mains() -> bool {
    let supplies: Vec<String> = fs::read_dir("/sys/class/power_supply")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().display().to_string())
        .collect();
    let mains: Vec<bool> = supplies
        .iter()
        .filter(|path| read(&format!("{path}/type")).trim() == "Mains")
        .map(|path| read(&format!("{path}/online")).trim() == "1")
        .collect();
    mains.is_empty() || mains.contains(&true)
}

/// Of the machine, in bytes.
pub fn memory() -> u64 {
    let text = read("/proc/meminfo");
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes: u64 = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0);
    kibibytes * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Condition {
        let (kind, parameter) = text.split_once('=').unwrap();
        let trigger = parameter.starts_with('|');
        let parameter = parameter.trim_start_matches('|');
        let negate = parameter.starts_with('!');
        Condition { kind: kind.into(), trigger, negate, parameter: parameter.trim_start_matches('!').into() }
    }

    #[test]
    fn lists() {
        let check = |list: &[&str], expect| {
            let conditions: Vec<Condition> = list.iter().map(|text| condition(text)).collect();
            assert_eq!(hold(&conditions), expect, "{list:?}");
        };
        check(&[], true);
        check(&["PathExists=/proc"], true);
        check(&["PathExists=/no", "PathExists=/proc"], false);
        check(&["PathExists=!/no"], true);
        check(&["PathExists=|/no", "PathExists=|/proc"], true);
        check(&["PathExists=|/no", "PathExists=|/nor"], false);
        check(&["PathExists=|/proc", "PathIsDirectory=/no"], false);
        check(&["PathExistsGlob=/pro*", "PathIsMountPoint=/proc", "DirectoryNotEmpty=/proc"], true);
        check(&["FileIsExecutable=/bin/sh", "User=root", "CPUs=>=1", "Memory=>1M"], true);
        check(&["Nonsense=1"], false);
    }

    #[test]
    fn words_and_versions() {
        assert!(on_command_line("quiet root=/x", "quiet") && on_command_line("quiet root=/x", "root"));
        assert!(on_command_line("a=b", "a=b") && !on_command_line("a=b", "a=c"));
        assert!(version("6.12.5-amd64", ">=6.1") && !version("6.12.5-amd64", "<6.12"));
        assert!(version("6.12.5-amd64", ">6.1 <7") && version("6.12.5-amd64", "6.12*"));
    }
}
