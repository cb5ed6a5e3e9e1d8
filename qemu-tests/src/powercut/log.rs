//! What QEMU's filter `blklogwrites` recorded: every write of the guest with its bytes, and every flush, in the order in which
//! they were done (qemu/block/blklogwrites.c; the format is that of the kernel's dm-log-writes).

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// Bytes of a sector, on the medium and in the log.
pub const SECTOR: u64 = 512;
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const DISCARD: u64 = 4;

/// A write, or a part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Write {
    /// First sector on the medium.
    pub sector: u64,
    /// How many.
    pub count: u64,
    /// Where its bytes stand in the log, in sectors.
    pub place: u64,
}

impl Write {
    /// Some of its sectors.
    pub fn part(&self, first: u64, count: u64) -> Self {
        Self { sector: self.sector + first, count, place: self.place + first }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Bytes came.
    Write(Write),
    /// All that had come before stays.
    Flush,
}

/// A recording.
#[derive(Debug)]
pub struct Log {
    file: File,
    /// In order.
    pub entries: Vec<Entry>,
}

impl Log {
    /// Reads it to its end, which lies behind what its head counts if QEMU was killed.
    pub fn read(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        let mut log = Self { file, entries: Vec::new() };
        let head = log.numbers(0).context("read the log's head")?;
        ensure!(head[0] == MAGIC && head[1] == 1, "{} is no log of blklogwrites", path.display());
        let sectors = log.file.metadata()?.len() / SECTOR;
        let mut place = 1;
        while place < sectors {
            let [sector, count, flags, _] = log.numbers(place)?;
            place += 1;
            match flags {
                FLUSH => log.entries.push(Entry::Flush),
                DISCARD => bail!("the guest discards sectors: record it with discard=off"),
                0 if count == 0 || place + count > sectors => break,
                0 => {
                    log.entries.push(Entry::Write(Write { sector, count, place }));
                    place += count;
                }
                _ => bail!("sector {place} of {} has the flags {flags:#x}", path.display()),
            }
        }
        Ok(log)
    }

    fn numbers(&self, place: u64) -> Result<[u64; 4]> {
        let mut bytes = [0; 32];
        self.file.read_exact_at(&mut bytes, place * SECTOR)?;
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        Ok([number(0), number(8), number(16), number(24)])
    }

    /// Bytes of the log.
    pub fn read_at(&self, buffer: &mut [u8], place: u64) -> std::io::Result<()> {
        self.file.read_exact_at(buffer, place)
    }

    /// A write's bytes.
    pub fn bytes(&self, write: &Write) -> Result<Vec<u8>> {
        let mut bytes = vec![0; (write.count * SECTOR) as usize];
        self.file.read_exact_at(&mut bytes, write.place * SECTOR).context("read the log")?;
        Ok(bytes)
    }

    /// What lies between two flushes, in order: the entries' numbers.
    pub fn epochs(&self) -> Vec<std::ops::Range<usize>> {
        let mut epochs = Vec::new();
        let mut first = 0;
        for (number, entry) in self.entries.iter().enumerate() {
            if *entry == Entry::Flush {
                epochs.push(first..number);
                first = number + 1;
            }
        }
        epochs.push(first..self.entries.len());
        epochs.retain(|epoch| !epoch.is_empty());
        epochs
    }

    /// The writes of some entries.
    pub fn writes(&self, entries: std::ops::Range<usize>) -> impl Iterator<Item = Write> + '_ {
        self.entries[entries].iter().filter_map(|entry| match entry {
            Entry::Write(write) => Some(*write),
            Entry::Flush => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(numbers: [u64; 4]) -> Vec<u8> {
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.resize(SECTOR as usize, 0);
        bytes
    }

    #[test]
    fn a_log_is_read_to_its_end() {
        let path = std::env::temp_dir().join(format!("ashlar-log-{}", std::process::id()));
        let parts = [
            sector([MAGIC, 1, 1, 512]),
            sector([7, 2, 0, 0]),
            vec![0xaa; 1024],
            sector([0, 0, FLUSH, 0]),
            sector([9, 1, 0, 0]),
            vec![0xbb; 512],
            sector([11, 5, 0, 0]),
        ];
        std::fs::write(&path, parts.concat()).unwrap();
        let log = Log::read(&path).unwrap();
        let (first, second) = (Write { sector: 7, count: 2, place: 2 }, Write { sector: 9, count: 1, place: 6 });
        assert_eq!(log.entries, [Entry::Write(first), Entry::Flush, Entry::Write(second)]);
        assert_eq!(log.epochs(), [0..1, 2..3]);
        assert_eq!(log.bytes(&first.part(1, 1)).unwrap(), [0xaa; 512]);
        std::fs::remove_file(path).unwrap();
    }
}
