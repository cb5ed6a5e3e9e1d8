//! The system calls that a sealed service may make, as `linux.seccomp` of the OCI runtime specification.
//!
//! The rules of systemd.exec(5) take something away each; SystemCallFilter= names what is left. What several rules say
//! of one call holds together: the first that forbids it counts.

use ashlar_config::unit::HostSeal;
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// EPERM and EAFNOSUPPORT.
const NOT_PERMITTED: u32 = 1;
const NO_SUCH_FAMILY: u32 = 97;
/// Bits of mode_t that give a user's or a group's rights.
const SET_ID: [u64; 2] = [0o4000, 0o2000];
/// O_CREAT
const CREATE: u64 = 0o100;

/// Whether any call is forbidden.
pub fn is_needed(seal: &HostSeal) -> bool {
    let switches =
        [seal.no_realtime, seal.no_suid, seal.lock_personality, seal.no_write_execute, seal.kernel_modules, seal.clock];
    switches.contains(&true)
        || seal.no_namespaces != 0
        || seal.families.is_some()
        || seal.calls.is_some()
        || seal.kernel_logs
        || seal.hostname
}

/// The profile; none if nothing is forbidden.
pub fn write(seal: &HostSeal) -> Option<Box<RawValue>> {
    if !is_needed(seal) {
        return None;
    }
    let mut rules = Vec::new();
    let mut forbid = |names: &[&str], arguments: Value| {
        rules.push(json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": NOT_PERMITTED, "args": arguments }));
    };
    let masked = |index: u8, mask: u64, value: u64| json!({ "index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" });
    let compared = |index: u8, op: &str, value: u64| json!({ "index": index, "value": value, "op": op });
    for bit in (0..64).map(|bit| 1u64 << bit).filter(|bit| seal.no_namespaces & bit != 0) {
        forbid(&["clone", "unshare"], json!([masked(0, bit, bit)]));
        forbid(&["setns"], json!([masked(1, bit, bit)]));
    }
    if seal.no_namespaces != 0 {
        forbid(&["setns"], json!([compared(1, "SCMP_CMP_EQ", 0)]));
    }
    if seal.no_realtime {
        // Everything above SCHED_OTHER but SCHED_BATCH (3) and SCHED_IDLE (5).
        for policy in [1, 2, 6] {
            forbid(&["sched_setscheduler"], json!([compared(1, "SCMP_CMP_EQ", policy)]));
        }
        forbid(&["sched_setattr"], json!([]));
    }
    if seal.no_suid {
        for bit in SET_ID {
            forbid(&["chmod", "fchmod", "mkdir", "mknod", "creat"], json!([masked(1, bit, bit)]));
            forbid(&["fchmodat", "fchmodat2", "mkdirat", "mknodat"], json!([masked(2, bit, bit)]));
            // A mode is only given where a file may be made.
            forbid(&["open"], json!([masked(1, CREATE, CREATE), masked(2, bit, bit)]));
            forbid(&["openat"], json!([masked(2, CREATE, CREATE), masked(3, bit, bit)]));
        }
    }
    if seal.lock_personality {
        forbid(&["personality"], json!([compared(0, "SCMP_CMP_NE", 0)]));
    }
    if seal.no_write_execute {
        const WRITE_AND_EXECUTE: u64 = 2 | 4;
        const EXECUTE: u64 = 4;
        const SHARED_EXECUTE: u64 = 0o100_000;
        forbid(&["mmap"], json!([masked(2, WRITE_AND_EXECUTE, WRITE_AND_EXECUTE)]));
        forbid(&["mprotect", "pkey_mprotect"], json!([masked(2, EXECUTE, EXECUTE)]));
        forbid(&["shmat"], json!([masked(2, SHARED_EXECUTE, SHARED_EXECUTE)]));
    }
    if seal.kernel_modules {
        forbid(&["init_module", "finit_module", "delete_module"], json!([]));
    }
    if seal.kernel_logs {
        forbid(&["syslog"], json!([]));
    }
    if seal.clock {
        forbid(&["settimeofday", "clock_settime", "clock_settime64", "adjtimex", "clock_adjtime"], json!([]));
    }
    if seal.hostname {
        forbid(&["sethostname", "setdomainname"], json!([]));
    }
    if seal.no_namespaces != 0 || seal.no_suid {
        // Their arguments are in memory, where nobody can look: programs go on with the older calls.
        let names: &[&str] = if seal.no_namespaces != 0 { &["clone3", "openat2"] } else { &["openat2"] };
        rules.push(json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }));
    }
    families(seal, &mut rules);
    let (default, errno) = calls(seal, &mut rules);
    let profile = json!({ "defaultAction": default, "defaultErrnoRet": errno, "syscalls": rules });
    serde_json::value::to_raw_value(&profile).ok()
}

fn families(seal: &HostSeal, rules: &mut Vec<Value>) {
    let Some(families) = &seal.families else { return };
    let rule = |arguments: Value| json!({ "names": ["socket", "socketpair"], "action": "SCMP_ACT_ERRNO", "errnoRet": NO_SUCH_FAMILY, "args": arguments });
    let equal = |value: u64| json!([{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }]);
    if !families.allow {
        return rules.extend(families.numbers.iter().map(|number| rule(equal(*number))));
    }
    const LAST: u64 = 64;
    let others = (0..LAST).filter(|number| !families.numbers.contains(number));
    rules.extend(others.map(|number| rule(equal(number))));
    rules.push(rule(json!([{ "index": 0, "value": LAST, "op": "SCMP_CMP_GE" }])));
}

/// What SystemCallFilter= says: the action for what no rule names.
fn calls(seal: &HostSeal, rules: &mut Vec<Value>) -> (&'static str, u32) {
    let Some(calls) = &seal.calls else { return ("SCMP_ACT_ALLOW", NOT_PERMITTED) };
    let (denied, errno) = match calls.errno {
        Some(errno) => ("SCMP_ACT_ERRNO", errno),
        None => ("SCMP_ACT_KILL_PROCESS", NOT_PERMITTED),
    };
    let action = if calls.allow { "SCMP_ACT_ALLOW" } else { denied };
    rules.push(json!({ "names": calls.names, "action": action, "errnoRet": errno }));
    if calls.allow { (denied, errno) } else { ("SCMP_ACT_ALLOW", NOT_PERMITTED) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_config::unit::{Calls, Families};

    #[test]
    fn profiles() {
        assert!(write(&HostSeal::default()).is_none());
        let seal = HostSeal {
            no_realtime: true,
            families: Some(Families { allow: false, numbers: vec![17] }),
            calls: Some(Calls { allow: true, names: vec!["read".into()], errno: Some(1) }),
            ..HostSeal::default()
        };
        let profile: Value = serde_json::from_str(write(&seal).unwrap().get()).unwrap();
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(profile["syscalls"].as_array().unwrap().last().unwrap()["names"], json!(["read"]));
        assert!(profile["syscalls"].as_array().unwrap().iter().any(|rule| rule["errnoRet"] == NO_SUCH_FAMILY));
    }
}
