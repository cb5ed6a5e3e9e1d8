//! Varlink's framing from the calling side: JSON objects, each ended by a NUL byte; descriptors beside the first byte.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Error;
use crate::MESSAGE_LIMIT;

/// Standard input, output and error.
const DESCRIPTOR_LIMIT: usize = 3;

#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    input: Vec<u8>,
}

impl Connection {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { stream: UnixStream::connect(path)?, input: Vec::new() })
    }

    /// Sends a call of an interface; `more`: several replies are taken.
    pub(super) fn send(
        &mut self,
        interface: &str,
        method: &impl Serialize,
        more: bool,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), Error> {
        let named = json!(method).as_object_mut().and_then(|method| std::mem::take(method).into_iter().next());
        let (name, parameters) = named.unwrap_or_default();
        let mut call = json!({ "method": format!("{interface}.{name}"), "parameters": parameters });
        if more {
            call["more"] = true.into();
        }
        let mut bytes = call.to_string().into_bytes();
        bytes.push(0);
        let mut rest = bytes.as_slice();
        let mut descriptors = descriptors;
        while !rest.is_empty() {
            let sent = self.send_part(rest, descriptors)?;
            rest = &rest[sent..];
            // They have gone with the first byte.
            descriptors = &[];
        }
        Ok(())
    }

    fn send_part(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTOR_LIMIT))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many file descriptors for one call"));
        }
        let parts = [IoSlice::new(bytes)];
        Ok(rustix::io::retry_on_intr(|| sendmsg(&self.stream, &parts, &mut beside, SendFlags::NOSIGNAL))?)
    }

    pub(super) fn receive(&mut self) -> Result<Answer, Error> {
        let mut looked_at = 0;
        loop {
            if let Some(answer) = self.next(&mut looked_at)? {
                return Ok(answer);
            }
            self.fill(RecvFlags::empty())?;
        }
    }

    /// The next answer that is there without waiting for it.
    pub(super) fn pending(&mut self) -> Result<Option<Answer>, Error> {
        let mut looked_at = 0;
        loop {
            if let Some(answer) = self.next(&mut looked_at)? {
                return Ok(Some(answer));
            }
            match self.fill(RecvFlags::DONTWAIT) {
                Err(Error::Talk(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                other => other?,
            }
        }
    }

    /// The next whole answer of the input, which has none in its first `looked_at` bytes.
    fn next(&mut self, looked_at: &mut usize) -> Result<Option<Answer>, Error> {
        let Some(at) = self.input[*looked_at..].iter().position(|byte| *byte == 0) else {
            *looked_at = self.input.len();
            return Ok(None);
        };
        let end = *looked_at + at;
        let bytes: Vec<u8> = self.input.drain(..=end).collect();
        understand(&bytes[..end]).map(Some)
    }

    fn fill(&mut self, flags: RecvFlags) -> Result<(), Error> {
        if self.input.len() > MESSAGE_LIMIT {
            return Err(Error::Strange(format!("it is longer than {MESSAGE_LIMIT} bytes")));
        }
        let mut buffer = [0; 16 << 10];
        let received = rustix::io::retry_on_intr(|| recv(&self.stream, &mut buffer[..], flags));
        match received.map_err(io::Error::from)?.0 {
            0 => Err(Error::HungUp),
            count => {
                self.input.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// An answer: a reply, or a refusal by its name.
#[derive(Debug)]
pub(super) struct Answer {
    pub parameters: Value,
    pub error: Option<String>,
}

pub(super) fn understand(bytes: &[u8]) -> Result<Answer, Error> {
    let mut answer: Value = serde_json::from_slice(bytes).map_err(strange)?;
    let parameters = answer.get_mut("parameters").map_or_else(|| json!({}), Value::take);
    Ok(Answer { parameters, error: answer["error"].as_str().map(str::to_owned) })
}

impl Answer {
    /// The reply, or what `refusal` makes of the error that is the interface's own.
    pub(super) fn read<R: DeserializeOwned>(
        self,
        interface: &str,
        refusal: impl FnOnce(&str, &Value) -> Option<Error>,
    ) -> Result<R, Error> {
        let Some(error) = self.error else { return serde_json::from_value(self.parameters).map_err(strange) };
        let ours = error.strip_prefix(interface).and_then(|name| name.strip_prefix('.'));
        let refused = ours.and_then(|name| refusal(name, &self.parameters));
        Err(refused.unwrap_or_else(|| Error::Strange(format!("{error} {}", self.parameters))))
    }
}

fn strange(error: serde_json::Error) -> Error {
    Error::Strange(error.to_string())
}
