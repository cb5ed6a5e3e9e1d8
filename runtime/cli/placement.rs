//! Who makes a container's control group: this program, or systemd, which then knows the container as a scope.

use std::path::PathBuf;

use ashlar_runtime::Bundle;
use ashlar_runtime::spec::Resources;
use ashlar_sys::credentials;

use crate::bus::{Bus, Value};
use crate::containers::State;
use crate::flags::Said;
use crate::{Failed, group};

/// Who makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// This program.
    Cgroupfs,
    /// systemd.
    Systemd,
    /// Nobody: the container is where its maker is, without limits.
    Disabled,
}

/// What group a container will have.
#[derive(Debug, Default)]
pub struct Plan {
    /// Path of the group, unless systemd says it later.
    pub group: Option<String>,
    /// The unit.
    pub unit: Option<String>,
    slice: String,
    /// It may be missing: nobody asked for it, and who is not root may not always make one.
    optional: bool,
}

impl Manager {
    /// As the command line says.
    pub fn from(said: &Said) -> Result<Self, Failed> {
        match said.value("cgroup-manager") {
            _ if said.has("systemd-cgroup") => Ok(Self::Systemd),
            None | Some("cgroupfs") => Ok(Self::Cgroupfs),
            Some("systemd") => Ok(Self::Systemd),
            Some("disabled") => Ok(Self::Disabled),
            Some(other) => {
                Err(Failed::new(format!("--cgroup-manager: there is no `{other}`, but cgroupfs, systemd and disabled")))
            }
        }
    }

    /// What group a container will have.
    pub fn plan(self, bundle: &Bundle, id: &str) -> Result<Plan, Failed> {
        let linux = &bundle.spec.linux;
        let written = linux.cgroups_path.as_deref().filter(|path| !path.is_empty());
        if self != Self::Disabled {
            group::check()?;
        }
        match self {
            Self::Disabled => Ok(Plan::default()),
            Self::Cgroupfs => {
                let root = credentials::is_root_of_the_host();
                let group = match written {
                    Some(path) => format!("/{}", path.trim_start_matches('/')),
                    None if root => format!("/ashlar-runtime/{id}"),
                    None => format!("{}/{id}", group::of("self").unwrap_or_default().trim_end_matches('/')),
                };
                let optional = !root && linux.resources == Resources::default();
                Ok(Plan { group: Some(group), optional, ..Plan::default() })
            }
            Self::Systemd => {
                let (slice, unit) = scope(written, id)?;
                Ok(Plan { unit: Some(unit), slice, ..Plan::default() })
            }
        }
    }
}

/// Slice and scope of `SLICE:PREFIX:NAME`.
fn scope(written: Option<&str>, id: &str) -> Result<(String, String), Failed> {
    let root = credentials::is_root_of_the_host();
    let default = if root { "system.slice" } else { "user.slice" };
    let Some(written) = written else { return Ok((default.into(), format!("ashlar-{id}.scope"))) };
    let [slice, prefix, name] = written.split(':').collect::<Vec<_>>()[..] else {
        return Err(Failed::new(format!("linux.cgroupsPath is `{written}`: systemd needs SLICE:PREFIX:NAME")));
    };
    let slice = if slice.is_empty() { default } else { slice };
    let unit = if prefix.is_empty() { format!("{name}.scope") } else { format!("{prefix}-{name}.scope") };
    Ok((slice.to_owned(), unit))
}

impl Plan {
    /// Makes the group in which the container's process is born.
    pub fn make(&mut self) -> Result<Option<PathBuf>, Failed> {
        let Some(path) = &self.group else { return Ok(None) };
        match group::make(path) {
            Err(_) if self.optional => {
                self.group = None;
                Ok(None)
            }
            made => made.map(Some),
        }
    }

    /// Has systemd take the process that was born; gives the group that it has then.
    pub fn hand_over(&mut self, pid: u32, bundle: &Bundle) -> Result<Option<PathBuf>, Failed> {
        let Some(unit) = &self.unit else { return Ok(None) };
        let text = |text: &str| Value::Text(text.to_owned());
        let mut properties = vec![
            ("Description", text(&format!("container {}", bundle.directory.display()))),
            ("Slice", text(&self.slice)),
            ("Delegate", Value::Flag(true)),
            ("DefaultDependencies", Value::Flag(false)),
            ("PIDs", Value::Numbers(vec![pid])),
        ];
        properties.extend(limits(&bundle.spec.linux.resources));
        for (key, written) in &bundle.spec.annotations {
            if let Some(name) = key.strip_prefix("org.systemd.property.") {
                properties.push((name, variant(key, written)?));
            }
        }
        Bus::connect()?.start(unit, &properties)?;
        let group = group::of(&pid.to_string()).ok_or_else(|| Failed::new(format!("{unit} has lost its process")))?;
        let directory = group::directory(&group);
        self.group = Some(group);
        Ok(Some(directory))
    }
}

/// A value as GVariant's text format has it, as far as properties of scopes need it.
fn variant(key: &str, written: &str) -> Result<Value, Failed> {
    let wrong = || Failed::new(format!("annotations: {key} is `{written}`, which is no value of a property"));
    if let Some(text) = written.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return Ok(Value::Text(text.to_owned()));
    }
    match written.split_once(' ') {
        None if written == "true" || written == "false" => Ok(Value::Flag(written == "true")),
        None => written.parse().map(Value::Int).map_err(|_| wrong()),
        Some(("uint64", number)) => number.parse().map(Value::Number).map_err(|_| wrong()),
        Some(("uint32", number)) => number.parse().map(Value::Small).map_err(|_| wrong()),
        Some(("int32", number)) => number.parse().map(Value::Int).map_err(|_| wrong()),
        Some(_) => Err(wrong()),
    }
}

/// Limits as properties, so that systemd does not set them back.
pub fn limits(resources: &Resources) -> Vec<(&'static str, Value)> {
    let mut properties = Vec::new();
    let number = |value: i64| Value::Number(u64::try_from(value).unwrap_or(u64::MAX));
    for (file, text) in ashlar_runtime::settings(resources) {
        let known = match file.as_str() {
            "memory.max" => "MemoryMax",
            "memory.low" => "MemoryLow",
            "memory.swap.max" => "MemorySwapMax",
            "pids.max" => "TasksMax",
            "cpu.weight" => "CPUWeight",
            "cpu.max" => {
                let (quota, period) = text.split_once(' ').unwrap_or((&text, "100000"));
                let period: u64 = period.parse().unwrap_or(100_000);
                let quota = quota.parse::<u64>().map_or(u64::MAX, |quota| quota * 1_000_000 / period.max(1));
                properties.push(("CPUQuotaPerSecUSec", Value::Number(quota)));
                properties.push(("CPUQuotaPeriodUSec", Value::Number(period)));
                continue;
            }
            "cpuset.cpus" | "cpuset.mems" => {
                let name = if file == "cpuset.cpus" { "AllowedCPUs" } else { "AllowedMemoryNodes" };
                properties.extend(bits(&text).map(|bits| (name, Value::Bytes(bits))));
                continue;
            }
            _ => continue,
        };
        properties.push((known, number(text.parse().unwrap_or(-1))));
    }
    properties
}

/// A list such as `0-3,7` as a bit for each.
fn bits(list: &str) -> Option<Vec<u8>> {
    let mut bits = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        for number in first.parse::<usize>().ok()?..=last.parse::<usize>().ok().filter(|last| *last < 8192)? {
            if bits.len() <= number / 8 {
                bits.resize(number / 8 + 1, 0);
            }
            bits[number / 8] |= 1 << (number % 8);
        }
    }
    Some(bits)
}

/// Removes what a container was given.
pub fn clear(state: &State) -> Result<(), Failed> {
    if let Some(group) = &state.group {
        group::remove(&group::directory(group))?;
    }
    // A scope without processes goes by itself; one that has some in it, or has failed, does not.
    match state.unit.as_deref().map(|unit| (unit, Bus::connect())) {
        Some((unit, Ok(mut bus))) => bus.stop(unit),
        // A manager that cannot be asked keeps nobody from removing what is left.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        let check = |written: Option<&str>, expect: &str| {
            let got =
                scope(written, "id").map_or_else(|failed| failed.to_string(), |(slice, unit)| slice + " " + &unit);
            assert_eq!(got, expect);
        };
        check(Some("machine.slice:libpod:abc"), "machine.slice libpod-abc.scope");
        check(Some("a.slice::abc"), "a.slice abc.scope");
        check(Some("/a/b"), "linux.cgroupsPath is `/a/b`: systemd needs SLICE:PREFIX:NAME");
    }

    #[test]
    fn properties() {
        let check = |json: &str, expect: &[(&str, Value)]| {
            assert_eq!(limits(&serde_json::from_str(json).unwrap()), expect, "{json}");
        };
        check(
            r#"{"memory":{"limit":4096},"pids":{"limit":-1}}"#,
            &[("MemoryMax", Value::Number(4096)), ("TasksMax", Value::Number(u64::MAX))],
        );
        check(
            r#"{"cpu":{"quota":50000,"period":100000}}"#,
            &[("CPUQuotaPerSecUSec", Value::Number(500_000)), ("CPUQuotaPeriodUSec", Value::Number(100_000))],
        );
        check(r#"{"cpu":{"cpus":"0-1,9"}}"#, &[("AllowedCPUs", Value::Bytes(vec![3, 2]))]);
    }

    #[test]
    fn values() {
        let check = |text: &str, expect: Option<Value>| assert_eq!(variant("k", text).ok(), expect, "{text}");
        check("true", Some(Value::Flag(true)));
        check("'a b'", Some(Value::Text("a b".into())));
        check("uint64 7", Some(Value::Number(7)));
        check("-3", Some(Value::Int(-3)));
        check("[1]", None);
    }
}
