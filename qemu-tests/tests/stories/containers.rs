//! Every service really is in a container: what the kernel says of its main process is what its bundle asks for.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use ashlar_config::unit::UnitFile;
use ashlar_qemu_tests::promise::Promises;
use ashlar_qemu_tests::vm::Vm;
use serde_json::Value;

/// Namespaces by the names of OCI and of /proc.
const NAMESPACES: [(&str, &str); 6] =
    [("pid", "pid"), ("network", "net"), ("ipc", "ipc"), ("uts", "uts"), ("cgroup", "cgroup"), ("user", "user")];
/// First id of the first private range.
const PRIVATE: u64 = 524_288;

/// What /proc says of one process.
#[derive(Debug, Default)]
struct Seen {
    /// `uid_map` as it is.
    uid_map: String,
    /// Lines of `status`, by key.
    status: BTreeMap<String, String>,
    /// Inodes of namespaces, by /proc's name.
    namespaces: BTreeMap<String, String>,
}

#[test]
fn services_are_in_containers() -> Result<()> {
    let mut promises = Promises::new();
    let mut vm = Vm::builder("containers").memory(768).boot()?;
    let services: Vec<(String, u32)> = vm
        .units()?
        .into_iter()
        .filter(|unit| unit.name.ends_with(".service") && unit.main_pid != 0)
        .map(|unit| (unit.name, unit.main_pid))
        .collect();
    ensure!(services.len() >= 9, "there are only {services:?}");
    let host = seen(&mut vm, 1)?;
    let mut ranges: BTreeMap<String, String> = BTreeMap::new();
    for (name, pid) in &services {
        let folder = name.trim_end_matches(".service");
        promises.check(&format!("{folder} has what its bundle asks for, and no more"), || {
            let text = vm.root(&format!("cat /usr/lib/ashlar/bundles/{folder}/config.json"))?;
            let config: Value = serde_json::from_str(&text).context("config.json")?;
            let seen = seen(&mut vm, *pid)?;
            compare(&config, &seen, &host)?;
            let private = config["linux"]["uidMappings"][0]["hostID"].as_u64().is_some_and(|id| id >= PRIVATE);
            if private && let Some(other) = ranges.insert(seen.uid_map.clone(), name.clone()) {
                anyhow::bail!("shares its ids with {other}: {}", seen.uid_map);
            }
            Ok(())
        });
    }
    promises.check("some have ids of their own", || {
        ensure!(ranges.len() >= 3, "only {ranges:?}");
        Ok(())
    });
    promises.check("nobody is the host's root but those whose units say why", || {
        for (name, pid) in &services {
            let seen = seen(&mut vm, *pid)?;
            let is_root = seen.status.get("Uid").is_some_and(|uids| uids.starts_with("0\t"));
            let on_host = seen.namespaces.get("user") == host.namespaces.get("user");
            ensure!(!(is_root && on_host) || says_why(name)?, "{name} is");
        }
        Ok(())
    });
    promises.check("a person's shell is not the host's root, and cannot become it", || {
        let line =
            "id -u; grep -c . /proc/self/uid_map; cat /proc/self/uid_map; sudo -n id 2>&1; su -c id 2>&1 </dev/null";
        let said = vm.try_run(line)?.stdout;
        ensure!(said.starts_with("1000"), "{said}");
        ensure!(!said.contains("uid=0(root)"), "{said}");
        Ok(())
    });
    promises.check("one service's state is out of another one's sight", || {
        let said = vm.try_run("ls /var/lib/ssh 2>&1; ls /var/lib/systemd 2>&1; cat /var/lib/ssh/* 2>&1")?.stdout;
        ensure!(!said.contains("PRIVATE KEY"), "{said}");
        Ok(())
    });
    promises.finish();
    vm.finish();
    Ok(())
}

/// Whether a service's unit.toml has a reason to be the host's root.
fn says_why(service: &str) -> Result<bool> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../system-containers");
    let file = folder.join(service.trim_end_matches(".service")).join("unit.toml");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let unit = UnitFile::parse(service, &text)?;
    Ok(unit.seal.host_root.is_some_and(|why| !why.is_empty()))
}

fn seen(vm: &mut Vm, pid: u32) -> Result<Seen> {
    let line = format!(
        "cd /proc/{pid} && cat uid_map && echo -- && cat status && echo -- && \
         for n in pid net ipc uts cgroup user mnt; do echo $n $(readlink ns/$n); done"
    );
    let text = vm.root(&line)?;
    let mut parts = text.split("--\n");
    let mut next = || parts.next().unwrap_or_default();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let uid_map = words(next());
    let status = next().lines().filter_map(|line| line.split_once(':'));
    let status = status.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect();
    let namespaces = next().lines().filter_map(|line| line.split_once(' '));
    let namespaces = namespaces.map(|(name, inode)| (name.to_owned(), inode.to_owned())).collect();
    Ok(Seen { uid_map, status, namespaces })
}

fn compare(config: &Value, seen: &Seen, host: &Seen) -> Result<()> {
    let listed = config["linux"]["namespaces"].as_array().context("no list of namespaces")?;
    let has = |kind: &str| listed.iter().any(|entry| entry["type"] == kind);
    for (kind, name) in NAMESPACES {
        let own = seen.namespaces.get(name) != host.namespaces.get(name);
        ensure!(own == has(kind), "namespace {kind}: own is {own}, asked for is {}", has(kind));
    }
    let own_mounts = seen.namespaces.get("mnt") != host.namespaces.get("mnt");
    ensure!(own_mounts == has("mount"), "namespace mount: own is {own_mounts}");
    if has("user") {
        let map = &config["linux"]["uidMappings"][0];
        let expect = format!("{} {} {}", map["containerID"], map["hostID"], map["size"]);
        ensure!(seen.uid_map == expect, "uid_map is {}, not {expect}", seen.uid_map);
    }
    let status = |key: &str| seen.status.get(key).cloned().unwrap_or_default();
    let bounding = mask(&config["process"]["capabilities"]["bounding"])?;
    let real = u64::from_str_radix(&status("CapBnd"), 16)?;
    ensure!(real == bounding, "bounding capabilities are {real:x}, asked for are {bounding:x}");
    let effective = u64::from_str_radix(&status("CapEff"), 16)?;
    ensure!(effective & !bounding == 0, "effective capabilities are {effective:x}");
    let sealed = config["process"]["noNewPrivileges"].as_bool().unwrap_or(false);
    ensure!(!sealed || status("NoNewPrivs") == "1", "no_new_privs is not set");
    let filtered = config["linux"]["seccomp"].is_object();
    ensure!(!filtered || status("Seccomp") == "2", "no system call filter");
    Ok(())
}

/// Capabilities by name as the kernel's bits.
fn mask(names: &Value) -> Result<u64> {
    const NAMES: [&str; 41] = [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ];
    let mut bits = 0;
    for name in names.as_array().into_iter().flatten().filter_map(Value::as_str) {
        let short = name.trim_start_matches("CAP_");
        let bit = NAMES.iter().position(|known| *known == short).with_context(|| format!("no capability {name}"))?;
        bits |= 1 << bit;
    }
    Ok(bits)
}
