//! What a sealed service sees of the files: mounts over a copy of the machine's own, in the order in which they lie on
//! each other.

use ashlar_config::unit::{HostSeal, Protect, Treatment};
use ashlar_runtime::spec::{Linux, Mount};

/// What may be written to on this machine, beside what the kernel shows: the root itself is read-only.
const WRITABLE: [&str; 10] = ["/etc", "/home", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/usr", "/var"];
/// Of `ProtectSystem=yes` and `full`.
const PROGRAMS: [&str; 2] = ["/boot", "/usr"];
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// Parameters and interfaces of the kernel (systemd.exec(5), ProtectKernelTunables=).
const TUNABLES: [&str; 14] = [
    "/proc/acpi",
    "/proc/apm",
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/latency_stats",
    "/proc/mtrr",
    "/proc/scsi",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/proc/timer_stats",
    "/sys",
    "/proc/kallsyms",
];

/// Adds a service's mounts and masks. `own`: its own folders.
pub fn lay_out(seal: &HostSeal, own: &[String], mounts: &mut Vec<Mount>, linux: &mut Linux) {
    match seal.system {
        Protect::Strict => mounts.extend(WRITABLE.iter().map(|path| bind(path, path, &["rro"]))),
        Protect::Full => mounts.extend(PROGRAMS.iter().chain(&["/etc"]).map(|path| bind(path, path, &["rro"]))),
        Protect::Yes | Protect::ReadOnly | Protect::Tmpfs => {
            mounts.extend(PROGRAMS.iter().map(|path| bind(path, path, &["rro"])));
        }
        Protect::No => {}
    }
    match seal.home {
        Protect::No => {}
        Protect::ReadOnly => mounts.extend(HOMES.iter().map(|path| bind(path, path, &["rro"]))),
        Protect::Tmpfs => mounts.extend(HOMES.iter().map(|path| empty(path, "mode=0755,size=4096k", &["ro"]))),
        _ => mounts.extend(HOMES.iter().map(|path| empty(path, "mode=0000,size=0", &["ro"]))),
    }
    if seal.private_tmp {
        mounts.extend(["/tmp", "/var/tmp"].map(|path| empty(path, "mode=1777", &["nosuid", "nodev"])));
    }
    if seal.private_devices {
        devices(mounts);
    }
    if seal.proc_access.is_some() || seal.proc_only_processes {
        mounts.push(process_files(seal));
    }
    if seal.private_network {
        mounts.push(Mount {
            destination: "/sys".into(),
            kind: Some("sysfs".into()),
            options: words(&["nosuid", "nodev", "noexec"]),
            ..Mount::default()
        });
        mounts.push(bind("/sys/fs/cgroup", "/sys/fs/cgroup", &[]));
    }
    if seal.control_groups {
        mounts.push(bind("/sys/fs/cgroup", "/sys/fs/cgroup", &["rro"]));
    }
    paths(seal, own, mounts);
    let read_only = |list: &mut Vec<String>, paths: &[&str]| list.extend(paths.iter().map(|path| (*path).to_owned()));
    if seal.kernel_tunables {
        read_only(&mut linux.readonly_paths, &TUNABLES);
    }
    if seal.kernel_logs {
        read_only(&mut linux.masked_paths, &["/proc/kmsg", "/dev/kmsg"]);
    }
    if seal.kernel_modules {
        read_only(&mut linux.masked_paths, &["/usr/lib/modules"]);
    }
    for sealed in seal.paths.iter().filter(|sealed| sealed.treatment == Treatment::Inaccessible) {
        linux.masked_paths.push(sealed.path.clone());
    }
}

/// What is said of single paths: the shorter ones first, so that what is in them counts.
fn paths(seal: &HostSeal, own: &[String], mounts: &mut Vec<Mount>) {
    let mut list: Vec<(&str, Mount)> = Vec::new();
    for sealed in &seal.paths {
        let path = sealed.path.as_str();
        let optional: &[&str] = if sealed.optional { &["x-optional"] } else { &[] };
        let with = |option: &'static str| [&[option], optional].concat();
        let mount = match sealed.treatment {
            Treatment::Writable => bind(path, path, optional),
            Treatment::ReadOnly => bind(path, path, &with("rro")),
            Treatment::NoExec => bind(path, path, &with("rnoexec")),
            Treatment::Exec => bind(path, path, &with("rexec")),
            Treatment::Bind => bind(&sealed.source, path, optional),
            Treatment::BindReadOnly => bind(&sealed.source, path, &with("rro")),
            Treatment::Tmpfs => empty(path, &sealed.source, &["nosuid", "nodev"]),
            Treatment::Inaccessible => continue,
        };
        list.push((path, mount));
    }
    list.extend(own.iter().map(|path| (path.as_str(), bind(path, path, &["x-optional"]))));
    list.sort_by_key(|(path, _)| path.matches('/').count());
    mounts.extend(list.into_iter().map(|(_, mount)| mount));
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// What is not there on this machine is not missed.
fn bind(source: &str, place: &str, options: &[&str]) -> Mount {
    let optional: &[&str] = if source == place && options == ["rro"] { &["x-optional"] } else { &[] };
    Mount {
        destination: place.to_owned(),
        source: Some(source.to_owned()),
        options: words(&[&["rbind", "rslave"], options, optional].concat()),
        ..Mount::default()
    }
}

fn empty(place: &str, data: &str, options: &[&str]) -> Mount {
    let data = data.split(',').filter(|option| !option.is_empty());
    Mount {
        destination: place.to_owned(),
        kind: Some("tmpfs".into()),
        options: words(options).into_iter().chain(data.map(str::to_owned)).collect(),
        ..Mount::default()
    }
}

/// /dev with nothing but what does no harm; the runtime makes the nodes of a file system of the container's own.
fn devices(mounts: &mut Vec<Mount>) {
    mounts.push(empty("/dev", "mode=0755", &["nosuid", "noexec"]));
    mounts.push(bind("/dev/pts", "/dev/pts", &[]));
    mounts.push(bind("/dev/shm", "/dev/shm", &[]));
    mounts.push(Mount { options: words(&["rbind", "x-optional"]), ..bind("/dev/mqueue", "/dev/mqueue", &[]) });
    mounts.push(bind("/run/systemd/journal/dev-log", "/dev/log", &["x-optional"]));
}

fn process_files(seal: &HostSeal) -> Mount {
    let mut options = words(&["nosuid", "nodev", "noexec"]);
    if let Some(access) = &seal.proc_access {
        options.push(format!("hidepid={access}"));
    }
    if seal.proc_only_processes {
        options.push("subset=pid".into());
    }
    Mount { destination: "/proc".into(), kind: Some("proc".into()), options, ..Mount::default() }
}
