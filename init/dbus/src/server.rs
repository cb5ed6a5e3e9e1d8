//! The loop: PID 1's changes, the private socket, the bus. One thread, which waits for all of them at once.
//!
//! Changes come first in every turn, so that an answer never knows less than a signal that was sent before it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use ashlar_control::client::Error;
use ashlar_control::message::{JobKind, JobMode, Method, Reply};
use ashlar_sys::epoll::{self, Epoll, Ready};
use ashlar_sys::socket;

use crate::auth::{self, Progress};
use crate::bus::{self, Bus, Incoming};
use crate::dispatch;
use crate::fault::Fault;
use crate::interface::Caller;
use crate::signals;
use crate::stream::Stream;
use crate::wire::{Kind, Message};
use crate::world::World;

const ACTIVATION_FAILED: &str = "org.freedesktop.DBus.Error.Spawn.ChildExited";
const CHANGES: u64 = 0;
const LISTENER: u64 = 1;
const BUS: u64 = 2;
/// Clients' tokens are their numbers behind this.
const CLIENTS: u64 = 16;
/// Most connections at a time; who comes then is hung up on.
const CLIENT_LIMIT: usize = 1024;

/// Somebody on the private socket.
struct Client {
    stream: Stream,
    caller: Caller,
    /// Lines of the greeting that were answered; `None` behind it.
    greeting: Option<usize>,
}

/// Everything.
pub struct Server {
    epoll: Epoll,
    listener: Option<OwnedFd>,
    world: World,
    clients: BTreeMap<u64, Client>,
    last: u64,
    bus: Bus,
    guid: String,
}

impl Server {
    /// Over the private socket, if PID 1 gave us one.
    ///
    /// # Errors
    /// PID 1 cannot be asked, or the kernel refuses.
    pub fn new(listener: Option<OwnedFd>) -> Result<Self, Error> {
        let world = World::open(signals::of)?;
        let epoll = Epoll::new()?;
        epoll.add(world.link().as_fd(), CHANGES, epoll::READ)?;
        if let Some(listener) = &listener {
            epoll.add(listener.as_fd(), LISTENER, epoll::READ)?;
        }
        let guid = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?.replace('-', "").trim().to_owned();
        let (clients, bus) = (BTreeMap::new(), Bus::default());
        Ok(Self { epoll, listener, world, clients, last: CLIENTS, bus, guid })
    }

    /// Serves until PID 1 is gone for good.
    ///
    /// # Errors
    /// PID 1 cannot be asked any more.
    pub fn run(&mut self) -> Result<(), Error> {
        let mut ready = Vec::new();
        // The bus is not waited for: what is called there waits for us.
        notify("READY=1");
        loop {
            self.join_bus();
            ready.clear();
            self.epoll.wait(self.bus.patience(), &mut ready)?;
            self.world.take_changes()?;
            for Ready { token, events } in std::mem::take(&mut ready) {
                match token {
                    CHANGES => {}
                    LISTENER => self.accept(),
                    BUS => self.serve_bus(events),
                    token => self.serve_client(token, events),
                }
                self.broadcast();
            }
            // Some may have come while an answer was waited for: nothing would wake us for those.
            self.world.take_changes()?;
            self.broadcast();
            self.tell_not_activated();
            self.flush();
        }
    }

    fn join_bus(&mut self) {
        if self.bus.connect()
            && let Some(fd) = self.bus.descriptor()
        {
            let _ = self.epoll.add(fd, BUS, epoll::READ | epoll::WRITE);
        }
    }

    fn accept(&mut self) {
        let Some(listener) = &self.listener else { return };
        while let Ok(Some(fd)) = socket::accept(listener) {
            let Ok(peer) = socket::peer(&fd) else { continue };
            // The socket's mode says the same; a descriptor can be passed on, though.
            if peer.uid != 0 || self.clients.len() >= CLIENT_LIMIT {
                continue;
            }
            self.last += 1;
            if self.epoll.add(fd.as_fd(), self.last, epoll::READ).is_ok() {
                let peer_name = format!("private:{}", self.last);
                let caller = Caller { peer: peer_name, pid: peer.pid, uid: peer.uid, manages: true };
                self.clients.insert(self.last, Client { stream: Stream::new(fd), caller, greeting: Some(0) });
            }
        }
    }

    fn serve_client(&mut self, token: u64, events: u32) {
        let Some(mut client) = self.clients.remove(&token) else { return };
        let open = if events & epoll::READ != 0 { client.stream.read().is_ok() } else { events & epoll::HANGUP == 0 };
        // What was said before hanging up counts, and may be answered to one who still listens.
        if self.talk(&mut client).is_ok() && open {
            self.clients.insert(token, client);
        } else {
            let _ = client.stream.write();
            self.forget(&client.caller.peer);
        }
    }

    fn talk(&mut self, client: &mut Client) -> Result<(), Broken> {
        if let Some(answered) = &mut client.greeting {
            match auth::serve(&client.stream.input, client.caller.uid, &self.guid, answered) {
                Progress::More(output) => {
                    client.stream.queue(output, Vec::new());
                    return Ok(());
                }
                Progress::Done(output, end) => {
                    client.stream.queue(output, Vec::new());
                    client.stream.input.drain(..end);
                    client.greeting = None;
                }
                Progress::Refused => return Err(Broken),
            }
        }
        while let Some(message) = client.stream.next().map_err(|_| Broken)? {
            if message.header.kind != Kind::Call {
                continue;
            }
            let reply = self.answer(&message, &client.caller);
            // What the call brought with it goes to everybody else here, and to its caller in order.
            let signals = std::mem::take(&mut self.world.outbox);
            for mut signal in signals {
                self.tell_others(&signal);
                signal.header.sender = bus::NAME.to_owned();
                client.stream.send(&signal);
            }
            if let Some(mut reply) = reply {
                reply.header.sender = bus::NAME.to_owned();
                client.stream.send(&reply);
            }
        }
        Ok(())
    }

    fn answer(&mut self, message: &Message, caller: &Caller) -> Option<Message> {
        let answer = dispatch::answer(&mut self.world, message, caller);
        message.wants_reply().then(|| match answer {
            Ok(body) => message.reply(body),
            Err(fault) => message.refuse(fault.name, &fault.text),
        })
    }

    fn serve_bus(&mut self, events: u32) {
        let incoming = match self.bus.read() {
            Ok(incoming) if events & epoll::HANGUP == 0 => incoming,
            _ => {
                self.bus.drop_connection().iter().for_each(|peer| self.forget(peer));
                return;
            }
        };
        for one in incoming {
            match one {
                Incoming::Call(message, caller) => {
                    let caller = self.authorize(caller);
                    let reply = self.answer(&message, &caller);
                    self.broadcast();
                    if let (Some(reply), Some(stream)) = (reply, self.bus.stream()) {
                        stream.send(&reply);
                    }
                }
                Incoming::Gone(peer) => self.forget(&peer),
                // Whether anybody waits for it is PID 1's to know.
                Incoming::Named(name) => drop(self.world.act(&Method::BusNameTaken { name }, &[])),
                Incoming::Activate(unit) => self.activate(&unit),
            }
        }
    }

    /// What the caller is as a user of the machine: PID 1 knows, since containers have users of their own.
    fn authorize(&mut self, caller: Caller) -> Caller {
        match self.world.ask(&Method::Identify { pid: caller.pid, uid: caller.uid }) {
            Ok(Reply::User { uid, manages }) => Caller { uid, manages, ..caller },
            _ => caller,
        }
    }

    fn activate(&mut self, unit: &str) {
        let method =
            Method::Enqueue { unit: unit.to_owned(), job: JobKind::Start, mode: JobMode::Replace, wait: false };
        let name = self.world.resolve(unit).to_owned();
        self.world.activating.insert(name.clone());
        if let Err(error) = self.world.act(&method, &[]) {
            let fault = Fault::from(error);
            self.world.activating.remove(&name);
            self.bus.activation_failed(unit, fault.name, &fault.text);
        }
    }

    /// Who waits on the bus for one that did not start is told at once.
    fn tell_not_activated(&mut self) {
        for (unit, result) in std::mem::take(&mut self.world.not_activated) {
            let text = format!("{unit} did not start: its job ended with {result}.");
            self.bus.activation_failed(&unit, ACTIVATION_FAILED, &text);
        }
    }

    fn forget(&mut self, peer: &str) {
        self.world.subscribers.remove(peer);
        for unit in self.world.holds.remove(peer).into_iter().flatten() {
            // It may be gone already.
            let _ = self.world.act(&Method::Hold { unit, held: false }, &[]);
        }
    }

    fn broadcast(&mut self) {
        for signal in std::mem::take(&mut self.world.outbox) {
            self.tell_others(&signal);
        }
    }

    /// Everybody on the private socket gets every signal unasked, as systemctl expects; on the bus it is matched.
    fn tell_others(&mut self, signal: &Message) {
        if self.bus.named
            && let Some(stream) = self.bus.stream()
        {
            stream.send(signal);
        }
        let mut own = Message::signal("", "", "", crate::wire::Body::empty());
        if !self.clients.is_empty() {
            own = signal.copy();
            own.header.sender = bus::NAME.to_owned();
        }
        for client in self.clients.values_mut().filter(|client| client.greeting.is_none()) {
            client.stream.send(&own);
        }
    }

    /// Writes what is queued, and asks to be told when those who are behind take more.
    fn flush(&mut self) {
        let mut gone = Vec::new();
        for (token, client) in &mut self.clients {
            if client.stream.write().is_err() {
                gone.push(*token);
                continue;
            }
            let behind = client.stream.is_behind();
            let events = if behind { epoll::READ | epoll::WRITE } else { epoll::READ };
            let _ = self.epoll.modify(client.stream.as_fd(), *token, events);
        }
        for token in gone {
            if let Some(client) = self.clients.remove(&token) {
                self.forget(&client.caller.peer);
            }
        }
        let Some(stream) = self.bus.stream() else { return };
        let written = stream.write();
        let events = if stream.is_behind() { epoll::READ | epoll::WRITE } else { epoll::READ };
        if written.is_err() || self.epoll.modify(stream.as_fd(), BUS, events).is_err() {
            self.bus.drop_connection().iter().for_each(|peer| self.forget(peer));
        }
    }
}

/// The other side is to be hung up on.
struct Broken;

/// Tells PID 1.
fn notify(state: &str) {
    if let Err(error) = ashlar_control::notify::send(state) {
        eprintln!("cannot tell PID 1 that {state}: {error}");
    }
}

/// The socket that PID 1 opened for us (sd_listen_fds(3)).
///
/// # Errors
/// There is one, and it cannot be taken.
pub fn listener() -> io::Result<Option<OwnedFd>> {
    const FIRST: i32 = 3;
    let count: i32 = std::env::var("LISTEN_FDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    if count == 0 {
        return Ok(None);
    }
    ashlar_sys::descriptor::adopt(FIRST).map(Some)
}
