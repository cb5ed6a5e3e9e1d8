//! `spec`: a configuration to begin with.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use ashlar_sys::credentials;
use serde_json::{Value, json};

use super::{Command, SPEC_VERSION};
use crate::flags::{Grammar, Said, switch, value};
use crate::{About, Failed, Globals};

pub const COMMAND: Command = Command {
    grammar: Grammar {
        name: "spec",
        operands: "",
        count: (0, 0),
        strict: false,
        help: "write a config.json to begin with",
        flags: &[
            value("bundle", "DIR", "where to").or('b'),
            switch("rootless", "for a container of a user without rights"),
        ],
    },
    run,
};

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    let path = Path::new(said.value("bundle").unwrap_or(".")).join("config.json");
    let rootless =
        said.has("rootless") || globals.said.has("rootless") && globals.said.value("rootless") == Some("true");
    let text = serde_json::to_string_pretty(&config(rootless)).map_err(|error| Failed::new(error.to_string()))?;
    let write =
        || OpenOptions::new().write(true).create_new(true).open(&path)?.write_all(format!("{text}\n").as_bytes());
    write().about(format!("write {}", path.display()))?;
    Ok(0)
}

fn mount(destination: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({"destination": destination, "type": kind, "source": source, "options": options})
}

fn config(rootless: bool) -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    // Group 5 owns terminals; a user alone has no such group.
    let terminals = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"];
    let terminals = if rootless { &terminals[..5] } else { &terminals[..] };
    let mut kinds = vec!["pid", "network", "ipc", "uts", "cgroup", "mount"];
    let mut linux = json!({
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
            "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
        ],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if rootless {
        kinds.push("user");
        let map = |id: u32| json!([{"containerID": 0, "hostID": id, "size": 1}]);
        linux["uidMappings"] = map(credentials::user());
        linux["gidMappings"] = map(credentials::group());
    } else {
        linux["resources"] = json!({"devices": [{"allow": false, "access": "rwm"}]});
    }
    linux["namespaces"] = kinds.iter().map(|kind| json!({"type": kind})).collect();
    json!({
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": true,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "ashlar",
        "mounts": [
            mount("/proc", "proc", "proc", &[]),
            mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", "devpts", terminals),
            mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
            mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
            mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
            mount("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "relatime", "ro"]),
        ],
        "linux": linux,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for rootless in [false, true] {
            let text = serde_json::to_vec(&config(rootless)).unwrap();
            ashlar_runtime::Bundle::parse(Path::new("/b"), Path::new("config.json"), &text).unwrap();
        }
    }
}
