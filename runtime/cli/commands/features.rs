//! `features`: what this runtime can do (features.md, features-linux.md).

use serde_json::json;

use super::{Command, SPEC_VERSION, print_json};
use crate::flags::{Grammar, Said};
use crate::{Failed, Globals};

pub const COMMAND: Command = Command {
    grammar: Grammar {
        name: "features",
        operands: "",
        count: (0, 0),
        strict: false,
        help: "print what this runtime can do",
        flags: &[],
    },
    run,
};

fn run(_: &Globals, _: &Said) -> Result<u8, Failed> {
    let names = ashlar_runtime::names();
    print_json(&json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": SPEC_VERSION,
        "hooks": ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
        "mountOptions": names.mount_options,
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": names.capabilities,
            "cgroup": {"v1": false, "v2": true, "systemd": true, "systemdUser": true, "rdma": true},
            "seccomp": {
                "enabled": true,
                "actions": names.seccomp_actions,
                "operators": names.seccomp_operators,
                "archs": names.seccomp_architectures,
                "knownFlags": names.seccomp_flags,
                "supportedFlags": names.seccomp_flags,
            },
            "apparmor": {"enabled": true},
            "selinux": {"enabled": true},
            "intelRdt": {"enabled": false},
            "mountExtensions": {"idmap": {"enabled": true}},
            "netDevices": {"enabled": false},
            "memoryPolicy": {"modes": names.memory_modes, "flags": names.memory_flags},
        },
        "annotations": {"io.ashlar.runtime.version": env!("CARGO_PKG_VERSION")},
        "potentiallyUnsafeConfigAnnotations": ["io.ashlar.rootfs.", "org.systemd.property."],
    }))?;
    Ok(0)
}
