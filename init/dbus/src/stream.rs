//! One connection: bytes and descriptors in and out, in bounds. It never waits.
//!
//! Who sends no message is hung up on; so is who does not read what was asked for.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use ashlar_sys::socket;

use crate::wire::{self, DESCRIPTOR_LIMIT, Message};

/// Most bytes that wait to be taken. A list of a thousand units has a quarter of a million.
const QUEUE_LIMIT: usize = 16 << 20;
/// Most bytes that one turn reads of one connection, so that a flood is everybody's turn.
const TURN: usize = 256 << 10;

/// A connection.
#[derive(Debug)]
pub struct Stream {
    fd: OwnedFd,
    /// What came and was not yet looked at.
    pub input: Vec<u8>,
    descriptors: Vec<OwnedFd>,
    output: VecDeque<(Vec<u8>, Vec<OwnedFd>)>,
    /// Bytes of the first piece of `output` that are gone, and of all pieces together.
    sent: usize,
    queued: usize,
    serial: u32,
}

impl Stream {
    /// Over a socket that does not block.
    pub fn new(fd: OwnedFd) -> Self {
        let (input, descriptors, output) = Default::default();
        Self { fd, input, descriptors, output, sent: 0, queued: 0, serial: 0 }
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// It is closed, or sends descriptors that belong to nothing.
    pub fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16 << 10];
        let mut taken = 0;
        while taken < TURN {
            match socket::receive(&self.fd, &mut buffer) {
                Ok(None) => return Ok(()),
                Ok(Some(message)) if message.length == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Some(message)) => {
                    self.input.extend_from_slice(&buffer[..message.length]);
                    self.descriptors.extend(message.descriptors);
                    taken += message.length;
                    if self.descriptors.len() > DESCRIPTOR_LIMIT {
                        return Err(io::Error::other("too many file descriptors"));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next whole message.
    ///
    /// # Errors
    /// What came is none.
    pub fn next(&mut self) -> Result<Option<Message>, wire::Malformed> {
        let Some(length) = wire::length(&self.input)?.filter(|length| *length <= self.input.len()) else {
            return Ok(None);
        };
        let message = Message::read(&self.input[..length], &mut self.descriptors)?;
        self.input.drain(..length);
        Ok(Some(message))
    }

    /// Queues a message; returns its serial.
    pub fn send(&mut self, message: &Message) -> u32 {
        self.serial = self.serial.wrapping_add(1).max(1);
        self.queue(message.write(self.serial), message.descriptors());
        self.serial
    }

    /// Queues bytes.
    pub fn queue(&mut self, bytes: Vec<u8>, descriptors: Vec<OwnedFd>) {
        if !bytes.is_empty() {
            self.queued += bytes.len();
            self.output.push_back((bytes, descriptors));
        }
    }

    /// Writes what the other side takes.
    ///
    /// # Errors
    /// It is gone, or takes nothing for too long.
    pub fn write(&mut self) -> io::Result<()> {
        while let Some((bytes, descriptors)) = self.output.front_mut() {
            let numbers: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
            match socket::send(&self.fd, &bytes[self.sent..], &numbers) {
                Ok(count) => {
                    // They have gone with the first byte.
                    descriptors.clear();
                    self.sent += count;
                    self.queued -= count;
                    if self.sent == bytes.len() {
                        self.output.pop_front();
                        self.sent = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if self.queued > QUEUE_LIMIT { Err(io::Error::other("it does not read")) } else { Ok(()) }
    }

    /// Whether something waits to be taken.
    pub fn is_behind(&self) -> bool {
        self.queued > 0
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Body;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn pair() -> (Stream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Stream::new(ours.into()), theirs)
    }

    #[test]
    fn messages_come_whole_and_in_order() {
        let (mut stream, mut other) = pair();
        let bytes = |member| Message::call("a.b", "/a", "a.B", member, Body::empty()).write(1);
        let both = [bytes("One"), bytes("Two")].concat();
        other.write_all(&both[..both.len() - 3]).unwrap();
        stream.read().unwrap();
        assert_eq!(stream.next().unwrap().unwrap().header.member, "One");
        assert!(stream.next().unwrap().is_none());
        other.write_all(&both[both.len() - 3..]).unwrap();
        stream.read().unwrap();
        assert_eq!(stream.next().unwrap().unwrap().header.member, "Two");
        drop(other);
        assert!(stream.read().is_err());
    }

    #[test]
    fn who_does_not_read_is_given_up() {
        let (mut stream, _other) = pair();
        let fails = (0..40).any(|_| {
            stream.queue(vec![0; 1 << 20], Vec::new());
            stream.write().is_err()
        });
        assert!(fails);
    }

    #[test]
    fn noise_is_no_message() {
        let (mut stream, mut other) = pair();
        other.write_all(&[b'x'; 64]).unwrap();
        stream.read().unwrap();
        assert!(stream.next().is_err());
    }
}
