//! What is asked of systemd, or of whoever speaks its language: scopes for containers (D-Bus specification, message
//! protocol; org.freedesktop.systemd1(5)). One connection to the manager itself, without a bus in between.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use ashlar_sys::credentials;

use crate::{About, Failed};

const MANAGER: &str = "org.freedesktop.systemd1.Manager";
/// How long a job may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest message that is read.
const LIMIT: usize = 1 << 20;

/// A property of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `s`
    Text(String),
    /// `b`
    Flag(bool),
    /// `i`
    Int(i32),
    /// `u`
    Small(u32),
    /// `t`
    Number(u64),
    /// `au`
    Numbers(Vec<u32>),
    /// `ay`
    Bytes(Vec<u8>),
}

/// A connection.
#[derive(Debug)]
pub struct Bus {
    stream: UnixStream,
    serial: u32,
    /// Signals that came before the reply that was waited for: a job may be done by then.
    early: Vec<Message>,
}

/// A message that came, as far as it is looked at.
#[derive(Debug, Default)]
struct Message {
    kind: u8,
    reply_to: u32,
    member: String,
    error: String,
    /// Its body's strings, object paths and numbers, in order.
    body: Vec<u8>,
    signature: String,
}

const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// Text of the manager's errors that a caller may take for granted.
pub const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";

impl Bus {
    /// Connects to the manager of the system, or of the user.
    pub fn connect() -> Result<Self, Failed> {
        let path = match credentials::is_root_of_the_host() {
            true => PathBuf::from("/run/systemd/private"),
            false => {
                let folder = std::env::var("XDG_RUNTIME_DIR")
                    .map_err(|_| Failed::new("the systemd of the user cannot be found: XDG_RUNTIME_DIR is not set"))?;
                PathBuf::from(folder).join("systemd/private")
            }
        };
        let connect = || {
            let mut stream = UnixStream::connect(&path)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            // The other end knows who we are, in the numbers of its own user namespace.
            stream.write_all(b"\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n")?;
            await_ok(&mut stream)?;
            Ok(Self { stream, serial: 0, early: Vec::new() })
        };
        connect().map_err(|error: io::Error| {
            Failed::new(format!(
                "cannot ask systemd at {}: {error}; --cgroup-manager cgroupfs does without",
                path.display()
            ))
        })
    }

    /// Starts a scope, or a slice, and waits until it has.
    pub fn start(&mut self, unit: &str, properties: &[(&str, Value)]) -> Result<(), Failed> {
        let mut body = Body::default();
        body.text(unit);
        body.text("replace");
        body.properties(properties);
        // No other units.
        body.array(8, |_| ());
        let reply = self.call("StartTransientUnit", "ssa(sv)a(sa(sv))", &body.0).map_err(Failed::new)?;
        self.await_job(unit, reply)
    }

    /// Changes properties until the next boot.
    pub fn set(&mut self, unit: &str, properties: &[(&str, Value)]) -> Result<(), Failed> {
        let mut body = Body::default();
        body.text(unit);
        body.number(1);
        body.properties(properties);
        self.call("SetUnitProperties", "sba(sv)", &body.0).map(drop).map_err(Failed::new)
    }

    /// Stops a unit if there is one, and waits until it has.
    pub fn stop(&mut self, unit: &str) -> Result<(), Failed> {
        let mut body = Body::default();
        body.text(unit);
        body.text("replace");
        match self.call("StopUnit", "ss", &body.0) {
            Err(error) if error.contains(NO_SUCH_UNIT) => Ok(()),
            reply => self.await_job(unit, reply.map_err(Failed::new)?),
        }
    }

    fn await_job(&mut self, unit: &str, reply: Message) -> Result<(), Failed> {
        let job = Reader(&reply.body, 0).text().unwrap_or_default();
        let mut early = std::mem::take(&mut self.early).into_iter();
        loop {
            let message = match early.next() {
                Some(message) => message,
                None => self.receive().about(format!("hear from systemd about {unit}"))?,
            };
            if message.kind != SIGNAL || message.member != "JobRemoved" || message.signature != "uoss" {
                continue;
            }
            let mut reader = Reader(&message.body, 0);
            let (_, path) = (reader.number(), reader.text());
            let (_, result) = (reader.text(), reader.text().unwrap_or_default());
            if path.as_deref() == Some(&job) {
                return match result.as_str() {
                    "done" => Ok(()),
                    other => Err(Failed::new(format!("systemd's job for {unit} ended as `{other}`"))),
                };
            }
        }
    }

    /// Calls and waits for the reply.
    fn call(&mut self, member: &str, signature: &str, body: &[u8]) -> Result<Message, String> {
        self.serial += 1;
        let message = encode(self.serial, member, signature, body);
        let sent = self.stream.write_all(&message).map_err(|error| format!("cannot ask systemd: {error}"));
        sent?;
        loop {
            let message = self.receive().map_err(|error| format!("cannot hear from systemd: {error}"))?;
            if message.reply_to != self.serial {
                self.early.extend(Some(message).filter(|message| message.kind == SIGNAL));
                continue;
            }
            if message.kind == ERROR {
                let text = Reader(&message.body, 0).text().unwrap_or_default();
                return Err(format!("systemd refuses {member}: {text} ({})", message.error));
            }
            if message.kind == METHOD_RETURN {
                return Ok(message);
            }
        }
    }

    fn receive(&mut self) -> io::Result<Message> {
        let mut fixed = [0; 16];
        self.stream.read_exact(&mut fixed)?;
        let word = |at: usize| u32::from_le_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]) as usize;
        let (body, fields) = (word(4), word(12));
        if fixed[0] != b'l' || body > LIMIT || fields > LIMIT {
            return Err(io::Error::other("it sent what is no message"));
        }
        let padded = fields.next_multiple_of(8);
        let mut rest = vec![0; padded + body];
        self.stream.read_exact(&mut rest)?;
        let mut message = Message { kind: fixed[1], body: rest.split_off(padded), ..Message::default() };
        rest.truncate(fields);
        header(&rest, &mut message).ok_or_else(|| io::Error::other("it sent a header that cannot be read"))?;
        Ok(message)
    }
}

/// Reads up to the line that says that we may.
fn await_ok(stream: &mut UnixStream) -> io::Result<()> {
    let mut lines = Vec::new();
    // To the byte: what follows is a message.
    while !lines.ends_with(b"\n") || !String::from_utf8_lossy(&lines).contains("OK ") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        lines.push(byte[0]);
        if lines.len() > 512 || lines.starts_with(b"REJECTED") {
            return Err(io::Error::other("it does not take us for who we are"));
        }
    }
    Ok(())
}

/// The fields behind the fixed part of a header: structures of a number and a variant.
fn header(fields: &[u8], message: &mut Message) -> Option<()> {
    let mut reader = Reader(fields, 0);
    while reader.1 < fields.len() {
        reader.align(8);
        let code = reader.byte()?;
        let signature = reader.signature()?;
        match (code, signature.as_str()) {
            (5, "u") => message.reply_to = reader.number()?,
            (3, "s") => message.member = reader.text()?,
            (4, "s") => message.error = reader.text()?,
            (8, "g") => message.signature = reader.signature()?,
            (_, "u") => drop(reader.number()?),
            (_, "g") => drop(reader.signature()?),
            (_, "s" | "o") => drop(reader.text()?),
            _ => return None,
        }
    }
    Some(())
}

struct Reader<'a>(&'a [u8], usize);

impl Reader<'_> {
    fn align(&mut self, to: usize) {
        self.1 = self.1.next_multiple_of(to);
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = *self.0.get(self.1)?;
        self.1 += 1;
        Some(byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4);
        let bytes = self.0.get(self.1..self.1 + 4)?;
        self.1 += 4;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    fn take(&mut self, length: usize) -> Option<String> {
        let text = self.0.get(self.1..self.1.checked_add(length)?)?;
        self.1 += length + 1;
        Some(String::from_utf8_lossy(text).into_owned())
    }

    fn text(&mut self) -> Option<String> {
        let length = self.number()?;
        self.take(length as usize)
    }

    fn signature(&mut self) -> Option<String> {
        let length = self.byte()?;
        self.take(usize::from(length))
    }
}

/// What is sent, in the byte order of all machines that this runs on.
#[derive(Debug, Default)]
struct Body(Vec<u8>);

impl Body {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// An array of elements that begin at multiples of `element`. Its length does not count what lies before the first.
    fn array(&mut self, element: usize, fill: impl FnOnce(&mut Self)) {
        self.number(0);
        let length_at = self.0.len() - 4;
        self.align(element);
        let start = self.0.len();
        fill(self);
        let length = (self.0.len() - start) as u32;
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn properties(&mut self, properties: &[(&str, Value)]) {
        self.array(8, |body| {
            for (name, value) in properties {
                body.align(8);
                body.text(name);
                body.variant(value);
            }
        });
    }

    fn variant(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                self.signature("s");
                self.text(text);
            }
            Value::Flag(flag) => {
                self.signature("b");
                self.number(u32::from(*flag));
            }
            Value::Int(value) => {
                self.signature("i");
                self.number(*value as u32);
            }
            Value::Small(value) => {
                self.signature("u");
                self.number(*value);
            }
            Value::Number(value) => {
                self.signature("t");
                self.align(8);
                self.0.extend(value.to_le_bytes());
            }
            Value::Numbers(values) => {
                self.signature("au");
                self.array(4, |body| values.iter().for_each(|value| body.number(*value)));
            }
            Value::Bytes(values) => {
                self.signature("ay");
                self.array(1, |body| body.0.extend(values));
            }
        }
    }
}

fn encode(serial: u32, member: &str, signature: &str, body: &[u8]) -> Vec<u8> {
    // Little endian, a call, no flags, version 1.
    let mut message = Body(vec![b'l', 1, 0, 1]);
    message.number(body.len() as u32);
    message.number(serial);
    message.array(8, |message| {
        let fields = [
            (1, "o", "/org/freedesktop/systemd1"),
            (2, "s", MANAGER),
            (3, "s", member),
            (6, "s", "org.freedesktop.systemd1"),
        ];
        for (code, kind, text) in fields {
            message.align(8);
            message.0.push(code);
            message.signature(kind);
            message.text(text);
        }
        message.align(8);
        message.0.push(8);
        message.signature("g");
        message.signature(signature);
    });
    message.align(8);
    message.0.extend(body);
    message.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut body = Body::default();
        body.text("a.scope");
        body.properties(&[("PIDs", Value::Numbers(vec![7])), ("MemoryMax", Value::Number(1 << 40))]);
        let message = encode(9, "SetUnitProperties", "sa(sv)", &body.0);
        let fields = u32::from_le_bytes(message[12..16].try_into().unwrap()) as usize;
        let mut read = Message::default();
        header(&message[16..16 + fields], &mut read).unwrap();
        assert_eq!((read.member.as_str(), read.signature.as_str()), ("SetUnitProperties", "sa(sv)"));
        assert_eq!(&message[16 + fields.next_multiple_of(8)..], body.0);
        let mut reader = Reader(&body.0, 0);
        assert_eq!(reader.text().as_deref(), Some("a.scope"));
        assert_eq!(reader.number(), Some(body.0.len() as u32 - 16));
        reader.align(8);
        assert_eq!((reader.text().as_deref(), reader.signature().as_deref()), (Some("PIDs"), Some("au")));
        assert_eq!((reader.number(), reader.number()), (Some(4), Some(7)));
    }

    #[test]
    fn headers_that_lie_are_refused() {
        for bytes in [&[1, 9][..], &[5, 1, b'u', 0, 0], &[3, 1, b's', 0, 255, 255, 255, 255], &[9, 1, b'x', 0]] {
            assert!(header(bytes, &mut Message::default()).is_none(), "{bytes:?}");
        }
    }
}
