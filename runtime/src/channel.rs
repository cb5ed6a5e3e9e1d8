//! What the two sides of a set-up tell each other: a typed handshake over a socket.
//!
//! ```text
//! Born              from the inside, if hooks wait for it: its namespaces are there
//! Mapped            from here on from the host's side: the ids of a new user namespace are there
//! Namespace, Root,
//! Mount, Console    a descriptor each
//! Go                everything is there; the number is the process as the host sees it
//! ```
//! An end without `Go` means that the host's side failed, and has said why.

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use ashlar_sys::{process, socket};
use std::io;

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Topic {
    Born = 1,
    Mapped,
    Namespace,
    Root,
    Mount,
    Console,
    Go,
}

const TOPICS: [Topic; 7] =
    [Topic::Born, Topic::Mapped, Topic::Namespace, Topic::Root, Topic::Mount, Topic::Console, Topic::Go];

/// One message.
#[derive(Debug)]
pub(crate) struct Message {
    pub topic: Topic,
    /// Which mount or namespace; the process.
    pub number: u32,
    pub descriptor: Option<OwnedFd>,
}

const LENGTH: usize = 5;

/// One end.
#[derive(Debug)]
pub(crate) struct Channel(UnixStream);

/// The host's end and the inside's.
pub(crate) fn pair() -> io::Result<(Channel, Channel)> {
    UnixStream::pair().map(|(host, inside)| (Channel(host), Channel(inside)))
}

impl Channel {
    pub(crate) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub(crate) fn send(&self, topic: Topic, number: u32, descriptor: Option<&OwnedFd>) -> io::Result<()> {
        let mut bytes = [topic as u8; LENGTH];
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        let descriptors: Vec<RawFd> = descriptor.iter().map(|fd| fd.as_raw_fd()).collect();
        loop {
            match socket::send(&self.0, &bytes, &descriptors) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => drop(process::writable(self.0.as_fd())?),
                // A message is far smaller than what the socket takes or refuses as a whole.
                other => return other.map(drop),
            }
        }
    }

    /// Waits for the next message; `None` at the end.
    pub(crate) fn receive(&self) -> io::Result<Option<Message>> {
        let mut bytes = [0; LENGTH];
        loop {
            process::readable(&[self.0.as_fd()], -1)?;
            let Some(mut message) = socket::receive(&self.0, &mut bytes)? else { continue };
            if message.length == 0 {
                return Ok(None);
            }
            let topic = TOPICS.into_iter().find(|topic| *topic as u8 == bytes[0]);
            let (Some(topic), LENGTH) = (topic, message.length) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let number = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
            return Ok(Some(Message { topic, number, descriptor: message.descriptors.pop() }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_stay_apart() {
        let (host, inside) = pair().unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        let reader = OwnedFd::from(reader);
        host.send(Topic::Mapped, 0, None).unwrap();
        host.send(Topic::Mount, 7, Some(&reader)).unwrap();
        host.send(Topic::Go, 4711, None).unwrap();
        drop(host);
        let got: Vec<Message> = std::iter::from_fn(|| inside.receive().unwrap()).collect();
        let got: Vec<_> = got.iter().map(|m| (m.topic, m.number, m.descriptor.is_some())).collect();
        assert_eq!(got, [(Topic::Mapped, 0, false), (Topic::Mount, 7, true), (Topic::Go, 4711, false)]);
    }
}
