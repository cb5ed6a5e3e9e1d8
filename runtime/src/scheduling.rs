//! How a process is given processors, disks and memory.

use ashlar_sys::{credentials, scheduling};

use crate::error::{Failure, InStep, Step};
use crate::spec::{IoPriority, MemoryPolicy, Personality, Process, Scheduler};

/// sched(7), in the order of their numbers; 4 is not used.
const POLICIES: [(&str, u32); 7] = [
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];
const FLAGS: [(&str, u32); 7] = [
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];
const IO_CLASSES: [(&str, u32); 3] = [("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];
pub(crate) const MEMORY_MODES: [(&str, u32); 7] = [
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];
pub(crate) const MEMORY_FLAGS: [(&str, u32); 3] =
    [("MPOL_F_NUMA_BALANCING", 1 << 13), ("MPOL_F_RELATIVE_NODES", 1 << 14), ("MPOL_F_STATIC_NODES", 1 << 15)];
/// Largest number of a processor or node.
const HIGHEST: u32 = 1023;

fn find(table: &[(&str, u32)], field: &str, name: &str) -> Result<u32, Failure> {
    let found = table.iter().find(|(known, _)| *known == name);
    let unknown = || Failure::because(Step::ProcessLimit, field, format!("there is no `{name}`"));
    found.map(|(_, number)| *number).ok_or_else(unknown)
}

fn flags(table: &[(&str, u32)], field: &str, names: &[String]) -> Result<u32, Failure> {
    names.iter().try_fold(0, |bits, name| Ok(bits | find(table, field, name)?))
}

/// What a process has when its program begins. Before rights are given up: only root may ask for more than others have.
pub(crate) fn apply(process: &Process) -> Result<(), Failure> {
    process.scheduler.as_ref().map_or(Ok(()), schedule)?;
    process.io_priority.as_ref().map_or(Ok(()), prioritise)
}

fn schedule(written: &Scheduler) -> Result<(), Failure> {
    const FIELD: &str = "process.scheduler";
    let policy = find(&POLICIES, FIELD, &written.policy)?;
    let flags = flags(&FLAGS, FIELD, &written.flags)?;
    if let (0, 0, Some(nice)) = (policy, flags, written.nice) {
        return credentials::set_nice(nice).step(Step::ProcessLimit, format!("nice {nice}"));
    }
    let scheduler = scheduling::Scheduler {
        policy,
        flags: u64::from(flags),
        nice: written.nice.unwrap_or(0),
        priority: written.priority.unwrap_or(0).max(0) as u32,
        runtime: written.runtime.unwrap_or(0),
        deadline: written.deadline.unwrap_or(0),
        period: written.period.unwrap_or(0),
    };
    scheduling::set_scheduler(&scheduler).step(Step::ProcessLimit, format!("scheduler {}", written.policy))
}

fn prioritise(written: &IoPriority) -> Result<(), Failure> {
    let class = find(&IO_CLASSES, "process.ioPriority", &written.class)?;
    let subject = || format!("I/O priority {} of {}", written.priority, written.class);
    if written.priority > 7 {
        return Err(Failure::because(Step::ProcessLimit, subject(), "priorities are 0 to 7"));
    }
    scheduling::set_io_priority(class, written.priority).step(Step::ProcessLimit, subject())
}

/// From which nodes memory comes.
pub(crate) fn set_memory_policy(written: &MemoryPolicy) -> Result<(), Failure> {
    const FIELD: &str = "linux.memoryPolicy";
    let mode = find(&MEMORY_MODES, FIELD, &written.mode)? | flags(&MEMORY_FLAGS, FIELD, &written.flags)?;
    let nodes = numbers(FIELD, &written.nodes)?;
    scheduling::set_memory_policy(mode, nodes).step(Step::ProcessLimit, FIELD)
}

/// Which system the process believes to run on.
pub(crate) fn set_personality(written: &Personality) -> Result<(), Failure> {
    const FIELD: &str = "linux.personality";
    let domain = find(&[("LINUX", 0), ("LINUX32", 8)], FIELD, &written.domain)?;
    flags(&[], FIELD, &written.flags)?;
    scheduling::set_personality(domain).step(Step::ProcessLimit, FIELD)
}

/// On which processors this process runs.
pub(crate) fn pin(list: Option<&String>) -> Result<(), Failure> {
    const FIELD: &str = "process.execCPUAffinity";
    let Some(list) = list.filter(|list| !list.is_empty()) else { return Ok(()) };
    scheduling::set_processors(numbers(FIELD, list)?).step(Step::ProcessLimit, format!("processors {list}"))
}

/// A list such as `0-3,7`.
fn numbers(field: &str, list: &str) -> Result<Vec<u32>, Failure> {
    let wrong = |part: &str| Failure::because(Step::ProcessLimit, field, format!("`{part}` is no list of numbers"));
    let mut numbers = Vec::new();
    for part in list.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse().ok().filter(|n| *n <= HIGHEST).ok_or_else(|| wrong(part));
        let (first, last): (u32, u32) = (number(first)?, number(last)?);
        if first > last {
            return Err(wrong(part));
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        let check = |text: &str, expect: Option<&[u32]>| {
            assert_eq!(numbers("x", text).ok().as_deref(), expect, "{text}");
        };
        check("", Some(&[]));
        check("0-2, 7", Some(&[0, 1, 2, 7]));
        check("3-1", None);
        check("0-9876543210", None);
        check("a", None);
    }

    #[test]
    fn names() {
        let check = |got: Result<u32, Failure>, expect: &str| {
            assert_eq!(got.map_or_else(|failure| failure.to_string(), |bits| bits.to_string()), expect);
        };
        check(find(&POLICIES, "f", "SCHED_DEADLINE"), "6");
        check(find(&POLICIES, "f", "SCHED_X"), "cannot set f: there is no `SCHED_X`");
        check(flags(&MEMORY_FLAGS, "f", &["MPOL_F_STATIC_NODES".into(), "MPOL_F_RELATIVE_NODES".into()]), "49152");
    }
}
