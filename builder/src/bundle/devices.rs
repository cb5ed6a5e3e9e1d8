//! Devices by the names that a unit gives them: `/dev/kmsg rw` is a node that the container sees, `char-pts rw` and
//! `block-*` are classes that it may use where it sees a node.

use serde_json::{Value, json};

/// A device's type and numbers; `None` stands for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    kind: char,
    major: Option<u32>,
    minor: Option<u32>,
}

const fn numbers(kind: char, major: u32, minor: u32) -> Numbers {
    Numbers { kind, major: Some(major), minor: Some(minor) }
}

/// Nodes with numbers of their own (admin-guide/devices.txt).
const NODES: [(&str, Numbers); 17] = [
    ("/dev/console", numbers('c', 5, 1)),
    ("/dev/fuse", numbers('c', 10, 229)),
    ("/dev/hvc0", numbers('c', 229, 0)),
    ("/dev/kmsg", numbers('c', 1, 11)),
    ("/dev/kvm", numbers('c', 10, 232)),
    ("/dev/loop-control", numbers('c', 10, 237)),
    ("/dev/mapper/control", numbers('c', 10, 236)),
    ("/dev/mem", numbers('c', 1, 1)),
    ("/dev/net/tun", numbers('c', 10, 200)),
    ("/dev/tty0", numbers('c', 4, 0)),
    ("/dev/tty1", numbers('c', 4, 1)),
    ("/dev/ttyAMA0", numbers('c', 204, 64)),
    ("/dev/ttyS0", numbers('c', 4, 64)),
    ("/dev/ttyS1", numbers('c', 4, 65)),
    ("/dev/uinput", numbers('c', 10, 223)),
    ("/dev/vhost-net", numbers('c', 10, 238)),
    ("/dev/watchdog", numbers('c', 10, 130)),
];

/// Classes with a major number of their own.
const CLASSES: [(&str, char, u32); 13] = [
    ("char-alsa", 'c', 116),
    ("char-drm", 'c', 226),
    ("char-fb", 'c', 29),
    ("char-hvc", 'c', 229),
    ("char-input", 'c', 13),
    ("char-mem", 'c', 1),
    ("char-misc", 'c', 10),
    ("char-pts", 'c', 136),
    ("char-tty", 'c', 4),
    ("char-ttyAMA", 'c', 204),
    ("char-ttyS", 'c', 4),
    ("block-loop", 'b', 7),
    ("block-sd", 'b', 8),
];

/// Classes and nodes whose number the kernel chooses when it boots: only the type can be named beforehand, and the
/// container sees no other node of it than those it is given.
const DYNAMIC: [&str; 7] =
    ["char-rtc", "char-ptp", "char-pps", "char-watchdog", "/dev/rtc", "/dev/rtc0", "/dev/watchdog0"];

/// What becomes of one line.
#[derive(Debug, PartialEq)]
pub struct Device {
    /// An entry of `linux.devices`, for a node.
    pub node: Option<Value>,
    /// An entry of `linux.resources.devices`.
    pub rule: Value,
}

/// Reads a line of a unit's `devices`.
///
/// # Errors
/// A device or access that is not known; says what could be written.
pub fn read(line: &str) -> Result<Device, String> {
    let (name, access) = line.split_once(' ').unwrap_or((line, "rw"));
    let access = access.trim();
    if access.is_empty() || !access.chars().all(|letter| "rwm".contains(letter)) {
        return Err(format!("device `{line}`: `{access}` is no access, write some of `rwm`"));
    }
    let found = find(name).ok_or_else(|| {
        format!("device `{name}` is not known; write its class, such as `char-tty`, or `char-*` or `block-*` for all")
    })?;
    let mut rule = json!({"allow": true, "type": found.kind.to_string(), "access": access});
    for (key, number) in [("major", found.major), ("minor", found.minor)] {
        if let Some(number) = number {
            rule[key] = json!(number);
        }
    }
    let node = name.starts_with('/').then(|| {
        let (major, minor) = (found.major.unwrap_or(0), found.minor.unwrap_or(0));
        json!({"path": name, "type": found.kind.to_string(), "major": major, "minor": minor, "fileMode": 0o666})
    });
    Ok(Device { node, rule })
}

fn find(name: &str) -> Option<Numbers> {
    let all = |kind| Some(Numbers { kind, major: None, minor: None });
    match name {
        "char-*" => all('c'),
        "block-*" => all('b'),
        _ if DYNAMIC.contains(&name) => all('c'),
        _ => {
            let node = NODES.iter().find(|(node, _)| *node == name).map(|(_, numbers)| *numbers);
            let class = || CLASSES.iter().find(|(class, ..)| *class == name);
            node.or_else(|| class().map(|(_, kind, major)| Numbers { kind: *kind, major: Some(*major), minor: None }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let check = |line: &str, expect: Result<(Option<&str>, Value), &str>| match (read(line), expect) {
            (Ok(device), Ok((path, rule))) => {
                assert_eq!(device.node.as_ref().and_then(|node| node["path"].as_str()), path, "{line}");
                assert_eq!(device.rule, rule, "{line}");
            }
            (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
            (outcome, _) => panic!("{line}: {outcome:?}"),
        };
        let kmsg = json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "w"});
        check("/dev/kmsg w", Ok((Some("/dev/kmsg"), kmsg)));
        check("char-pts rwm", Ok((None, json!({"allow": true, "type": "c", "major": 136, "access": "rwm"}))));
        check("block-*", Ok((None, json!({"allow": true, "type": "b", "access": "rw"}))));
        check("char-rtc r", Ok((None, json!({"allow": true, "type": "c", "access": "r"}))));
        check("/dev/nothing", Err("device `/dev/nothing` is not known"));
        check("/dev/kmsg x", Err("`x` is no access"));
    }
}
