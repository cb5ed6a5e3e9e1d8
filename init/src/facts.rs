//! What PID 1 is told about the machine: by init/boot, by the image, by provision.

use std::fs;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What init/boot found.
pub const BOOT: &str = "/run/ashlar/boot.json";
const PROBLEMS: &str = "/run/ashlar/problems";
const OS_RELEASE: &str = "/usr/lib/os-release";

/// Facts that do not change while the machine runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// `a` or `b`.
    pub slot: String,
    pub root_hash: String,
    pub version: String,
    /// Monotonic time of init/boot's first instruction.
    pub boot_usec: u64,
    /// What the boot loader started, if the machine went over to another version since.
    pub booted: Option<Booted>,
    /// The hardware watchdog, if init/boot left it open for us.
    pub watchdog_fd: Option<i32>,
    /// How often everything but the kernel was started again.
    pub soft_reboots: u32,
}

/// A version that was booted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Booted {
    pub version: String,
    pub slot: String,
    pub root_hash: String,
}

impl Facts {
    /// Reads what is there; what is not there stays empty.
    pub fn read() -> Self {
        let text = fs::read_to_string(BOOT).unwrap_or_default();
        let mut facts: Self = serde_json::from_str(&text).unwrap_or_default();
        if facts.version.is_empty() {
            facts.version = version_in(&fs::read_to_string(OS_RELEASE).unwrap_or_default());
        }
        facts
    }
}

fn version_in(os_release: &str) -> String {
    let line = os_release.lines().find_map(|line| line.strip_prefix("IMAGE_VERSION="));
    line.unwrap_or_default().trim_matches('"').to_owned()
}

/// The facts of a boot, as they are for the next instance of PID 1 when it begins at `now` with the kernel that runs, and
/// finds the watchdog open.
pub fn after_soft_reboot(text: &str, now: u64, watchdog: Option<i32>) -> serde_json::Result<String> {
    let mut facts: serde_json::Map<String, Value> = serde_json::from_str(text)?;
    let before = facts.get("soft_reboots").and_then(Value::as_u64).unwrap_or_default();
    facts.insert("soft_reboots".to_owned(), (before + 1).into());
    facts.insert("boot_usec".to_owned(), now.into());
    facts.insert("watchdog_fd".to_owned(), watchdog.into());
    Ok(serde_json::to_string(&facts)? + "\n")
}

/// What is wrong with the machine's configuration, a sentence a line, as provision left it.
pub fn problems() -> Vec<String> {
    let text = fs::read_to_string(PROBLEMS).unwrap_or_default();
    text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_after_a_soft_reboot() {
        let text = r#"{"slot":"b","boot_usec":5,"watchdog_fd":4,"disk":"/dev/vda"}"#;
        let once = after_soft_reboot(text, 70, None).unwrap();
        let read = |text: &str| serde_json::from_str::<Facts>(text).unwrap();
        let expect = Facts { slot: "b".into(), boot_usec: 70, soft_reboots: 1, ..Facts::default() };
        assert_eq!(read(&once), expect);
        assert!(once.contains(r#""disk":"/dev/vda""#), "what others read is kept: {once}");
        let twice = read(&after_soft_reboot(&once, 90, Some(7)).unwrap());
        assert_eq!(twice, Facts { boot_usec: 90, soft_reboots: 2, watchdog_fd: Some(7), ..expect });
    }

    #[test]
    fn versions() {
        let check = |text, expect: &str| assert_eq!(version_in(text), expect);
        check("NAME=Ashlar\nIMAGE_VERSION=\"0.3.1\"\n", "0.3.1");
        check("NAME=Ashlar\n", "");
    }
}
