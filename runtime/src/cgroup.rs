//! A control group's limits (control groups v2): which file gets which text. The group itself is the caller's.

pub(crate) mod devices;

use std::fs;
use std::path::Path;

use crate::error::{Failure, InStep, Step};
use crate::spec::{BlockIo, Cpu, Memory, Resources, Throttle};

/// Puts a control group under the limits that are said, and its devices under the rules; what is not said stays.
///
/// # Errors
/// A file that cannot be written, or a rule that makes no sense.
pub fn limit(group: &Path, resources: &Resources) -> Result<(), Failure> {
    check(group, &resources.memory)?;
    write(group, resources)?;
    devices::restrict(group, &resources.devices)
}

/// Contradictions, and what would kill at once what runs.
fn check(group: &Path, memory: &Memory) -> Result<(), Failure> {
    if memory.swap.is_some_and(|swap| swap >= 0) && memory.limit.is_none_or(|limit| limit < 0) {
        let reason = "it counts memory and swap together, so memory.limit must be there, too";
        return Err(Failure::because(Step::Limit, "memory.swap", reason));
    }
    let Some(limit) = memory.limit.filter(|limit| *limit >= 0 && memory.check_before_update) else { return Ok(()) };
    let used = fs::read_to_string(group.join("memory.current")).unwrap_or_default();
    match used.trim().parse::<i64>() {
        Ok(used) if used > limit => {
            let reason = format!("{used} bytes are in use");
            Err(Failure::because(Step::Limit, format!("memory.limit {limit}"), reason))
        }
        _ => Ok(()),
    }
}

fn write(group: &Path, resources: &Resources) -> Result<(), Failure> {
    for (file, text) in settings(resources) {
        if file.contains('/') || file.is_empty() {
            return Err(Failure::because(Step::Limit, file, "it is no file of a control group"));
        }
        let path = group.join(&file);
        fs::write(&path, &text).step(Step::Limit, format!("{text} to {}", path.display()))?;
    }
    Ok(())
}

/// Files and their text, in the order of writing.
pub fn settings(resources: &Resources) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    memory(&resources.memory, &mut settings);
    cpu(&resources.cpu, &mut settings);
    for limit in &resources.hugepage_limits {
        add(&mut settings, &format!("hugetlb.{}.max", limit.page_size), limit.limit.to_string());
    }
    for (device, limit) in &resources.rdma {
        let one = |name: &str, value: Option<u32>| value.map(|value| format!(" {name}={value}")).unwrap_or_default();
        let text = format!("{device}{}{}", one("hca_handle", limit.hca_handles), one("hca_object", limit.hca_objects));
        add(&mut settings, "rdma.max", text);
    }
    if let Some(limit) = resources.pids.limit {
        add(&mut settings, "pids.max", number(if limit == 0 { -1 } else { limit }));
    }
    disks(&resources.block_io, &mut settings);
    settings.extend(resources.unified.clone());
    settings
}

fn add(settings: &mut Vec<(String, String)>, file: &str, text: impl Into<String>) {
    settings.push((file.to_owned(), text.into()));
}

/// Below zero is no limit.
fn number(value: i64) -> String {
    if value < 0 { "max".to_owned() } else { value.to_string() }
}

fn memory(memory: &Memory, settings: &mut Vec<(String, String)>) {
    if let Some(limit) = memory.limit {
        add(settings, "memory.max", number(limit));
    }
    // Here swap is counted alone, there with memory.
    match (memory.swap, memory.limit) {
        (Some(swap), _) if swap < 0 => add(settings, "memory.swap.max", "max"),
        (Some(swap), Some(limit)) if limit >= 0 => add(settings, "memory.swap.max", (swap - limit).max(0).to_string()),
        _ => {}
    }
    if let Some(reservation) = memory.reservation {
        add(settings, "memory.low", number(reservation));
    }
}

fn cpu(cpu: &Cpu, settings: &mut Vec<(String, String)>) {
    if let Some(idle) = cpu.idle {
        add(settings, "cpu.idle", idle.to_string());
    }
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0) {
        add(settings, "cpu.weight", weight(shares).to_string());
    }
    if cpu.quota.is_some() || cpu.period.is_some() {
        let quota = cpu.quota.filter(|quota| *quota != 0).unwrap_or(-1);
        add(settings, "cpu.max", format!("{} {}", number(quota), cpu.period.unwrap_or(100_000)));
    }
    if let Some(burst) = cpu.burst {
        add(settings, "cpu.max.burst", burst.to_string());
    }
    for (file, text) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if let Some(text) = text.as_ref().filter(|text| !text.is_empty()) {
            add(settings, file, text.clone());
        }
    }
}

/// 2 to 262144 becomes 1 to 10000, and 1024, which is what everybody has, becomes 100, which is that, too: a curve through
/// these three points, the one that other runtimes use.
fn weight(shares: u64) -> u64 {
    match shares {
        ..=2 => 1,
        262_144.. => 10_000,
        shares => {
            let log = (shares as f64).log2();
            10f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0).ceil() as u64
        }
    }
}

fn disks(disks: &BlockIo, settings: &mut Vec<(String, String)>) {
    // 10 to 1000 becomes 1 to 10000.
    let scaled = |weight: u64| 1 + (weight.clamp(10, 1000) - 10) * 9999 / 990;
    if let Some(weight) = disks.weight.filter(|weight| *weight != 0) {
        add(settings, "io.weight", format!("default {}", scaled(weight)));
    }
    for disk in &disks.weight_device {
        let Some(weight) = disk.weight.filter(|weight| *weight != 0) else { continue };
        add(settings, "io.weight", format!("{}:{} {}", disk.major, disk.minor, scaled(weight)));
    }
    let throttles: [(&str, &[Throttle]); 4] = [
        ("rbps", &disks.throttle_read_bps_device),
        ("wbps", &disks.throttle_write_bps_device),
        ("riops", &disks.throttle_read_iops_device),
        ("wiops", &disks.throttle_write_iops_device),
    ];
    for (key, list) in throttles {
        for limit in list {
            add(settings, "io.max", format!("{}:{} {key}={}", limit.major, limit.minor, limit.rate));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_texts() {
        let check = |json: &str, expect: &[&str]| {
            let resources: Resources = serde_json::from_str(json).unwrap();
            let got: Vec<String> = settings(&resources).into_iter().map(|(f, t)| format!("{f} {t}")).collect();
            assert_eq!(got, expect, "{json}");
        };
        check("{}", &[]);
        check(r#"{"memory":{"limit":100,"swap":150}}"#, &["memory.max 100", "memory.swap.max 50"]);
        check(r#"{"memory":{"limit":-1,"reservation":7}}"#, &["memory.max max", "memory.low 7"]);
        check(r#"{"cpu":{"shares":1024,"quota":50000}}"#, &["cpu.weight 100", "cpu.max 50000 100000"]);
        check(r#"{"cpu":{"quota":-1,"period":5,"cpus":"0-1"}}"#, &["cpu.max max 5", "cpuset.cpus 0-1"]);
        check(r#"{"pids":{"limit":0}}"#, &["pids.max max"]);
        check(r#"{"pids":{"limit":9},"unified":{"memory.high":"1"}}"#, &["pids.max 9", "memory.high 1"]);
        check(
            r#"{"blockIO":{"weight":1000,"throttleReadBpsDevice":[{"major":8,"minor":0,"rate":9}]}}"#,
            &["io.weight default 10000", "io.max 8:0 rbps=9"],
        );
    }

    #[test]
    fn contradictions() {
        let group = std::env::temp_dir().join(format!("ashlar-memory-{}", std::process::id()));
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.current"), "5000\n").unwrap();
        let row = |json: &str, expect: &str| {
            let memory: Memory = serde_json::from_str(json).unwrap();
            let got = super::check(&group, &memory).err().map(|failure| failure.reason).unwrap_or_default();
            assert_eq!(got, expect, "{json}");
        };
        row(r#"{"limit":4096}"#, "");
        row(r#"{"limit":4096,"checkBeforeUpdate":true}"#, "5000 bytes are in use");
        row(r#"{"limit":8192,"checkBeforeUpdate":true,"swap":9000}"#, "");
        row(r#"{"swap":-1}"#, "");
        let together = "it counts memory and swap together, so memory.limit must be there, too";
        row(r#"{"swap":9000}"#, together);
        row(r#"{"swap":9000,"limit":-1}"#, together);
        fs::remove_dir_all(group).unwrap();
    }
}
