//! `events`: what a container uses, and that it ran out of memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::Command;
use crate::containers::{Container, Status};
use crate::flags::{Grammar, Said, switch, value};
use crate::{Failed, Globals};

pub const COMMAND: Command = Command {
    grammar: Grammar {
        name: "events",
        operands: "ID",
        count: (1, 1),
        strict: false,
        help: "print what a container uses, a line of JSON each time, until it ends",
        flags: &[value("interval", "DURATION", "time between them, such as 5s"), switch("stats", "once")],
    },
    run,
};

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    let id = &said.operands[0];
    let container = Container::open(&globals.root, id)?;
    let group =
        container.group().ok_or_else(|| Failed::new(format!("container `{id}` has no control group of its own")))?;
    let interval = interval(said.value("interval").unwrap_or("5s"))?;
    let line = |kind: &str, data: Value| println!("{}", json!({"type": kind, "id": id, "data": data}));
    let mut killed = 0;
    loop {
        if matches!(container.status(), Status::Stopped | Status::Creating) {
            return match said.has("stats") {
                true => Err(Failed::new(format!("container `{id}` is not running"))),
                false => Ok(0),
            };
        }
        line("stats", stats(&group));
        if said.has("stats") {
            return Ok(0);
        }
        let now = keys(&group, "memory.events").get("oom_kill").copied().unwrap_or(0);
        if now > killed {
            line("oom", Value::Null);
        }
        killed = now;
        std::thread::sleep(interval);
    }
}

fn interval(text: &str) -> Result<Duration, Failed> {
    let wrong = || Failed::new(format!("--interval: `{text}` is no duration such as 5s, 500ms or 1m"));
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let number: u64 = text[..split].parse().map_err(|_| wrong())?;
    match &text[split..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(60 * number)),
        _ => Err(wrong()),
    }
}

fn number(group: &Path, file: &str) -> Option<u64> {
    let text = fs::read_to_string(group.join(file)).ok()?;
    // No limit is the highest one.
    if text.trim() == "max" { Some(u64::MAX) } else { text.trim().parse().ok() }
}

/// A file of lines with a key and a number.
fn keys(group: &Path, file: &str) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(group.join(file)).unwrap_or_default();
    let line = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((key.to_owned(), value.parse().ok()?))
    };
    text.lines().filter_map(line).collect()
}

/// In the form that engines know (of the kernel's files of control groups v2).
fn stats(group: &Path) -> Value {
    let cpu = keys(group, "cpu.stat");
    let of = |key: &str| cpu.get(key).copied().unwrap_or(0);
    let memory = keys(group, "memory.stat");
    let use_of = |name: &str| {
        json!({
            "limit": number(group, &format!("memory.{name}max")),
            "usage": number(group, &format!("memory.{name}current")),
            "max": number(group, &format!("memory.{name}peak")),
        })
    };
    json!({
        "cpu": {
            "usage": {
                "total": of("usage_usec") * 1000,
                "kernel": of("system_usec") * 1000,
                "user": of("user_usec") * 1000,
            },
            "throttling": {
                "periods": of("nr_periods"),
                "throttledPeriods": of("nr_throttled"),
                "throttledTime": of("throttled_usec") * 1000,
            },
            "psi": pressure(group, "cpu.pressure"),
        },
        "memory": {
            "cache": memory.get("file"),
            "usage": use_of(""),
            "swapOnly": use_of("swap."),
            "raw": memory,
            "events": keys(group, "memory.events"),
            "psi": pressure(group, "memory.pressure"),
        },
        "pids": {"current": number(group, "pids.current"), "limit": number(group, "pids.max")},
        "blkio": {"ioServiceBytesRecursive": disks(group, "bytes"), "ioServicedRecursive": disks(group, "ios"),
                  "psi": pressure(group, "io.pressure")},
    })
}

/// Lines such as `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn pressure(group: &Path, file: &str) -> Value {
    let text = fs::read_to_string(group.join(file)).unwrap_or_default();
    let mut lines = serde_json::Map::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(name) = words.next() else { continue };
        let pair = |word: &str| {
            let (key, value) = word.split_once('=')?;
            Some((key.to_owned(), serde_json::from_str(value).ok()?))
        };
        lines.insert(name.to_owned(), Value::Object(words.filter_map(pair).collect()));
    }
    Value::Object(lines)
}

/// Lines such as `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`, for `bytes` or `ios`.
fn disks(group: &Path, what: &str) -> Value {
    let text = fs::read_to_string(group.join("io.stat")).unwrap_or_default();
    let mut entries = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let numbers = words.next().and_then(|disk| disk.split_once(':'));
        let Some((major, minor)) = numbers.and_then(|(a, b)| Some((a.parse::<u64>().ok()?, b.parse::<u64>().ok()?)))
        else {
            continue;
        };
        for word in words {
            let Some((key, value)) = word.split_once('=') else { continue };
            let name = match (key.split_at(1), what) {
                (("r", rest), what) if rest == what => "Read",
                (("w", rest), what) if rest == what => "Write",
                _ => continue,
            };
            let value: u64 = value.parse().unwrap_or(0);
            entries.push(json!({"major": major, "minor": minor, "op": name, "value": value}));
        }
    }
    Value::Array(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(interval(text).ok().map(|time| time.as_millis() as u64), expect, "{text}");
        };
        check("5s", Some(5000));
        check("500ms", Some(500));
        check("2m", Some(120_000));
        check("3", Some(3000));
        check("x", None);
        check("3h", None);
    }
}
