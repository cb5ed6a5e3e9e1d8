//! The default filter of system calls, by what capabilities a unit has; the list is `syscalls.txt`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

const LIST: &str = include_str!("syscalls.txt");
const ALWAYS: &str = "always";

const NOT_PERMITTED: u32 = 1;
const NO_SUCH_CALL: u32 = 38;
/// CLONE_NEW…: new namespaces by clone(2). Its flags are argument 0 on both architectures.
const NEW_NAMESPACES: u64 = 0x7e02_0000;
/// Address families from here on are for machines' own affairs (AF_ALG, AF_VSOCK and later ones).
const FIRST_ODD_FAMILY: u64 = 38;
/// Personalities that change nothing but what uname(2) says (personality(2)).
const PERSONALITIES: [u64; 5] = [0, 0x0008, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// The profile as OCI's `linux.seccomp`.
pub fn profile(capabilities: &[String]) -> Value {
    let sections = sections();
    let mut allowed: BTreeSet<&str> = sections[ALWAYS].iter().copied().collect();
    for capability in capabilities {
        allowed.extend(sections.get(capability.as_str()).into_iter().flatten());
    }
    let may_make_namespaces = capabilities.iter().any(|capability| capability == "CAP_SYS_ADMIN");
    let mut rules = Vec::new();
    if may_make_namespaces {
        allowed.extend(["clone", "clone3"]);
    } else {
        // clone3's flags are out of a filter's reach; without it libraries use clone.
        rules.push(conditional(
            "clone",
            json!({"index": 0, "value": NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}),
        ));
    }
    let refused: BTreeSet<&str> = sections.values().flatten().copied().filter(|name| !allowed.contains(name)).collect();
    rules.push(conditional("socket", json!({"index": 0, "value": FIRST_ODD_FAMILY, "op": "SCMP_CMP_LT"})));
    rules.extend(
        PERSONALITIES.map(|value| conditional("personality", json!({"index": 0, "value": value, "op": "SCMP_CMP_EQ"}))),
    );
    rules.push(json!({"names": allowed, "action": "SCMP_ACT_ALLOW"}));
    rules.push(json!({"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": NOT_PERMITTED}));
    json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": NO_SUCH_CALL, "syscalls": rules})
}

fn conditional(name: &str, argument: Value) -> Value {
    json!({"names": [name], "action": "SCMP_ACT_ALLOW", "args": [argument]})
}

/// Names by section.
fn sections() -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut section = ALWAYS;
    for line in LIST.lines().filter(|line| !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            Some(name) => section = name,
            None => sections.entry(section).or_default().extend(line.split_whitespace()),
        }
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a profile does with a call that has no condition.
    fn verdict(name: &str, having: &[&str]) -> String {
        let having: Vec<String> = having.iter().map(|name| (*name).to_owned()).collect();
        let profile = profile(&having);
        let rules = profile["syscalls"].as_array().unwrap();
        let named = |rule: &&Value| rule["names"].as_array().unwrap().iter().any(|listed| listed == name);
        match rules.iter().find(named) {
            None => "absent".into(),
            Some(rule) if rule.get("args").is_some() => "conditional".into(),
            Some(rule) if rule["action"] == "SCMP_ACT_ALLOW" => "allowed".into(),
            Some(_) => "refused".into(),
        }
    }

    #[test]
    fn rows() {
        let check = |name, having: &[&str], expect| assert_eq!(verdict(name, having), expect, "{name} {having:?}");
        check("openat", &[], "allowed");
        check("ptrace", &[], "allowed");
        check("mount", &[], "refused");
        check("mount", &["CAP_SYS_ADMIN"], "allowed");
        check("clone", &[], "conditional");
        check("clone", &["CAP_SYS_ADMIN"], "allowed");
        check("clone3", &[], "absent");
        check("socket", &["CAP_SYS_ADMIN"], "conditional");
        check("clock_settime", &["CAP_SYS_TIME"], "allowed");
        check("finit_module", &["CAP_SYS_ADMIN"], "refused");
        check("bpf", &["CAP_BPF"], "allowed");
        check("io_uring_setup", &["CAP_SYS_ADMIN"], "absent");
        check("keyctl", &[], "absent");
    }

    #[test]
    fn the_list_is_sound() {
        let sections = sections();
        for (section, names) in &sections {
            assert!(*section == ALWAYS || ashlar_config::unit::CAPABILITIES.contains(section), "{section}");
            let unique: BTreeSet<_> = names.iter().collect();
            assert_eq!(unique.len(), names.len(), "{section}");
            let gated = names.iter().filter(|name| *section != ALWAYS && sections[ALWAYS].contains(name));
            assert_eq!(gated.count(), 0, "{section}");
        }
    }
}
