//! GroupLimits of control groups by systemd's names, in the shape of `linux.resources` of the OCI runtime specification.
//!
//! Devices are left by name (`deviceAllow`), and addresses as ranges (`addressAllow`, `addressDeny`): whoever applies them
//! looks for the nodes and drivers, and for what the slices around it say.

use serde_json::{Map, Value, json};

use super::Prefix;

/// No limit.
const INFINITY: u64 = u64::MAX;
/// A second in microseconds.
const SECOND: u64 = 1_000_000;
/// How often a quota is granted, unless it says otherwise.
const PERIOD: u64 = 100_000;

/// GroupLimits as they are collected.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GroupLimits {
    unified: Map<String, Value>,
    quota: Option<u64>,
    period: Option<u64>,
    devices: Option<Vec<(String, String)>>,
    policy: Option<String>,
    allowed: Option<Vec<Prefix>>,
    denied: Option<Vec<Prefix>>,
}

/// Settings with a number, and their files (systemd.resource-control(5)).
const FILES: [(&str, &str); 10] = [
    ("MemoryMax", "memory.max"),
    ("MemoryHigh", "memory.high"),
    ("MemoryLow", "memory.low"),
    ("MemoryMin", "memory.min"),
    ("MemorySwapMax", "memory.swap.max"),
    ("MemoryZSwapMax", "memory.zswap.max"),
    ("TasksMax", "pids.max"),
    ("CPUWeight", "cpu.weight"),
    ("StartupCPUWeight", "cpu.weight"),
    ("IOWeight", "io.weight"),
];

impl GroupLimits {
    /// Whether a setting is one with a number.
    pub fn is_number(name: &str) -> bool {
        FILES.iter().any(|(setting, _)| *setting == name)
            || ["CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec"].contains(&name)
    }

    /// Takes a setting with a number; `u64::MAX` is no limit.
    pub fn set(&mut self, name: &str, value: u64) {
        match name {
            "CPUQuotaPerSecUSec" => return self.quota = Some(value),
            "CPUQuotaPeriodUSec" => return self.period = Some(value),
            _ => {}
        }
        let Some((_, file)) = FILES.iter().find(|(setting, _)| *setting == name) else { return };
        let text = match (*file, value) {
            ("cpu.weight", 0) => "1".to_owned(),
            ("cpu.weight", INFINITY) => "100".to_owned(),
            ("io.weight", INFINITY) => "default 100".to_owned(),
            ("io.weight", value) => format!("default {value}"),
            (_, INFINITY) => "max".to_owned(),
            (_, value) => value.to_string(),
        };
        self.unified.insert((*file).to_owned(), text.into());
    }

    /// Takes `AllowedCPUs` or `AllowedMemoryNodes`.
    pub fn allow_numbers(&mut self, name: &str, numbers: &[u32]) {
        let file = if name == "AllowedCPUs" { "cpuset.cpus" } else { "cpuset.mems" };
        let text: Vec<String> = numbers.iter().map(u32::to_string).collect();
        self.unified.insert(file.to_owned(), text.join(",").into());
    }

    /// Takes `DevicePolicy`.
    pub fn device_policy(&mut self, policy: &str) {
        self.policy = Some(policy.to_owned());
    }

    /// Takes one entry of `DeviceAllow`; none: those before are forgotten.
    pub fn allow_device(&mut self, entry: Option<(String, String)>) {
        match entry {
            Some(entry) => self.devices.get_or_insert_default().push(entry),
            None => self.devices = Some(Vec::new()),
        }
    }

    /// Takes `IPAddressAllow` or `IPAddressDeny`: further ranges; none: those before are forgotten.
    pub fn addresses(&mut self, name: &str, ranges: Vec<Prefix>) {
        let list = if name == "IPAddressAllow" { &mut self.allowed } else { &mut self.denied };
        match ranges.is_empty() {
            true => *list = Some(ranges),
            false => list.get_or_insert_default().extend(ranges),
        }
    }

    /// Limits to go over to from other ones: what those said and these do not is as the kernel makes it. Devices and
    /// addresses stay.
    pub fn change(from: &Value, to: &Value) -> Value {
        let mut change = if to.is_object() { to.clone() } else { json!({}) };
        for file in from["unified"].as_object().into_iter().flat_map(Map::keys) {
            if to["unified"].get(file).is_none() {
                change["unified"][file] = json!(of_kernel(file));
            }
        }
        if from.get("cpu").is_some() && to.get("cpu").is_none() {
            change["cpu"] = json!({ "quota": -1, "period": PERIOD });
        }
        change
    }

    /// The value; an empty object if nothing is limited.
    pub fn finish(self) -> Value {
        let mut resources = Map::new();
        if !self.unified.is_empty() {
            resources.insert("unified".to_owned(), self.unified.into());
        }
        if let Some(quota) = self.quota {
            let period = self.period.filter(|period| *period != INFINITY && *period != 0).unwrap_or(PERIOD);
            let share = u128::from(quota) * u128::from(period) / u128::from(SECOND);
            let quota = if quota == INFINITY { json!(-1) } else { json!((share as u64).max(1000)) };
            resources.insert("cpu".to_owned(), json!({ "quota": quota, "period": period }));
        }
        let policy = self.policy.as_deref().unwrap_or("auto");
        if policy != "auto" || self.devices.is_some() {
            const PLAIN: [&str; 8] = [
                "/dev/null",
                "/dev/zero",
                "/dev/full",
                "/dev/random",
                "/dev/urandom",
                "/dev/tty",
                "/dev/ptmx",
                "char-pts",
            ];
            // `strict` means what is named; otherwise what does no harm comes with it.
            let plain = PLAIN.iter().filter(|_| policy != "strict").map(|node| ((*node).to_owned(), "rwm".to_owned()));
            let named = plain.chain(self.devices.into_iter().flatten());
            resources.insert("deviceAllow".to_owned(), json!(named.collect::<Vec<_>>()));
        }
        for (name, list) in [("addressAllow", self.allowed), ("addressDeny", self.denied)] {
            if let Some(list) = list {
                resources.insert(name.to_owned(), json!(list));
            }
        }
        Value::Object(resources)
    }
}

/// What is in a file that nobody wrote to.
fn of_kernel(file: &str) -> &'static str {
    match file {
        "memory.low" | "memory.min" => "0",
        "cpu.weight" => "100",
        "io.weight" => "default 100",
        "cpuset.cpus" | "cpuset.mems" => "",
        _ => "max",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_limited_any_more_is_as_the_kernel_makes_it() {
        let check = |from: Value, to: Value, expect: Value| assert_eq!(GroupLimits::change(&from, &to), expect);
        check(Value::Null, Value::Null, json!({}));
        let both = json!({ "unified": { "memory.max": "1", "memory.low": "2" } });
        let one = json!({ "unified": { "memory.max": "3" } });
        check(both.clone(), one, json!({ "unified": { "memory.max": "3", "memory.low": "0" } }));
        check(both, json!({}), json!({ "unified": { "memory.max": "max", "memory.low": "0" } }));
        let share = json!({ "cpu": { "quota": 5, "period": 10 } });
        check(share.clone(), json!({}), json!({ "cpu": { "quota": -1, "period": 100_000 } }));
        check(json!({}), share.clone(), share);
    }

    #[test]
    fn limits_become_files() {
        let check = |settings: &[(&str, u64)], expect: Value| {
            let mut limits = GroupLimits::default();
            settings.iter().for_each(|(name, value)| limits.set(name, *value));
            assert_eq!(limits.finish(), expect, "{settings:?}");
        };
        check(&[("MemoryMax", 1024)], json!({ "unified": { "memory.max": "1024" } }));
        check(&[("TasksMax", INFINITY)], json!({ "unified": { "pids.max": "max" } }));
        check(&[("IOWeight", 5)], json!({ "unified": { "io.weight": "default 5" } }));
        check(&[("CPUQuotaPerSecUSec", 500_000)], json!({ "cpu": { "quota": 50_000, "period": 100_000 } }));
        check(&[("CPUQuotaPerSecUSec", INFINITY)], json!({ "cpu": { "quota": -1, "period": 100_000 } }));
        check(&[], json!({}));
    }

    #[test]
    fn addresses_are_ranges() {
        let mut limits = GroupLimits::default();
        limits.addresses("IPAddressDeny", Prefix::named("any").unwrap());
        limits.addresses("IPAddressAllow", Prefix::named("127.0.0.1").unwrap());
        limits.addresses("IPAddressAllow", Prefix::named("10.1.0.0/16").unwrap());
        let expect = json!({ "addressAllow": ["127.0.0.1/32", "10.1.0.0/16"], "addressDeny": ["0.0.0.0/0", "::/0"] });
        assert_eq!(limits.clone().finish(), expect);
        limits.addresses("IPAddressDeny", Vec::new());
        assert_eq!(limits.finish()["addressDeny"], json!([]));
    }

    #[test]
    fn devices_are_named() {
        let mut limits = GroupLimits::default();
        limits.allow_device(Some(("/dev/kvm".into(), "rw".into())));
        let closed = limits.clone().finish();
        assert_eq!(closed["deviceAllow"].as_array().map(Vec::len), Some(9));
        limits.device_policy("strict");
        assert_eq!(limits.clone().finish(), json!({ "deviceAllow": [["/dev/kvm", "rw"]] }));
        limits.allow_device(None);
        assert_eq!(limits.finish(), json!({ "deviceAllow": [] }));
    }
}
