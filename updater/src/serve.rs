//! `updater serve`: answers on the sockets that PID 1 listens on, and is gone again when nobody asks for a while. Who may
//! open them is a matter of their permissions: calls come by the one, and by the other only what everybody may have.
//!
//! A call that was begun is ended, also when its caller hangs up: half an upgrade helps nobody.

use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ashlar_control::message::Call;
use ashlar_control::update::{DEFINITION, INTERFACE, Method, Refusal, Reply, Stage, State};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::boot::Boot;
use crate::error::{Error, at};
use crate::record::{FOLDER, Record};
use crate::{automatic, boots, handover, install, record, rollback};

/// The first descriptor that PID 1 passes (sd_listen_fds(3)): that of calls; the next one is that of [`handover`].
const FIRST: i32 = 3;
const LISTENER: &str = "the socket that was passed";
const VARLINK: &str = "org.varlink.service";
/// Without a caller for so long there is nothing to do.
const IDLE: Duration = Duration::from_secs(30);
/// Longest call.
const LIMIT: usize = 64 << 10;
/// How often progress is told at most.
const PACE: Duration = Duration::from_millis(200);

static CALLERS: AtomicUsize = AtomicUsize::new(0);

/// The verb.
pub fn main() -> Result<(), Error> {
    let passed = std::env::var("LISTEN_FDS").is_ok_and(|count| count == "2");
    if !passed {
        return Err(Error::Request("no sockets were passed: this is started by PID 1".into()));
    }
    let (calls, releases) = (listener(FIRST)?, listener(FIRST + 1)?);
    loop {
        match next(&calls, &releases)? {
            None if CALLERS.load(Ordering::SeqCst) == 0 => return Ok(()),
            None => {}
            Some(Came::ToCall(stream)) => attend(move || {
                // Whoever hangs up has heard enough.
                let _ = Caller { stream, input: Vec::new(), passed: Vec::new() }.serve();
            }),
            Some(Came::ForReleases(stream)) => attend(move || {
                if let Err(error) = handover::give(&stream) {
                    eprintln!("cannot hand over what there is: {}", error.line());
                }
            }),
        }
    }
}

/// A socket that was passed.
fn listener(number: i32) -> Result<UnixListener, Error> {
    let fd: OwnedFd = ashlar_sys::descriptor::adopt(number).map_err(at("take", LISTENER))?;
    let listener = UnixListener::from(fd);
    // Somebody may have hung up before he is let in.
    listener.set_nonblocking(true).map_err(at("take", LISTENER))?;
    Ok(listener)
}

/// Somebody, and what for.
enum Came {
    ToCall(UnixStream),
    ForReleases(UnixStream),
}

/// Whoever comes next; `None` if nobody came for a while.
fn next(calls: &UnixListener, releases: &UnixListener) -> Result<Option<Came>, Error> {
    let patience = Timespec { tv_sec: IDLE.as_secs() as i64, tv_nsec: 0 };
    loop {
        let mut asked = [calls, releases].map(|listener| PollFd::new(listener, PollFlags::IN));
        match poll(&mut asked, Some(&patience)) {
            Ok(0) => return Ok(None),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(at("wait on", LISTENER)(error.into())),
        }
        for (listener, came) in [(calls, Came::ToCall as fn(UnixStream) -> Came), (releases, Came::ForReleases)] {
            match listener.accept() {
                Ok((stream, _)) => return Ok(Some(came(stream))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(at("accept on", LISTENER)(error)),
            }
        }
    }
}

/// In a thread of its own.
fn attend(serve: impl FnOnce() + Send + 'static) {
    CALLERS.fetch_add(1, Ordering::SeqCst);
    thread::spawn(move || {
        serve();
        CALLERS.fetch_sub(1, Ordering::SeqCst);
    });
}

/// A connection.
struct Caller {
    stream: UnixStream,
    input: Vec<u8>,
    /// Descriptors that came with the current call.
    passed: Vec<OwnedFd>,
}

impl Caller {
    fn serve(&mut self) -> io::Result<()> {
        while let Some(bytes) = self.next_call()? {
            let passed = self.passed.pop();
            match serde_json::from_slice::<Call>(&bytes) {
                Ok(call) => self.answer(&call, passed)?,
                Err(error) => self.refuse(&Error::Request(format!("this is no call: {error}")).refusal())?,
            }
        }
        Ok(())
    }

    fn next_call(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == 0) {
                let mut call: Vec<u8> = self.input.drain(..=end).collect();
                call.pop();
                return Ok(Some(call));
            }
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let parts = &mut [IoSliceMut::new(&mut buffer)];
            let received = recvmsg(&self.stream, parts, &mut beside, RecvFlags::CMSG_CLOEXEC)?;
            for message in beside.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.passed.extend(descriptors);
                }
            }
            if received.bytes == 0 || self.input.len() > LIMIT {
                return Ok(None);
            }
            self.input.extend_from_slice(&buffer[..received.bytes]);
        }
    }

    fn answer(&mut self, call: &Call, passed: Option<OwnedFd>) -> io::Result<()> {
        let (interface, name) = call.method.rsplit_once('.').unwrap_or(("", &call.method));
        if interface == VARLINK {
            return self.introspect(name, &call.parameters);
        }
        let method = Method::deserialize(json!({ name: call.parameters }));
        let done = match method {
            Ok(method) if interface == INTERFACE => self.carry_out(method, passed),
            Ok(_) => Err(Error::Request(format!("there is no interface {interface}"))),
            Err(error) => Err(Error::Request(format!("{}: {error}", call.method))),
        };
        match done {
            Ok(reply) => self.send(&json!({ "parameters": reply })),
            Err(error) => {
                eprintln!("{}: {}", call.method, error.line());
                self.refuse(&error.refusal())
            }
        }
    }

    fn carry_out(&mut self, method: Method, passed: Option<OwnedFd>) -> Result<Reply, Error> {
        match method {
            Method::GetState {} => state().map(Reply::State),
            Method::GetBoots {} => boots::read().map(Reply::Boots),
            Method::Hold { reason } => change(|state| state.hold = reason),
            Method::Pin { version } => {
                let version = version.map_or_else(|| Boot::read().map(|boot| boot.version), Ok)?;
                change(|state| state.pin = Some(version))
            }
            Method::Unpin {} => change(|state| state.pin = None),
            Method::Rollback { to } => rollback::roll_back(to.as_deref()).map(Reply::Switched),
            Method::Upgrade { request } => {
                let folder = passed.filter(|_| request.folder);
                let mut told: Option<(Stage, Instant)> = None;
                let mut progress = |stage: Stage, done: u64, total: u64| {
                    let is_due = told.is_none_or(|(last, when)| last != stage || when.elapsed() >= PACE);
                    if is_due || done == total {
                        told = Some((stage, Instant::now()));
                        let reply = Reply::Progress { stage, done, total };
                        let _ = self.send(&json!({ "parameters": reply, "continues": true }));
                    }
                };
                install::upgrade(&request, folder, &mut progress).map(Reply::Outcome)
            }
        }
    }

    fn introspect(&mut self, name: &str, parameters: &Value) -> io::Result<()> {
        let reply = match (name, parameters["interface"].as_str()) {
            ("GetInfo", _) => json!({ "parameters": {
                "vendor": "Ashlar", "product": "updater", "version": env!("CARGO_PKG_VERSION"), "url": "",
                "interfaces": [VARLINK, INTERFACE],
            } }),
            ("GetInterfaceDescription", Some(INTERFACE)) => json!({ "parameters": { "description": DEFINITION } }),
            ("GetInterfaceDescription", interface) => json!({
                "error": format!("{VARLINK}.InterfaceNotFound"), "parameters": { "interface": interface },
            }),
            _ => json!({ "error": format!("{VARLINK}.MethodNotFound"), "parameters": { "method": name } }),
        };
        self.send(&reply)
    }

    fn refuse(&mut self, refusal: &Refusal) -> io::Result<()> {
        self.send(&json!({ "error": format!("{INTERFACE}.Refused"), "parameters": refusal }))
    }

    fn send(&mut self, message: &Value) -> io::Result<()> {
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.stream.write_all(&bytes)
    }
}

/// Changes what is remembered.
fn change(change: impl FnOnce(&mut State)) -> Result<Reply, Error> {
    let mut record = Record::open(Path::new(FOLDER))?;
    change(&mut record.state);
    record.save()?;
    Ok(Reply::State(record.state))
}

/// The record, once what happened since is written down. While somebody works with it, it is what it was before.
fn state() -> Result<State, Error> {
    let folder = Path::new(FOLDER);
    let state = match Record::try_open(folder)? {
        None => record::read(folder),
        Some(mut record) => {
            if let Err(error) = Boot::read().and_then(|boot| install::settle(&boot, &mut record)) {
                // What is remembered can be read all the same.
                eprintln!("{}", error.line());
            }
            record.state
        }
    };
    Ok(State { automatic: automatic::last(), ..state })
}
