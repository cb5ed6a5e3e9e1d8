//! As much of an ELF file (gabi, 64-bit little-endian) as tells a shared library and its name.

/// `e_machine` of x86-64.
pub const X86_64: u16 = 62;
/// `e_machine` of arm64.
pub const AARCH64: u16 = 183;

const SHARED: u16 = 3;
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const END: u64 = 0;
const STRINGS: u64 = 5;
const SONAME: u64 = 14;
const SEGMENT: usize = 56;
const ITEM: usize = 16;
/// A library has some ten segments and some thirty items.
const MAX_SEGMENTS: usize = 64;
const MAX_ITEMS: usize = 256;

/// A shared library.
#[derive(Debug, PartialEq, Eq)]
pub struct Library {
    /// `e_machine`.
    pub machine: u16,
    /// Its own name, `libc.so.6`.
    pub soname: Option<String>,
}

/// `e_machine` of a 64-bit little-endian file.
pub fn machine(bytes: &[u8]) -> Option<u16> {
    bytes.starts_with(b"\x7fELF\x02\x01").then(|| half(bytes, 18)).flatten()
}

/// Reads a file; None if it is no shared library that is whole.
pub fn library(bytes: &[u8]) -> Option<Library> {
    let machine = machine(bytes).filter(|_| half(bytes, 16) == Some(SHARED))?;
    let table = usize::try_from(long(bytes, 32)?).ok()?;
    let count = usize::from(half(bytes, 56)?).min(MAX_SEGMENTS);
    let segments: Vec<Segment> =
        (0..count).filter_map(|at| Segment::read(bytes, table.checked_add(at * SEGMENT)?)).collect();
    let dynamic = segments.iter().find(|segment| segment.kind == DYNAMIC)?;
    let start = usize::try_from(dynamic.offset).ok()?;
    let items: Vec<(u64, u64)> = (0..MAX_ITEMS)
        .map_while(|at| Some((long(bytes, start.checked_add(at * ITEM)?)?, long(bytes, start + at * ITEM + 8)?)))
        .take_while(|(tag, _)| *tag != END)
        .collect();
    let value = |wanted| items.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
    let soname = value(SONAME).zip(value(STRINGS)).and_then(|(name, strings)| {
        let holds = |segment: &&Segment| {
            segment.kind == LOAD && strings.checked_sub(segment.address).is_some_and(|at| at < segment.size)
        };
        let segment = segments.iter().find(holds)?;
        let at = usize::try_from(segment.offset.checked_add(strings - segment.address)?.checked_add(name)?).ok()?;
        let text = bytes.get(at..)?.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(text).ok().filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned)
    });
    Some(Library { machine, soname })
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

impl Segment {
    fn read(bytes: &[u8], at: usize) -> Option<Self> {
        let kind = u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?);
        let (offset, address, size) = (long(bytes, at + 8)?, long(bytes, at + 16)?, long(bytes, at + 32)?);
        (offset.checked_add(size)? <= bytes.len() as u64).then_some(Self { kind, offset, address, size })
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_library() {
        let check = |bytes: &[u8]| assert_eq!(library(bytes), None, "{bytes:?}");
        check(b"");
        check(b"\x7fELF\x02\x01");
        check(b"#!/bin/sh\n");
        let mut header = vec![0u8; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[16] = 3;
        header[32..40].fill(0xff);
        header[56] = 9;
        check(&header);
    }
}
