//! cpio archives in the "newc" form, which the kernel unpacks as its initramfs (kernel documentation,
//! driver-api/early-userspace/buffer-format). Everything belongs to root, inodes are counted from 1, and the time
//! is the caller's: the same files give the same bytes.

use std::io::{self, Write};

use crate::field;

const MAGIC: &[u8; 6] = b"070701";
const HEADER: usize = 110;
const TRAILER: &str = "TRAILER!!!";
const MAX_NAME: usize = 4096;
const MAX_ENTRIES: usize = 100_000;

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;

/// Writes an archive, entry by entry. A directory comes before what is in it.
pub struct Writer<W> {
    output: W,
    modified: u32,
    inode: u32,
}

impl<W: Write> Writer<W> {
    /// An archive whose entries all have that time, in seconds since 1970.
    pub fn new(output: W, modified: u32) -> Self {
        Self { output, modified, inode: 0 }
    }

    /// Adds a directory.
    ///
    /// # Errors
    /// Those of the output.
    pub fn directory(&mut self, path: &str, mode: u32) -> io::Result<()> {
        self.entry(path, DIRECTORY | mode, 2, &[])
    }

    /// Adds a file.
    ///
    /// # Errors
    /// Those of the output; the content has 4 GiB or more.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(path, FILE | mode, 1, content)
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// Those of the output.
    pub fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, SYMLINK | 0o777, 1, target.as_bytes())
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// Those of the output.
    pub fn finish(mut self) -> io::Result<W> {
        (self.inode, self.modified) = (0, 0);
        self.header(TRAILER, 0, 1, 0)?;
        Ok(self.output)
    }

    fn entry(&mut self, path: &str, mode: u32, links: u32, content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(|_| io::Error::other(format!("{path} has 4 GiB or more")))?;
        self.inode += 1;
        self.header(path, mode, links, size)?;
        self.output.write_all(content)?;
        self.pad(content.len())
    }

    fn header(&mut self, path: &str, mode: u32, links: u32, size: u32) -> io::Result<()> {
        let name_bytes = path.len() as u32 + 1;
        self.output.write_all(MAGIC)?;
        for number in [self.inode, mode, 0, 0, links, self.modified, size, 0, 0, 0, 0, name_bytes, 0] {
            write!(self.output, "{number:08x}")?;
        }
        self.output.write_all(path.as_bytes())?;
        self.output.write_all(&[0])?;
        self.pad(HEADER + path.len() + 1)
    }

    fn pad(&mut self, length: usize) -> io::Result<()> {
        self.output.write_all(&[0; 3][..length.next_multiple_of(4) - length])
    }
}

/// An entry that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Path as it stands in the archive.
    pub path: String,
    /// Kind and permissions, as in stat(2).
    pub mode: u32,
    /// Content, or a link's target.
    pub content: &'a [u8],
}

/// The archive is damaged.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read the cpio archive: {0}")]
pub struct Damaged(&'static str);

/// Reads the entries of an archive.
///
/// # Errors
/// It is damaged, of another form, or has too many entries.
pub fn read(bytes: &[u8]) -> Result<Vec<Entry<'_>>, Damaged> {
    let mut entries = Vec::new();
    let mut at = 0;
    while entries.len() < MAX_ENTRIES {
        let header = bytes.get(at..).and_then(|rest| rest.get(..HEADER)).ok_or(Damaged("it ends without a trailer"))?;
        if !header.starts_with(MAGIC) {
            return Err(Damaged("an entry does not begin as one"));
        }
        let [mode, size, name_bytes] = [1, 6, 11].map(|n| number(header, n));
        let (mode, size, name_bytes) = (mode?, size? as usize, name_bytes? as usize);
        if !(1..=MAX_NAME).contains(&name_bytes) {
            return Err(Damaged("a name's length is out of range"));
        }
        let name_at = at + HEADER;
        let content_at = (name_at + name_bytes).next_multiple_of(4);
        let name = bytes.get(name_at..name_at + name_bytes).ok_or(Damaged("it ends in a name"))?;
        let content = bytes.get(content_at..).and_then(|rest| rest.get(..size)).ok_or(Damaged("it ends in a file"))?;
        let path = field::text(name);
        if path == TRAILER {
            return Ok(entries);
        }
        entries.push(Entry { path, mode, content });
        at = (content_at + size).next_multiple_of(4);
    }
    Err(Damaged("it has too many entries"))
}

fn number(header: &[u8], n: usize) -> Result<u32, Damaged> {
    let digits = std::str::from_utf8(&header[6 + 8 * n..14 + 8 * n]).ok();
    let digits = digits.filter(|text| text.bytes().all(|c| c.is_ascii_hexdigit()));
    digits.and_then(|text| u32::from_str_radix(text, 16).ok()).ok_or(Damaged("a number in it is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), 1_700_000_000);
        writer.directory("dev", 0o755).unwrap();
        writer.file("init", 0o755, b"hello").unwrap();
        writer.file("empty", 0o644, b"").unwrap();
        writer.symlink("link", "init").unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn reads_what_it_writes() {
        let bytes = archive();
        assert!(bytes.len().is_multiple_of(4));
        assert_eq!(bytes, archive());
        let entries = read(&bytes).unwrap();
        let found: Vec<_> = entries.iter().map(|entry| (entry.path.as_str(), entry.mode, entry.content)).collect();
        let expect: [(&str, u32, &[u8]); 4] = [
            ("dev", 0o040_755, b""),
            ("init", 0o100_755, b"hello"),
            ("empty", 0o100_644, b""),
            ("link", 0o120_777, b"init"),
        ];
        assert_eq!(found, expect);
    }

    #[test]
    fn refuses_damage() {
        #[track_caller]
        fn check(at: usize, value: &[u8], part: &str) {
            let mut bytes = archive();
            field::put(&mut bytes, at, value);
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        check(0, b"070702", "does not begin");
        check(6 + 48, b"ffffffff", "ends in a file");
        check(6 + 88, b"ffffffff", "name's length");
        check(6 + 88, b"00000000", "name's length");
        check(6 + 88, b"00000fff", "ends in a name");
        check(6 + 8, b"+0000001", "a number in it");
        let bytes = archive();
        assert_eq!(read(&bytes[..bytes.len() - 124]), Err(Damaged("it ends without a trailer")));
    }
}
