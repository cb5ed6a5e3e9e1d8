//! Capabilities by name.

use ashlar_sys::credentials::Capabilities as Sets;

use crate::error::{Failure, Step};
use crate::spec::Capabilities;

/// In the order of their numbers (capabilities(7)).
pub(crate) const NAMES: [&str; 41] = [
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

fn bits(names: &[String]) -> Result<u64, Failure> {
    names.iter().try_fold(0, |bits, name| {
        let short = name.strip_prefix("CAP_").unwrap_or(name);
        let number = NAMES.iter().position(|known| *known == short);
        let number = number.ok_or_else(|| Failure::because(Step::Capabilities, name, "there is no such capability"))?;
        Ok(bits | 1 << number)
    })
}

/// The sets of a process.
pub(crate) fn sets(written: &Capabilities) -> Result<Sets, Failure> {
    Ok(Sets {
        bounding: bits(&written.bounding)?,
        effective: bits(&written.effective)?,
        permitted: bits(&written.permitted)?,
        inheritable: bits(&written.inheritable)?,
        ambient: bits(&written.ambient)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |names: &[&str], expect: Option<u64>| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(bits(&names).ok(), expect, "{names:?}");
        };
        check(&[], Some(0));
        check(&["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"], Some(1 | 1 << 40));
        check(&["NET_ADMIN", "CAP_BPF"], Some(1 << 12 | 1 << 39));
        check(&["CAP_NOTHING"], None);
    }
}
