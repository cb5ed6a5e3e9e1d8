//! The control socket: connections, framing, bounds. What is answered stands in `machine/answer.rs`.
//!
//! A caller that sends too much is dropped; one that does not read has a bounded queue and is dropped when it is full.
//! PID 1 never waits for either. A connection has one call at a time; what it sends behind a call that is not yet
//! answered waits in its buffer.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use ashlar_control::message::{Call, Refusal, Reply};
use ashlar_sys::socket::{self, Credentials};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Longest call. Replies may be longer, calls have no reason to.
const CALL_LIMIT: usize = 256 << 10;
/// Longest queue of unread replies.
const QUEUE_LIMIT: usize = ashlar_control::MESSAGE_LIMIT;
/// Most connections at a time.
const CONNECTION_LIMIT: usize = 256;
/// Most descriptors that a caller may have passed and not used.
const DESCRIPTOR_LIMIT: usize = 3;

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// The end of a job.
    Job(u32),
    /// The end of a session's process.
    Session(u32),
    /// The end of reading unit files again.
    Reload,
    /// The end of a process that does what was asked for.
    Helper(u32),
    /// Every change, until it hangs up.
    Watch,
}

/// One caller.
#[derive(Debug)]
pub struct Connection {
    pub fd: OwnedFd,
    pub peer: Credentials,
    pub waiting: Option<Waiting>,
    /// Descriptors that came with the current call.
    pub descriptors: Vec<OwnedFd>,
    input: Vec<u8>,
    output: Vec<u8>,
    oneway: bool,
    closing: bool,
}

/// All callers, by number.
#[derive(Debug, Default)]
pub struct Connections {
    connections: BTreeMap<u32, Connection>,
    last: u32,
}

/// A call that was read, or why it could not be.
pub type Received = Result<Call, String>;

/// A reply as it is sent.
#[derive(Serialize)]
struct Answer<'a> {
    parameters: &'a Reply,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    continues: bool,
}

impl Connection {
    fn new(fd: OwnedFd, peer: Credentials) -> Self {
        Self {
            fd,
            peer,
            waiting: None,
            descriptors: Vec::new(),
            input: Vec::new(),
            output: Vec::new(),
            oneway: false,
            closing: false,
        }
    }

    /// Reads what is there. `false`: the caller is gone or has gone too far.
    pub fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match socket::receive(&self.fd, &mut buffer) {
                Ok(Some(message)) if message.length == 0 => return false,
                Ok(Some(message)) => {
                    self.input.extend_from_slice(&buffer[..message.length]);
                    self.descriptors.extend(message.descriptors);
                    if self.input.len() > CALL_LIMIT || self.descriptors.len() > DESCRIPTOR_LIMIT {
                        return false;
                    }
                }
                Ok(None) => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// The next call, once the one before is answered.
    pub fn next_call(&mut self) -> Option<Received> {
        if self.waiting.is_some() || self.closing {
            return None;
        }
        let end = self.input.iter().position(|byte| *byte == 0)?;
        let bytes: Vec<u8> = self.input.drain(..=end).collect();
        let call: Received = serde_json::from_slice::<Call>(&bytes[..end]).map_err(|error| error.to_string());
        self.oneway = call.as_ref().is_ok_and(|call| call.oneway);
        if call.is_err() {
            self.closing = true;
        }
        Some(call)
    }

    /// Queues a reply; `continues`: more will follow.
    pub fn reply(&mut self, reply: &Reply, continues: bool) {
        self.send(&Answer { parameters: reply, continues });
    }

    /// Queues the reply of another interface.
    pub fn reply_value(&mut self, parameters: &Value) {
        self.send(&json!({ "parameters": parameters }));
    }

    /// Queues a refusal under its full name.
    pub fn refuse(&mut self, refusal: &Refusal) {
        let mut value = serde_json::to_value(refusal).unwrap_or_default();
        if let Some(name) = value.get("error").and_then(Value::as_str) {
            let full = format!("{}.{name}", ashlar_control::INTERFACE);
            value["error"] = full.into();
        }
        self.send(&value);
    }

    /// Queues an error of org.varlink.service.
    pub fn refuse_as(&mut self, error: &str, parameters: &Value) {
        self.send(&json!({ "error": error, "parameters": parameters }));
    }

    fn send(&mut self, message: &impl Serialize) {
        self.descriptors.clear();
        let start = self.output.len();
        if self.oneway || serde_json::to_writer(&mut self.output, message).is_err() {
            return self.output.truncate(start);
        }
        self.output.push(0);
    }

    /// Writes what the caller takes. `false`: it is gone, or too far behind.
    pub fn write(&mut self) -> bool {
        while !self.output.is_empty() {
            match socket::send(&self.fd, &self.output, &[]) {
                Ok(count) => drop(self.output.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        self.output.shrink_to(4096);
        self.output.len() <= QUEUE_LIMIT && !(self.closing && self.output.is_empty())
    }

    /// What the snapshot keeps; with `whole`, what is in the buffers, too.
    pub fn kept(&self, whole: bool) -> Kept {
        let buffer = |bytes: &Vec<u8>| if whole { bytes.clone() } else { Vec::new() };
        let (input, output) = (buffer(&self.input), buffer(&self.output));
        Kept { fd: self.fd.as_raw_fd(), waiting: self.waiting, planned: whole, input, output }
    }

    /// Whether replies wait to be read.
    pub fn has_output(&self) -> bool {
        !self.output.is_empty()
    }
}

impl Kept {
    /// The caller can be served as if nothing had happened.
    pub fn is_complete(&self) -> bool {
        self.planned || self.waiting.is_some()
    }
}

/// What the snapshot keeps of a connection. Descriptors that came with a call are not kept: such a call is answered in
/// the turn that brings its last byte.
#[derive(Debug, Serialize, Deserialize)]
pub struct Kept {
    pub fd: RawFd,
    pub waiting: Option<Waiting>,
    /// The end of the instance was planned: nothing was lost.
    #[serde(default)]
    planned: bool,
    /// What was read and not yet answered; only when the end of the instance was planned.
    #[serde(default)]
    input: Vec<u8>,
    /// What was answered and not yet taken; likewise.
    #[serde(default)]
    output: Vec<u8>,
}

impl Connections {
    /// Takes a caller; `None` when there are too many.
    pub fn add(&mut self, fd: OwnedFd) -> Option<u32> {
        if self.connections.len() >= CONNECTION_LIMIT {
            return None;
        }
        let peer = socket::peer(&fd).ok()?;
        self.last = self.last.wrapping_add(1);
        self.connections.insert(self.last, Connection::new(fd, peer));
        Some(self.last)
    }

    /// Takes over a caller from an earlier instance.
    pub fn restore(&mut self, id: u32, fd: OwnedFd, kept: Kept) {
        let Ok(peer) = socket::peer(&fd) else { return };
        let mut connection = Connection::new(fd, peer);
        (connection.waiting, connection.input, connection.output) = (kept.waiting, kept.input, kept.output);
        self.last = self.last.max(id);
        self.connections.insert(id, connection);
    }

    pub fn get(&mut self, id: u32) -> Option<&mut Connection> {
        self.connections.get_mut(&id)
    }

    pub fn remove(&mut self, id: u32) -> Option<Connection> {
        self.connections.remove(&id)
    }

    pub fn ids(&self) -> Vec<u32> {
        self.connections.keys().copied().collect()
    }

    /// Numbers of the connections that wait for `waiting`.
    pub fn waiting_for(&self, waiting: Waiting) -> Vec<u32> {
        self.connections.iter().filter(|(_, c)| c.waiting == Some(waiting)).map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn connection() -> (Connections, u32, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut connections = Connections::default();
        let id = connections.add(ours.into()).unwrap();
        (connections, id, theirs)
    }

    #[test]
    fn calls_come_one_after_the_other() {
        let (mut connections, id, mut caller) = connection();
        let connection = connections.get(id).unwrap();
        caller.write_all(b"{\"method\":\"a.B\"}\0{\"method\":\"a.C\",\"param").unwrap();
        assert!(connection.read());
        assert_eq!(connection.next_call().unwrap().unwrap().method, "a.B");
        assert!(connection.next_call().is_none());
        caller.write_all(b"eters\":{}}\0").unwrap();
        assert!(connection.read());
        connection.waiting = Some(Waiting::Watch);
        assert!(connection.next_call().is_none());
        connection.waiting = None;
        assert_eq!(connection.next_call().unwrap().unwrap().method, "a.C");
    }

    #[test]
    fn a_call_has_a_longest_length() {
        let (mut connections, id, mut caller) = connection();
        let connection = connections.get(id).unwrap();
        caller.set_nonblocking(true).unwrap();
        let mut fine = true;
        for _ in 0..=CALL_LIMIT / 1024 {
            let _ = caller.write_all(&[b'x'; 1024]);
            fine = connection.read();
        }
        assert!(!fine);
    }

    #[test]
    fn one_that_does_not_read_is_dropped() {
        let (mut connections, id, _caller) = connection();
        let connection = connections.get(id).unwrap();
        let value = json!({ "x": "y".repeat(1 << 20) });
        let dropped = (0..8).any(|_| {
            connection.reply_value(&value);
            !connection.write()
        });
        assert!(dropped);
    }

    #[test]
    fn refusals_carry_the_interface() {
        let (mut connections, id, mut caller) = connection();
        let connection = connections.get(id).unwrap();
        connection.refuse(&Refusal::NoSuchJob { id: 7 });
        assert!(connection.write());
        let mut buffer = [0; 256];
        let count = io::Read::read(&mut caller, &mut buffer).unwrap();
        let expect = "{\"error\":\"io.ashlar.Control.NoSuchJob\",\"parameters\":{\"id\":7}}\0";
        assert_eq!(str::from_utf8(&buffer[..count]).unwrap(), expect);
    }
}
