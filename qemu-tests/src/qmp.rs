//! QEMU's control socket: the power button, keys, reset, and the news that the guest went down.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// A connection.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    events: Vec<String>,
    /// When the machine was reset, the last time.
    reset: Option<SystemTime>,
}

impl Qmp {
    /// Connects to the socket `qmp` of a folder as soon as `qemu` has made it.
    pub fn connect(folder: &Path, qemu: &mut Child, patience: Duration) -> Result<Self> {
        let directory = File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
        // By way of the descriptor: a socket's path may have 108 bytes at most.
        let path = format!("/proc/self/fd/{}/qmp", directory.as_raw_fd());
        let until = Instant::now() + patience;
        let stream = loop {
            match UnixStream::connect(&path) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > until => bail!("QEMU does not listen: {error}"),
                Err(_) if qemu.try_wait()?.is_some() => bail!("QEMU has ended"),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let mut qmp = Self { reader: BufReader::new(stream), events: Vec::new(), reset: None };
        qmp.set_patience(patience)?;
        qmp.receive().context("no greeting from QEMU")?;
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Carries out a command and returns what it returns.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        self.set_patience(Duration::from_secs(60))?;
        let line = json!({ "execute": command, "arguments": arguments });
        writeln!(self.reader.get_mut(), "{line}").with_context(|| format!("cannot tell QEMU to {command}"))?;
        loop {
            let message = self.receive().with_context(|| format!("no answer from QEMU to {command}"))?;
            if let Some(error) = message.get("error") {
                bail!("QEMU refuses to {command}: {error}");
            }
            if let Some(value) = message.get("return") {
                return Ok(value.clone());
            }
            self.note(&message);
        }
    }

    /// Presses keys together, by QEMU's names such as `ctrl`, `alt`, `delete`.
    pub fn press(&mut self, keys: &[&str]) -> Result<()> {
        let keys: Vec<Value> = keys.iter().map(|key| json!({ "type": "qcode", "data": key })).collect();
        self.execute("send-key", &json!({ "keys": keys })).map(drop)
    }

    /// Waits for an event such as `RESET` or `SHUTDOWN`, also one that came before.
    pub fn wait_for(&mut self, event: &str, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        loop {
            if let Some(at) = self.events.iter().position(|seen| seen == event) {
                self.events.drain(..=at);
                return Ok(());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the machine did not {event} within {} s", patience.as_secs());
            }
            self.set_patience(left)?;
            let message = self.receive().with_context(|| format!("while waiting for the event {event}"))?;
            self.note(&message);
        }
    }

    /// Forgets events that came until now.
    pub fn forget_events(&mut self) -> Result<()> {
        self.reset()?;
        self.events.clear();
        Ok(())
    }

    /// When the machine was reset, the last time, if it was.
    pub fn reset(&mut self) -> Result<Option<SystemTime>> {
        // The answer comes after everything that happened before.
        self.execute("query-status", &json!({}))?;
        Ok(self.reset)
    }

    /// What QEMU's own monitor says to a command.
    pub fn monitor(&mut self, line: &str) -> Result<String> {
        let said = self.execute("human-monitor-command", &json!({ "command-line": line }))?;
        Ok(said.as_str().unwrap_or_default().to_owned())
    }

    fn note(&mut self, message: &Value) {
        if let Some(event) = message.get("event").and_then(Value::as_str) {
            self.events.push(event.to_owned());
            if event == "RESET" {
                self.reset = happened(message);
            }
        }
    }

    fn receive(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            bail!("QEMU has ended");
        }
        serde_json::from_str(&line).with_context(|| format!("cannot understand QEMU's {line}"))
    }

    fn set_patience(&mut self, patience: Duration) -> Result<()> {
        Ok(self.reader.get_ref().set_read_timeout(Some(patience.max(Duration::from_millis(1))))?)
    }
}

/// When an event was, by QEMU's clock, which is this host's: it may be read long after.
fn happened(event: &Value) -> Option<SystemTime> {
    let part = |name: &str| event.get("timestamp")?.get(name)?.as_u64();
    Some(SystemTime::UNIX_EPOCH + Duration::from_secs(part("seconds")?) + Duration::from_micros(part("microseconds")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_events() {
        let event = json!({ "event": "RESET", "timestamp": { "seconds": 5, "microseconds": 250_000 } });
        assert_eq!(happened(&event), Some(SystemTime::UNIX_EPOCH + Duration::from_millis(5250)));
        assert_eq!(happened(&json!({ "event": "RESET" })), None);
    }
}
