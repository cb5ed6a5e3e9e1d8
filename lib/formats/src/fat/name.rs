//! Names in directory entries: short ones (8.3), and the long ones that stand before them.

use std::collections::BTreeSet;

use super::{ENTRY, LONG_NAME};
use crate::field::{put, u16};

/// Characters of a long name in one entry.
const PART: usize = 13;
/// UTF-16 units of a long name.
const MAX: usize = 255;
/// Where an entry of a long name holds its characters.
const PLACES: [usize; PART] = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
const LAST: u8 = 0x40;

/// A short name as it is stored: 8 and 3 characters, filled up with blanks.
pub type Short = [u8; 11];

/// Whether FAT can hold a name.
pub fn check(name: &str) -> Result<(), &'static str> {
    let is_bad = |c: char| c < ' ' || "\"*/:<>?\\|".contains(c);
    match name {
        "" | "." | ".." => Err("is empty or a directory's own"),
        _ if name.ends_with(['.', ' ']) => Err("ends in a dot or blank"),
        _ if name.contains(is_bad) => Err("has a character that FAT does not allow"),
        _ if name.encode_utf16().count() > MAX => Err("is longer than 255 characters"),
        _ => Ok(()),
    }
}

/// How many entries a name takes.
pub fn entries(name: &str) -> usize {
    match exact(name) {
        Some(_) => 1,
        None => 1 + name.encode_utf16().count().div_ceil(PART),
    }
}

/// The short name for a name that is one by itself.
fn exact(name: &str) -> Option<Short> {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let plain = |text: &str| text.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_');
    let fits = (1..=8).contains(&stem.len()) && extension.len() <= 3 && plain(stem) && plain(extension);
    (fits && name.contains('.') != extension.is_empty()).then(|| short(stem, extension))
}

fn short(stem: &str, extension: &str) -> Short {
    let mut short = [b' '; 11];
    put(&mut short, 0, stem.as_bytes());
    put(&mut short, 8, extension.as_bytes());
    short
}

/// A short name that no other name of the directory has, and the entries of the long name before it, if it needs
/// one.
pub fn encode(name: &str, taken: &mut BTreeSet<Short>) -> (Vec<u8>, Short) {
    if let Some(short) = exact(name) {
        taken.insert(short);
        return (Vec::new(), short);
    }
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let plain = |text: &str, length: usize| -> String {
        text.chars().filter(char::is_ascii_alphanumeric).take(length).collect::<String>().to_ascii_uppercase()
    };
    let (stem, extension) = (plain(stem, 8), plain(extension, 3));
    let numbered = |n: u32| {
        let tail = format!("~{n}");
        short(&format!("{}{tail}", &stem[..stem.len().min(8 - tail.len())]), &extension)
    };
    let free = (1..1_000_000).map(numbered).find(|short| !taken.contains(short)).unwrap_or_else(|| numbered(0));
    taken.insert(free);
    (long(name, checksum(&free)), free)
}

/// The entries of a long name: the last part first.
fn long(name: &str, checksum: u8) -> Vec<u8> {
    let units: Vec<u16> = name.encode_utf16().collect();
    let count = units.len().div_ceil(PART);
    let parts = units.chunks(PART).enumerate().rev();
    let entries = parts.map(|(n, part)| {
        let mut entry = [0; ENTRY];
        entry[0] = (n as u8 + 1) | if n + 1 == count { LAST } else { 0 };
        entry[11] = LONG_NAME;
        entry[13] = checksum;
        for (n, at) in PLACES.into_iter().enumerate() {
            let fill = if n == part.len() { 0 } else { 0xffff };
            put(&mut entry, at, &part.get(n).copied().unwrap_or(fill).to_le_bytes());
        }
        entry
    });
    entries.flatten().collect()
}

pub fn checksum(short: &Short) -> u8 {
    short.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
}

/// Puts a long name together while its entries are read.
#[derive(Default)]
pub struct Collector {
    units: Vec<u16>,
    next: u8,
    checksum: u8,
}

impl Collector {
    /// Takes one of the entries that stand before a short one.
    pub fn take(&mut self, entry: &[u8]) {
        let n = entry[0] & !LAST;
        if entry[0] & LAST != 0 && (1..=20).contains(&n) {
            *self = Self { units: Vec::new(), next: n, checksum: entry[13] };
        }
        if n == 0 || n != self.next || entry[13] != self.checksum {
            *self = Self::default();
            return;
        }
        self.next = n - 1;
        let part: Vec<u16> = PLACES.iter().map(|at| u16(entry, *at)).collect();
        self.units.splice(..0, part);
    }

    /// The name of the short entry that follows: the long one, if it is whole and belongs to it.
    pub fn name(&mut self, entry: &[u8]) -> String {
        let collected = std::mem::take(self);
        let short: Short = crate::field::array(entry, 0);
        if collected.next == 0 && !collected.units.is_empty() && collected.checksum == checksum(&short) {
            let units: Vec<u16> = collected.units.into_iter().take_while(|unit| *unit != 0).collect();
            return String::from_utf16_lossy(&units);
        }
        // Windows and Linux keep in byte 12 which half is in small letters.
        let half = |part: &[u8], small: u8| {
            let text = String::from_utf8_lossy(part).trim_end().to_owned();
            if entry[12] & small == 0 { text } else { text.to_lowercase() }
        };
        let (stem, extension) = (half(&short[..8], 0x08), half(&short[8..], 0x10));
        if extension.is_empty() { stem } else { format!("{stem}.{extension}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_entries() {
        fn check(name: &str, expect: usize) {
            let (long, _) = encode(name, &mut BTreeSet::new());
            assert_eq!((entries(name), long.len() / ENTRY + 1), (expect, expect), "{name}");
        }
        check("EFI", 1);
        check("BOOTX64.EFI", 1);
        check("loader.conf", 2);
        check("A.B.C", 2);
        check(".TXT", 2);
        check("ashlar_0.1.0.efi", 3);
        check("ashlar_2026.11.25+3-0.efi1", 3);
        check("ashlar_2026.11.25+3-0.efi12", 4);
    }

    #[test]
    fn gives_each_its_own_short_name() {
        let mut taken = BTreeSet::new();
        let mut short = |name: &str| encode(name, &mut taken).1;
        assert_eq!(&short("BOOTX64.EFI"), b"BOOTX64 EFI");
        assert_eq!(&short("ashlar_1.0.efi"), b"ASHLAR~1EFI");
        assert_eq!(&short("ashlar_1.1.efi"), b"ASHLAR~2EFI");
        assert_eq!(&short("größe"), b"GRE~1      ");
    }

    #[test]
    fn refuses_names() {
        fn check(name: &str, expect: bool) {
            assert_eq!(super::check(name).is_ok(), expect, "{name}");
        }
        check("ashlar_1.0+3-0.efi", true);
        check("größe", true);
        check(&"x".repeat(255), true);
        check(&"x".repeat(256), false);
        check("", false);
        check("..", false);
        check("a:b", false);
        check("a\\b", false);
        check("a.", false);
        check("a\n", false);
    }
}
