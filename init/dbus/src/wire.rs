//! Messages as bytes: the header, and the body by zbus's codec (D-Bus Specification, "Message Format").
//!
//! Everything that comes in has a longest length; what is longer, or no message, ends its connection.

use std::os::fd::OwnedFd;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{BE, Endian, LE, to_bytes};
use zbus::{DynamicType, Type, Variant};

/// Longest message that is taken. The specification's limit is 128 MiB; no call of ours needs more than a page or two.
pub const LIMIT: usize = 1 << 20;
/// Most file descriptors beside a message.
pub const DESCRIPTOR_LIMIT: usize = 64;

/// The sender wants no reply.
pub const NO_REPLY: u8 = 1;

/// What a message is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    #[default]
    Call,
    Reply,
    Error,
    Signal,
}

const KINDS: [Kind; 4] = [Kind::Call, Kind::Reply, Kind::Error, Kind::Signal];

/// The fields of a header that are used here; empty and 0 where they are absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub flags: u8,
    pub serial: u32,
    pub path: String,
    pub interface: String,
    pub member: String,
    pub error: String,
    pub reply_to: u32,
    pub destination: String,
    pub sender: String,
}

/// Arguments: their signature, and their bytes.
#[derive(Debug)]
pub struct Body {
    signature: String,
    data: Data<'static, 'static>,
}

/// A message.
#[derive(Debug)]
pub struct Message {
    pub header: Header,
    pub body: Body,
}

/// These bytes are no message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

mod field {
    pub const PATH: u8 = 1;
    pub const INTERFACE: u8 = 2;
    pub const MEMBER: u8 = 3;
    pub const ERROR: u8 = 4;
    pub const REPLY_TO: u8 = 5;
    pub const DESTINATION: u8 = 6;
    pub const SENDER: u8 = 7;
    pub const SIGNATURE: u8 = 8;
    pub const DESCRIPTORS: u8 = 9;
}

/// Endianness, kind, flags, version, length of the body, serial, fields.
type Raw<'a> = (u8, u8, u8, u8, u32, u32, Vec<(u8, Variant<'a>)>);

/// Bytes before the fields, the length of these included.
const FIXED: usize = 16;

/// Length of the message that begins with `bytes`; `None` while that cannot be said.
///
/// # Errors
/// No message begins so.
pub fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    if bytes.len() < FIXED {
        return Ok(None);
    }
    let endian = endian(bytes[0])?;
    let number = |at: usize| {
        let word = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let number = if endian == LE { u32::from_le_bytes(word) } else { u32::from_be_bytes(word) };
        number as usize
    };
    let length = number(12).next_multiple_of(8).saturating_add(FIXED).saturating_add(number(4));
    if length > LIMIT {
        return Err(Malformed("it is too long"));
    }
    Ok(Some(length))
}

fn endian(byte: u8) -> Result<Endian, Malformed> {
    match byte {
        b'l' => Ok(LE),
        b'B' => Ok(BE),
        _ => Err(Malformed("it begins with neither l nor B")),
    }
}

impl Message {
    /// Reads one whole message. `descriptors` are those that came since the one before; its own are taken out.
    ///
    /// # Errors
    /// It is none.
    pub fn read(bytes: &[u8], descriptors: &mut Vec<OwnedFd>) -> Result<Self, Malformed> {
        let endian = endian(*bytes.first().ok_or(Malformed("it is empty"))?)?;
        let data = Data::new(bytes, Context::new(endian, 0));
        let (raw, used): (Raw<'_>, usize) = data.deserialize().map_err(|_| Malformed("its header cannot be read"))?;
        let (_, kind, flags, version, body_length, serial, fields) = raw;
        let kind = usize::from(kind).checked_sub(1).and_then(|at| KINDS.get(at)).ok_or(Malformed("unknown kind"))?;
        if version != 1 || serial == 0 {
            return Err(Malformed("its version or serial is wrong"));
        }
        let mut header = Header { kind: *kind, flags, serial, ..Header::default() };
        let (mut signature, mut count) = (String::new(), 0);
        for (code, value) in fields {
            header.take(code, &value, &mut signature, &mut count)?;
        }
        let start = used.next_multiple_of(8);
        let body = bytes.get(start..).filter(|body| body.len() == body_length as usize);
        let body = body.ok_or(Malformed("its body has another length than it says"))?;
        if count > descriptors.len() {
            return Err(Malformed("it has fewer file descriptors than it says"));
        }
        let own: Vec<OwnedFd> = descriptors.drain(..count).collect();
        header.check()?;
        let data = Data::new_fds(body.to_vec(), Context::new(endian, 0), own);
        Ok(Self { header, body: Body { signature, data } })
    }

    /// Its bytes, with this serial.
    pub fn write(&self, serial: u32) -> Vec<u8> {
        let kind = KINDS.iter().position(|kind| *kind == self.header.kind).unwrap_or(0) as u8 + 1;
        let body = self.body.data.bytes();
        let mut bytes = vec![b'l', kind, self.header.flags, 1];
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&serial.to_le_bytes());
        // The length of the fields, once it is known.
        bytes.extend_from_slice(&[0; 4]);
        self.write_fields(&mut bytes);
        let length = (bytes.len() - FIXED) as u32;
        bytes[12..FIXED].copy_from_slice(&length.to_le_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend_from_slice(body);
        bytes
    }

    /// The codec would put a signature of several types into brackets, as if it were that of one structure.
    fn write_fields(&self, bytes: &mut Vec<u8>) {
        let header = &self.header;
        let texts = [
            (field::PATH, b'o', &header.path),
            (field::INTERFACE, b's', &header.interface),
            (field::MEMBER, b's', &header.member),
            (field::ERROR, b's', &header.error),
            (field::DESTINATION, b's', &header.destination),
            (field::SENDER, b's', &header.sender),
        ];
        for (code, kind, text) in texts.into_iter().filter(|(.., text)| !text.is_empty()) {
            begin_field(bytes, code, kind);
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
            bytes.push(0);
        }
        let descriptors = self.body.data.fds().len() as u32;
        for (code, number) in [(field::REPLY_TO, header.reply_to), (field::DESCRIPTORS, descriptors)] {
            if number != 0 {
                begin_field(bytes, code, b'u');
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        let signature = &self.body.signature;
        if !signature.is_empty() {
            begin_field(bytes, field::SIGNATURE, b'g');
            bytes.push(signature.len() as u8);
            bytes.extend_from_slice(signature.as_bytes());
            bytes.push(0);
        }
    }

    /// The descriptors that go with it.
    pub fn descriptors(&self) -> Vec<OwnedFd> {
        use std::os::fd::AsFd;
        self.body.data.fds().iter().filter_map(|fd| fd.as_fd().try_clone_to_owned().ok()).collect()
    }

    /// A reply to it.
    pub fn reply(&self, body: Body) -> Self {
        self.answer(Kind::Reply, "", body)
    }

    /// An error in answer to it.
    pub fn refuse(&self, name: &str, text: &str) -> Self {
        self.answer(Kind::Error, name, Body::of(&(text,)))
    }

    fn answer(&self, kind: Kind, error: &str, body: Body) -> Self {
        let header = Header {
            kind,
            flags: NO_REPLY,
            reply_to: self.header.serial,
            destination: self.header.sender.clone(),
            error: error.to_owned(),
            ..Header::default()
        };
        Self { header, body }
    }

    /// A signal.
    pub fn signal(path: &str, interface: &str, member: &str, body: Body) -> Self {
        let (path, interface, member) = (path.to_owned(), interface.to_owned(), member.to_owned());
        Self {
            header: Header { kind: Kind::Signal, flags: NO_REPLY, path, interface, member, ..Header::default() },
            body,
        }
    }

    /// A call.
    pub fn call(destination: &str, path: &str, interface: &str, member: &str, body: Body) -> Self {
        let mut message = Self::signal(path, interface, member, body);
        (message.header.kind, message.header.flags) = (Kind::Call, 0);
        message.header.destination = destination.to_owned();
        message
    }

    /// The same message again.
    pub fn copy(&self) -> Self {
        let body = Body { signature: self.body.signature.clone(), data: self.body.data.clone() };
        Self { header: self.header.clone(), body }
    }

    /// Whether its sender waits for an answer.
    pub fn wants_reply(&self) -> bool {
        self.header.kind == Kind::Call && self.header.flags & NO_REPLY == 0
    }
}

/// A field's code and the signature of its value; what follows is at a multiple of four.
fn begin_field(bytes: &mut Vec<u8>, code: u8, kind: u8) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend_from_slice(&[code, 1, kind, 0]);
}

impl Header {
    fn take(
        &mut self,
        code: u8,
        value: &Variant<'_>,
        signature: &mut String,
        descriptors: &mut usize,
    ) -> Result<(), Malformed> {
        let text = match value {
            Variant::Str(text) => text.to_string(),
            Variant::ObjectPath(path) => path.to_string(),
            Variant::Signature(signature) => signature.to_string_no_parens(),
            _ => String::new(),
        };
        let number = if let Variant::U32(number) = value { *number } else { 0 };
        match (code, value) {
            (field::PATH, Variant::ObjectPath(_)) => self.path = text,
            (field::INTERFACE, Variant::Str(_)) => self.interface = text,
            (field::MEMBER, Variant::Str(_)) => self.member = text,
            (field::ERROR, Variant::Str(_)) => self.error = text,
            (field::DESTINATION, Variant::Str(_)) => self.destination = text,
            (field::SENDER, Variant::Str(_)) => self.sender = text,
            (field::SIGNATURE, Variant::Signature(_)) => *signature = text,
            (field::REPLY_TO, Variant::U32(_)) => self.reply_to = number,
            (field::DESCRIPTORS, Variant::U32(_)) => *descriptors = number as usize,
            (field::PATH..=field::DESCRIPTORS, _) => return Err(Malformed("a field of its header has a wrong type")),
            _ => {}
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Malformed> {
        let missing = match self.kind {
            Kind::Call => self.path.is_empty() || self.member.is_empty(),
            Kind::Signal => self.path.is_empty() || self.member.is_empty() || self.interface.is_empty(),
            Kind::Reply => self.reply_to == 0,
            Kind::Error => self.reply_to == 0 || self.error.is_empty(),
        };
        if missing { Err(Malformed("its header lacks a field")) } else { Ok(()) }
    }
}

impl Body {
    /// No arguments.
    pub fn empty() -> Self {
        Self { signature: String::new(), data: Data::new(Vec::new(), Context::new(LE, 0)) }
    }

    /// A tuple of arguments.
    pub fn of<T: Serialize + DynamicType>(arguments: &T) -> Self {
        match to_bytes(Context::new(LE, 0), arguments) {
            Ok(data) => Self { signature: arguments.signature().to_string_no_parens(), data },
            // Text with a NUL byte, or an impossible path: nothing that we make of a unit's name or state has either.
            Err(_) => Self::empty(),
        }
    }

    /// The signature of the arguments.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// The arguments, as a tuple; `None` when they are of other types.
    pub fn get<T: DeserializeOwned + Type>(&self) -> Option<T> {
        let expected = T::SIGNATURE.to_string_no_parens();
        (expected == self.signature).then(|| self.data.deserialize().ok().map(|(value, _)| value))?
    }

    /// The same, with what refers to the message itself, such as variants and file descriptors.
    pub fn borrow<'a, T: Deserialize<'a> + Type>(&'a self) -> Option<T> {
        let expected = T::SIGNATURE.to_string_no_parens();
        (expected == self.signature).then(|| self.data.deserialize().ok().map(|(value, _)| value))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(message: &Message) -> Message {
        let bytes = message.write(7);
        assert_eq!(length(&bytes), Ok(Some(bytes.len())));
        Message::read(&bytes, &mut message.descriptors()).unwrap()
    }

    #[test]
    fn comes_back_as_it_went() {
        let call = Message::call("a.b", "/a", "a.B", "C", Body::of(&("x", 7u32, vec![("k", Variant::Bool(true))])));
        let read = round(&call);
        assert_eq!(read.header, Header { serial: 7, ..call.header.clone() });
        assert_eq!(read.body.signature(), "sua(sv)");
        // As others have it, without brackets.
        assert!(call.write(1).windows(9).any(|bytes| bytes == b"\x07sua(sv)\0"));
        let (text, number, list) = read.body.borrow::<(String, u32, Vec<(String, Variant<'_>)>)>().unwrap();
        assert_eq!((text.as_str(), number, list.len()), ("x", 7, 1));
        assert_eq!(read.body.get::<(String,)>(), None);
        let reply = read.reply(Body::empty());
        assert_eq!((reply.header.reply_to, round(&reply).body.signature()), (7, ""));
        let error = round(&read.refuse("a.E", "no"));
        assert_eq!((error.header.kind, error.header.error.as_str()), (Kind::Error, "a.E"));
        assert_eq!(error.body.get::<(String,)>().unwrap().0, "no");
    }

    #[test]
    fn descriptors_come_along() {
        use std::os::fd::AsFd;
        let file = std::fs::File::open("/dev/null").unwrap();
        let body = Body::of(&(zbus::Fd::from(file.as_fd()),));
        let read = round(&Message::signal("/a", "a.B", "C", body));
        assert_eq!((read.body.signature(), read.descriptors().len()), ("h", 1));
        let bytes = Message::signal("/a", "a.B", "C", Body::of(&(zbus::Fd::from(file.as_fd()),))).write(1);
        assert!(Message::read(&bytes, &mut Vec::new()).is_err());
    }

    #[test]
    fn damage_is_refused_and_never_panics() {
        let whole = Message::call("a.b", "/a", "a.B", "C", Body::of(&("x", vec![1u32, 2]))).write(1);
        let mut seed = 1u32;
        for _ in 0..20_000 {
            let mut bytes = whole.clone();
            for _ in 0..=seed % 4 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let at = (seed >> 8) as usize % bytes.len();
                bytes[at] = (seed >> 3) as u8;
            }
            if let Ok(Some(_)) = length(&bytes)
                && let Ok(message) = Message::read(&bytes, &mut Vec::new())
            {
                let _ = message.body.get::<(String, Vec<u32>)>();
            }
        }
        assert!(length(b"l\x01\0\x01\xff\xff\xff\x07\x01\0\0\0\0\0\0\0").is_err());
        assert_eq!(length(b"l\x01"), Ok(None));
        assert!(length(b"GET / HTTP/1.0\r\n\r\n").is_err());
    }
}
