//! `update`: other limits for a container that runs.

use std::io::Read;
use std::path::Path;

use ashlar_runtime::spec::Resources;

use super::Command;
use crate::bus::Bus;
use crate::containers::{Container, Status};
use crate::flags::{Flag, Grammar, Said, value};
use crate::{About, Failed, Globals, placement};

const FLAGS: &[Flag] = &[
    value("resources", "FILE|-", "limits as JSON, as linux.resources has them").or('r'),
    value("memory", "BYTES", "most memory; -1 is no limit"),
    value("memory-reservation", "BYTES", "memory that is kept if others need some"),
    value("memory-swap", "BYTES", "most memory and swap together; -1 is no limit"),
    value("cpu-share", "N", "weight, 2 to 262144"),
    value("cpu-shares", "N", "the same"),
    value("cpu-quota", "MICROSECONDS", "processor time in each period"),
    value("cpu-period", "MICROSECONDS", "the period"),
    value("cpu-burst", "MICROSECONDS", "what may be saved up"),
    value("cpu-idle", "0|1", "only when nobody else wants the processor"),
    value("cpuset-cpus", "LIST", "processors"),
    value("cpuset-mems", "LIST", "nodes of memory"),
    value("blkio-weight", "N", "weight for disks, 10 to 1000"),
    value("pids-limit", "N", "most processes; -1 is no limit"),
];

pub const COMMAND: Command = Command {
    grammar: Grammar {
        name: "update",
        operands: "ID",
        count: (1, 1),
        strict: false,
        help: "change a container's limits",
        flags: FLAGS,
    },
    run,
};

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    let id = &said.operands[0];
    let container = Container::lock(&globals.root, id)?;
    let status = container.status();
    if !matches!(status, Status::Created | Status::Running | Status::Paused) {
        return Err(Failed::new(format!("cannot update container `{id}`: it is {}", status.word())));
    }
    let group = container
        .group()
        .ok_or_else(|| Failed::new(format!("cannot update container `{id}`: it has no control group of its own")))?;
    let mut resources = resources(said)?;
    complete(&mut resources, &group);
    if let Some(unit) = &container.state.unit {
        let properties = placement::limits(&resources);
        if !properties.is_empty() {
            Bus::connect()?.set(unit, &properties)?;
        }
    }
    ashlar_runtime::limit(&group, &resources)?;
    Ok(0)
}

/// Quota and period are one file: what is not said stays.
fn complete(resources: &mut Resources, group: &Path) {
    let cpu = &mut resources.cpu;
    if cpu.quota.is_some() != cpu.period.is_some() {
        let text = std::fs::read_to_string(group.join("cpu.max")).unwrap_or_default();
        let (quota, period) = text.trim().split_once(' ').unwrap_or(("max", "100000"));
        cpu.quota = cpu.quota.or_else(|| Some(quota.parse().unwrap_or(-1)));
        cpu.period = cpu.period.or_else(|| period.parse().ok());
    }
    // Swap is said together with memory: with what holds, if that is not said.
    let memory = &mut resources.memory;
    if memory.swap.is_some_and(|swap| swap >= 0) && memory.limit.is_none() {
        let text = std::fs::read_to_string(group.join("memory.max")).unwrap_or_default();
        memory.limit = text.trim().parse().ok();
    }
    // Memory without a limit makes little sense with one for swap.
    if resources.memory.limit == Some(-1) && resources.memory.swap.is_none() {
        resources.memory.swap = Some(-1);
    }
    // None at all would forbid what is there.
    if resources.pids.limit == Some(0) {
        resources.pids.limit = Some(1);
    }
}

/// A number of bytes, with a unit or without: `64`, `10k`, `50M`, `1G`.
fn bytes(said: &Said, flag: &str) -> Result<Option<i64>, Failed> {
    let Some(text) = said.value(flag) else { return Ok(None) };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => Some(0),
        "k" | "kb" => Some(10),
        "m" | "mb" => Some(20),
        "g" | "gb" => Some(30),
        "t" | "tb" => Some(40),
        _ => None,
    };
    let number = shift.and_then(|shift| digits.parse::<i64>().ok()?.checked_mul(1 << shift));
    number.map(Some).ok_or_else(|| Failed::new(format!("--{flag}: `{text}` is no number of bytes")))
}

fn resources(said: &Said) -> Result<Resources, Failed> {
    if let Some(path) = said.value("resources") {
        let mut text = Vec::new();
        let read = match path {
            "-" => std::io::stdin().read_to_end(&mut text).map(drop),
            path => std::fs::read(path).map(|read| text = read),
        };
        read.about(format!("read {path}"))?;
        return serde_json::from_slice(&text).map_err(|error| Failed::new(format!("cannot use {path}: {error}")));
    }
    let mut resources = Resources::default();
    let (memory, cpu) = (&mut resources.memory, &mut resources.cpu);
    memory.limit = bytes(said, "memory")?;
    memory.reservation = bytes(said, "memory-reservation")?;
    memory.swap = bytes(said, "memory-swap")?;
    cpu.shares = said.number("cpu-share")?.or(said.number("cpu-shares")?);
    cpu.quota = said.number("cpu-quota")?;
    cpu.period = said.number("cpu-period")?;
    cpu.burst = said.number("cpu-burst")?;
    cpu.idle = said.number("cpu-idle")?;
    cpu.cpus = said.value("cpuset-cpus").map(str::to_owned);
    cpu.mems = said.value("cpuset-mems").map(str::to_owned);
    resources.pids.limit = said.number("pids-limit")?;
    resources.block_io.weight = said.number("blkio-weight")?;
    Ok(resources)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::Grammar;

    #[test]
    fn numbers_of_bytes() {
        let check = |text: &str, expect: Option<i64>| {
            let grammar: &Grammar = &COMMAND.grammar;
            let words = vec![format!("--memory={text}")];
            let said = grammar.read(&mut words.into_iter(), false).unwrap();
            assert_eq!(bytes(&said, "memory").ok().flatten(), expect, "{text}");
        };
        check("64", Some(64));
        check("-1", Some(-1));
        check("50M", Some(50 << 20));
        check("1gb", Some(1 << 30));
        check("x", None);
        check("9x", None);
        check("9999999999999T", None);
    }
}
