//! `DeviceAllow=` (systemd.resource-control(5)) as rules of the OCI runtime specification.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use serde_json::{Value, json};

use ashlar_config::glob;

/// Rules for one entry: a node, a pair of numbers, or a driver by name or number.
///
/// # Errors
/// It is none of these.
pub fn rules(device: &str, access: &str) -> Result<Vec<Value>, String> {
    if access.is_empty() || access.chars().any(|letter| !"rwm".contains(letter)) {
        return Err(format!("DeviceAllow= requires combination of rwm flags, and not {access}"));
    }
    let rule = |kind: &str, major: Option<u64>, minor: Option<u64>| {
        let mut rule = json!({ "allow": true, "type": kind, "access": access });
        for (key, number) in [("major", major), ("minor", minor)] {
            if let Some(number) = number {
                rule[key] = number.into();
            }
        }
        rule
    };
    for (prefix, kind) in [("/dev/char/", "c"), ("/dev/block/", "b")] {
        let numbers = device.strip_prefix(prefix).and_then(|rest| rest.split_once(':'));
        if let Some((Ok(major), Ok(minor))) = numbers.map(|(major, minor)| (major.parse(), minor.parse())) {
            return Ok(vec![rule(kind, Some(major), Some(minor))]);
        }
    }
    for (prefix, kind, heading) in [("char-", "c", "Character devices:"), ("block-", "b", "Block devices:")] {
        let Some(name) = device.strip_prefix(prefix) else { continue };
        if name == "*" {
            return Ok(vec![rule(kind, None, None)]);
        }
        if let Ok(major) = name.parse() {
            return Ok(vec![rule(kind, Some(major), None)]);
        }
        let drivers = fs::read_to_string("/proc/devices").unwrap_or_default();
        return Ok(majors(&drivers, heading, name).into_iter().map(|major| rule(kind, Some(major), None)).collect());
    }
    if !device.starts_with("/dev/") {
        return Err(format!("DeviceAllow= requires a device node or a driver, and not {device}"));
    }
    // A node that is not there is allowed by nobody.
    let Ok(node) = fs::metadata(device) else { return Ok(Vec::new()) };
    let kind = if node.file_type().is_block_device() { "b" } else { "c" };
    let numbers =
        (node.rdev() >> 8 & 0xfff | node.rdev() >> 32 & !0xfff, node.rdev() & 0xff | node.rdev() >> 12 & !0xff);
    Ok(vec![rule(kind, Some(numbers.0), Some(numbers.1))])
}

/// Numbers of the drivers whose names fit, below one heading of /proc/devices.
fn majors(text: &str, heading: &str, pattern: &str) -> Vec<u64> {
    let below = text.lines().skip_while(|line| *line != heading).skip(1).take_while(|line| !line.is_empty());
    let pairs = below.filter_map(|line| line.trim().split_once(' '));
    pairs.filter(|(_, name)| glob::fits(pattern, name)).filter_map(|(major, _)| major.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        let check = |device: &str, expect: &str| {
            let got = rules(device, "rw").map(|rules| {
                let text = rules.iter().map(|r| format!("{} {} {}", r["type"], r["major"], r["minor"]));
                text.collect::<Vec<_>>().join(", ")
            });
            assert_eq!(got.unwrap_or_else(|error| error).replace('"', ""), expect, "{device}");
        };
        check("/dev/char/10:200", "c 10 200");
        check("/dev/block/8:0", "b 8 0");
        check("char-*", "c null null");
        check("block-8", "b 8 null");
        check("/dev/null", "c 1 3");
        check("/dev/no-such-node", "");
        check("nonsense", "DeviceAllow= requires a device node or a driver, and not nonsense");
        assert!(rules("/dev/null", "x").is_err());
    }

    #[test]
    fn drivers_by_name() {
        let text = "Character devices:\n  1 mem\n  5 /dev/tty\n136 pts\n137 pts\n\nBlock devices:\n  8 sd\n";
        assert_eq!(majors(text, "Character devices:", "pts"), [136, 137]);
        assert_eq!(majors(text, "Character devices:", "*"), [1, 5, 136, 137]);
        assert_eq!(majors(text, "Block devices:", "pts"), [0; 0]);
    }
}
