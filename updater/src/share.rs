//! `updater share`: gives what this machine has of releases to other machines of its site, over HTTP, under the names that
//! they have in a published folder. It may open nothing itself: the updater hands over open files, and nothing else of the
//! machine is within reach. Nothing is sent that is not what was signed: each block is held against its hash tree first, since
//! the slot that it is in may be written to meanwhile.
//!
//! Started where machine.toml says so. Who asks may be anybody: what is given is what the publisher gives to everybody.

pub mod limits;
pub mod request;
pub mod shelf;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::error::{Error, at};
use crate::handover;
use limits::{Brake, Guests};
use request::{Method, Request};
use shelf::{File, Shelf};

const SETTINGS: &str = "/run/ashlar/share.json";
/// A request has to be there after so long, and the next one has to begin.
const PATIENCE: Duration = Duration::from_secs(10);
/// A guest who takes fewer bytes a second is sent away.
const LEAST: u64 = 16 << 10;

/// `[update.peers]` of machine.toml, as far as it is about giving.
#[derive(Debug, Deserialize)]
struct Settings {
    port: u16,
    /// Bytes a second.
    bandwidth: u64,
}

/// The verb.
pub fn main() -> Result<(), Error> {
    let text = fs::read(SETTINGS).map_err(at("read", SETTINGS))?;
    let settings: Settings =
        serde_json::from_slice(&text).map_err(|error| Error::Machine(format!("read {SETTINGS}: {error}")))?;
    let addresses =
        [SocketAddr::from((Ipv6Addr::UNSPECIFIED, settings.port)), (Ipv4Addr::UNSPECIFIED, settings.port).into()];
    // Where there is no IPv6 the first one cannot be had.
    let listener = TcpListener::bind(&addresses[..]).map_err(at("listen on", settings.port.to_string()))?;
    Share::new(|| handover::take(Path::new(handover::SOCKET)), settings.bandwidth).serve(&listener)
}

/// What is given, to whom, and how fast.
#[derive(Debug)]
pub struct Share {
    shelf: Mutex<Shelf>,
    guests: Guests,
    brake: Mutex<Brake>,
}

impl Share {
    /// `ask` asks for what there is; no more than `bandwidth` bytes a second are given, to all guests together.
    pub fn new(ask: impl Fn() -> Result<Vec<handover::Handed>, Error> + Send + 'static, bandwidth: u64) -> Self {
        let shelf = Mutex::new(Shelf::new(Box::new(ask)));
        Self { shelf, guests: Guests::default(), brake: Mutex::new(Brake::new(bandwidth)) }
    }

    /// Lets guests in, each in a thread of its own.
    pub fn serve(self, listener: &TcpListener) -> Result<(), Error> {
        let share = Arc::new(self);
        loop {
            let (stream, guest) = match listener.accept() {
                Ok(came) => came,
                // Of that guest, or of memory or descriptors, which are given back.
                Err(error) => {
                    eprintln!("let somebody in: {error}");
                    thread::sleep(Duration::from_millis(100));
                    continue;
                }
            };
            let share = Arc::clone(&share);
            let attended = thread::Builder::new().spawn(move || {
                // Guests that hang up, or that are too slow, are their own affair.
                let _ = share.attend(&stream, guest);
            });
            attended.map(drop).unwrap_or_else(|error| eprintln!("begin a thread: {error}"));
        }
    }

    fn attend(&self, stream: &TcpStream, guest: SocketAddr) -> io::Result<()> {
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let Some(_place) = self.guests.let_in(guest.ip()) else { return refuse(stream, 503) };
        let mut input = Vec::new();
        while let Some(head) = next_head(stream, &mut input)? {
            match Request::parse(&head) {
                Ok(request) => self.answer(stream, &request)?,
                Err(status) => return refuse(stream, status),
            }
        }
        Ok(())
    }

    fn answer(&self, stream: &TcpStream, request: &Request) -> io::Result<()> {
        let found = self.shelf.lock().unwrap_or_else(PoisonError::into_inner).find(&request.path, Instant::now());
        let Some(file) = found else { return say(stream, "404 Not Found\r\nContent-Length: 0") };
        let total = file.size();
        let (status, (first, length)) = match request.part(total) {
            Some((first, length)) => {
                let last = first + length - 1;
                (format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{total}"), (first, length))
            }
            None if request.range.is_some() => {
                let status = format!("416 Range Not Satisfiable\r\nContent-Range: bytes */{total}");
                return say(stream, &format!("{status}\r\nContent-Length: 0"));
            }
            None => ("200 OK".to_owned(), (0, total)),
        };
        let kind = "Accept-Ranges: bytes\r\nContent-Type: application/octet-stream";
        say(stream, &format!("{status}\r\n{kind}\r\nContent-Length: {length}"))?;
        match request.method {
            Method::Head => Ok(()),
            Method::Get => self.give(stream, &file, first, length),
        }
    }

    /// Bytes of a file. One that is not what was signed ends the connection: what was promised cannot be given.
    fn give(&self, mut stream: &TcpStream, file: &File, first: u64, length: u64) -> io::Result<()> {
        let (mut place, end) = (first, first + length);
        let (mut sent, mut spent) = (0, Duration::ZERO);
        let mut buffer = file.buffer();
        while place < end {
            let bytes = file.read(place, end, &mut buffer).map_err(|error| io::Error::other(error.line()));
            let bytes = bytes.inspect_err(|_| self.shelf.lock().unwrap_or_else(PoisonError::into_inner).doubt())?;
            for part in bytes.chunks(limits::PART) {
                let wait =
                    self.brake.lock().unwrap_or_else(PoisonError::into_inner).wait(part.len() as u64, Instant::now());
                thread::sleep(wait);
                let mut left = part;
                while !left.is_empty() {
                    let begun = Instant::now();
                    let count = stream.write(left)?;
                    left = &left[count..];
                    (sent, spent) = (sent + count as u64, spent + begun.elapsed());
                    if count == 0 || spent > PATIENCE + Duration::from_secs(sent / LEAST) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
            }
            place += bytes.len() as u64;
        }
        Ok(())
    }
}

/// The next request's head; `None` once the guest has hung up.
fn next_head(mut stream: &TcpStream, input: &mut Vec<u8>) -> io::Result<Option<Vec<u8>>> {
    let begun = Instant::now();
    loop {
        if let Some(end) = request::end_of_head(input) {
            return Ok(Some(input.drain(..end).collect()));
        }
        if input.len() > request::LIMIT {
            return refuse(stream, 431).map(|()| None);
        }
        let left = PATIENCE.checked_sub(begun.elapsed()).filter(|left| !left.is_zero());
        stream.set_read_timeout(Some(left.ok_or(io::ErrorKind::TimedOut)?))?;
        let mut buffer = [0; 2048];
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            count => input.extend_from_slice(&buffer[..count]),
        }
    }
}

fn refuse(stream: &TcpStream, status: u16) -> io::Result<()> {
    let reason = match status {
        405 => "Method Not Allowed\r\nAllow: GET, HEAD",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Bad Request",
    };
    say(stream, &format!("{status} {reason}\r\nConnection: close\r\nContent-Length: 0"))
}

/// The head of an answer, at once.
fn say(mut stream: &TcpStream, status: &str) -> io::Result<()> {
    stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes())
}

#[cfg(test)]
mod tests;
