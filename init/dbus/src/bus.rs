//! Our place on the message bus: getting there, the name, and who the others are. When the bus goes away we come back
//! as often as it takes.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use ashlar_sys::socket::{self, Kind};
use zbus::Variant;

use crate::auth;
use crate::interface::Caller;
use crate::stream::Stream;
use crate::wire::{self, Body, Message};

const ADDRESS: &str = "/run/dbus/system_bus_socket";
/// Our name.
pub const NAME: &str = "org.freedesktop.systemd1";
/// The bus itself.
pub const DAEMON: &str = "org.freedesktop.DBus";
const DAEMON_PATH: &str = "/org/freedesktop/DBus";
const ACTIVATOR: &str = "org.freedesktop.systemd1.Activator";
/// Who goes is to be heard of.
const GOINGS: &str =
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged'";
const REPLACE_EXISTING: u32 = 2;
const DO_NOT_QUEUE: u32 = 4;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// Most calls of one sender that wait until it is known.
const WAITING_LIMIT: usize = 256;

/// The connection.
#[derive(Debug, Default)]
pub struct Bus {
    stream: Option<Stream>,
    /// The bus has let us in.
    accepted: bool,
    /// It has given us our name.
    pub named: bool,
    again: Option<Instant>,
    hello: u32,
    request: u32,
    names: u32,
    /// Who asked whom about: senders, by the serials of our questions.
    asked: BTreeMap<u32, String>,
    /// Calls of senders that are not known yet.
    waiting: BTreeMap<String, Vec<Message>>,
    known: BTreeMap<String, (u32, u32)>,
}

/// What came in.
#[derive(Debug)]
pub enum Incoming {
    /// A call of somebody whose process and user are known.
    Call(Box<Message>, Caller),
    /// A peer left.
    Gone(String),
    /// A well-known name has an owner.
    Named(String),
    /// The bus wants a unit started, for a name that it has no owner of.
    Activate(String),
}

impl Bus {
    /// Connects, if the time has come. Says whether there is a connection to be watched now.
    pub fn connect(&mut self) -> bool {
        if self.stream.is_some() || self.again.is_some_and(|again| Instant::now() < again) {
            return false;
        }
        self.again = Some(Instant::now() + PAUSE);
        let Ok(fd) = socket::connect_unix(Path::new(ADDRESS), Kind::Stream) else { return false };
        let mut stream = Stream::new(fd);
        stream.queue(auth::CLIENT.to_vec(), Vec::new());
        *self = Self { stream: Some(stream), again: self.again, ..Self::default() };
        true
    }

    /// How long to wait for the next attempt.
    pub fn patience(&self) -> Option<Duration> {
        let again = self.again.filter(|_| self.stream.is_none())?;
        Some(again.saturating_duration_since(Instant::now()))
    }

    /// The connection is of no use any more. Says whom we knew.
    pub fn drop_connection(&mut self) -> Vec<String> {
        let known = std::mem::take(&mut self.known).into_keys().collect();
        *self = Self { again: Some(Instant::now() + PAUSE), ..Self::default() };
        known
    }

    pub fn stream(&mut self) -> Option<&mut Stream> {
        self.stream.as_mut()
    }

    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(AsFd::as_fd)
    }

    fn ask(&mut self, member: &str, body: Body) -> u32 {
        let message = Message::call(DAEMON, DAEMON_PATH, DAEMON, member, body);
        self.stream.as_mut().map_or(0, |stream| stream.send(&message))
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// The bus hung up, or speaks no D-Bus.
    pub fn read(&mut self) -> io::Result<Vec<Incoming>> {
        let Some(stream) = &mut self.stream else { return Ok(Vec::new()) };
        stream.read()?;
        if !self.accepted {
            let Some(end) = auth::accepted(&stream.input).map_err(io::Error::other)? else { return Ok(Vec::new()) };
            stream.input.drain(..end);
            self.accepted = true;
            self.hello = self.ask("Hello", Body::empty());
        }
        let mut incoming = Vec::new();
        while let Some(message) = self.next()? {
            self.take(message, &mut incoming);
        }
        Ok(incoming)
    }

    fn next(&mut self) -> io::Result<Option<Message>> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        stream.next().map_err(io::Error::other)
    }

    fn take(&mut self, message: Message, incoming: &mut Vec<Incoming>) {
        let reply_to = message.header.reply_to;
        match message.header.kind {
            wire::Kind::Reply if reply_to == self.hello => {
                let _ = self.ask("AddMatch", Body::of(&(GOINGS,)));
                self.request = self.ask("RequestName", Body::of(&(NAME, REPLACE_EXISTING | DO_NOT_QUEUE)));
                // Those that were taken before anybody listened.
                self.names = self.ask("ListNames", Body::empty());
            }
            wire::Kind::Reply if reply_to == self.request => self.named = true,
            wire::Kind::Reply if reply_to == self.names => {
                let names = message.body.get::<(Vec<String>,)>().map(|(names,)| names).unwrap_or_default();
                incoming.extend(names.into_iter().filter(|name| !name.starts_with(':')).map(Incoming::Named));
            }
            wire::Kind::Reply | wire::Kind::Error => self.identify(&message, incoming),
            wire::Kind::Signal if message.header.sender == DAEMON => signal(&message, incoming, &mut self.known),
            wire::Kind::Signal => {}
            wire::Kind::Call => self.admit(message, incoming),
        }
    }

    /// A call: at once if its sender is known, else once the bus has said who that is.
    fn admit(&mut self, message: Message, incoming: &mut Vec<Incoming>) {
        let sender = message.header.sender.clone();
        if let Some((pid, uid)) = self.known.get(&sender).copied() {
            return incoming.push(Incoming::Call(Box::new(message), Caller { peer: sender, pid, uid, manages: false }));
        }
        let first = !self.waiting.contains_key(&sender);
        let waiting = self.waiting.entry(sender.clone()).or_default();
        if waiting.len() < WAITING_LIMIT {
            waiting.push(message);
        }
        if first {
            let serial = self.ask("GetConnectionCredentials", Body::of(&(&sender,)));
            self.asked.insert(serial, sender);
        }
    }

    /// The answer to a question about a sender.
    fn identify(&mut self, message: &Message, incoming: &mut Vec<Incoming>) {
        let Some(sender) = self.asked.remove(&message.header.reply_to) else { return };
        let waiting = self.waiting.remove(&sender).unwrap_or_default();
        // Who has left by now waits for no answer.
        let Some((facts,)) = message.body.borrow::<(BTreeMap<String, Variant<'_>>,)>() else { return };
        let number = |key: &str| match facts.get(key) {
            Some(Variant::U32(number)) => Some(*number),
            _ => None,
        };
        let Some(uid) = number("UnixUserID") else { return };
        let pid = number("ProcessID").unwrap_or_default();
        self.known.insert(sender.clone(), (pid, uid));
        let call =
            |message| Incoming::Call(Box::new(message), Caller { peer: sender.clone(), pid, uid, manages: false });
        incoming.extend(waiting.into_iter().map(call));
    }

    /// Tells the bus that a unit which it asked for cannot be started.
    pub fn activation_failed(&mut self, unit: &str, name: &str, text: &str) {
        let body = Body::of(&(unit, name, text));
        let mut message = Message::signal(DAEMON_PATH, ACTIVATOR, "ActivationFailure", body);
        message.header.destination = DAEMON.to_owned();
        if let Some(stream) = &mut self.stream {
            stream.send(&message);
        }
    }
}

fn signal(message: &Message, incoming: &mut Vec<Incoming>, known: &mut BTreeMap<String, (u32, u32)>) {
    match (message.header.interface.as_str(), message.header.member.as_str()) {
        (ACTIVATOR, "ActivationRequest") => {
            incoming.extend(message.body.get::<(String,)>().map(|(unit,)| Incoming::Activate(unit)));
        }
        (DAEMON, "NameOwnerChanged") => {
            let Some((name, _, new)) = message.body.get::<(String, String, String)>() else { return };
            if new.is_empty() && name.starts_with(':') {
                known.remove(&name);
                incoming.push(Incoming::Gone(name));
            } else if !new.is_empty() && !name.starts_with(':') {
                incoming.push(Incoming::Named(name));
            }
        }
        _ => {}
    }
}
