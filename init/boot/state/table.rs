//! A partition table is changed so that whatever is cut, what is read afterwards is the old table or the new one.

use std::io::{self, Seek, Write};

use ashlar_formats::gpt::Table;

/// A disk whose writes can be made durable.
pub trait Durable: Write + Seek {
    /// Returns when all that was written is on the medium.
    fn make_durable(&mut self) -> io::Result<()>;
}

impl Durable for std::fs::File {
    fn make_durable(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// The backup first: until it is durable, the primary says what it said before; from then on, where the primary is
/// damaged, the backup says what it would have said.
pub fn write(table: &Table, disk: &mut impl Durable) -> io::Result<()> {
    table.write_backup(disk)?;
    disk.make_durable()?;
    table.write_primary(disk)?;
    disk.make_durable()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read, SeekFrom};

    use super::*;
    use crate::plan::{BEGUN, COMPLETE, LEAST, plan};
    use ashlar_formats::gpt::{Found, Partition, types};
    use ashlar_formats::uuid::Uuid;

    const SECTOR: usize = 512;
    const DISK: u64 = LEAST + (8 << 20);

    /// A disk that takes so many sectors, and then has no power any more.
    #[derive(Clone, Default)]
    struct Failing {
        sectors: BTreeMap<u64, Vec<u8>>,
        at: u64,
        left: usize,
    }

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::BrokenPipe)?;
            let bytes = &bytes[..bytes.len().min(SECTOR)];
            self.sectors.insert(self.at / SECTOR as u64, bytes.to_vec());
            self.at += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Read for Failing {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let length = bytes.len().min(SECTOR);
            match self.sectors.get(&(self.at / SECTOR as u64)) {
                Some(sector) => bytes[..length].copy_from_slice(&sector[..length]),
                None => bytes[..length].fill(0),
            }
            self.at += length as u64;
            Ok(length)
        }
    }

    impl Seek for Failing {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.at = match to {
                SeekFrom::Start(at) => at,
                SeekFrom::End(by) => DISK.saturating_add_signed(by),
                SeekFrom::Current(by) => self.at.saturating_add_signed(by),
            };
            Ok(self.at)
        }
    }

    impl Durable for Failing {
        fn make_durable(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The shipped disk: its table ends where the image ended, before the medium does.
    fn shipped() -> Failing {
        let mut table = Table::new(Uuid([1; 16]), 512, 4 << 20).unwrap();
        let root = ("root-a".to_owned(), types::ROOT_X86_64, Uuid([2; 16]));
        let (name, type_id, id) = root;
        table.add(Partition { type_id, id, first: 2048, last: 4095, attributes: 0, name }).unwrap();
        let mut disk = Failing { left: usize::MAX, ..Failing::default() };
        table.write(&mut disk).unwrap();
        disk
    }

    fn read(disk: &Failing) -> Found {
        Table::read(&mut disk.clone()).unwrap()
    }

    fn labels(disk: &Failing) -> Vec<String> {
        read(disk).table.partitions().map(|(_, partition)| partition.name.clone()).collect()
    }

    /// Writes with ever more sectors; returns the whole result and how often the old table was read until the new one was.
    fn cut_everywhere(before: &Failing, table: &Table, old: &[&str], new: &[&str]) -> (Failing, usize) {
        let mut olds = 0;
        for left in 0.. {
            let mut disk = Failing { left, ..before.clone() };
            let is_whole = write(table, &mut disk).is_ok();
            let labels = labels(&disk);
            assert!(labels == old || labels == new, "cut after {left} sectors: {labels:?}");
            assert!(labels == new || olds == left, "cut after {left} sectors: old again");
            olds += usize::from(labels == old);
            if is_whole {
                return (disk, olds);
            }
        }
        unreachable!()
    }

    #[test]
    fn every_cut_leaves_the_old_table_or_the_new_one() {
        let shipped = shipped();
        let first = plan(read(&shipped), DISK, Uuid([3; 16])).unwrap();
        let (begun, olds) = cut_everywhere(&shipped, &first.table, &["root-a"], &["root-a", BEGUN]);
        assert!(olds > 32, "the primary is written last");
        let mut complete = first.table.clone();
        complete.rename(first.number, COMPLETE).unwrap();
        let (disk, _) = cut_everywhere(&begun, &complete, &["root-a", BEGUN], &["root-a", COMPLETE]);
        let again = plan(read(&disk), DISK, Uuid([4; 16])).unwrap();
        assert!(!again.is_change && !again.is_new);
    }
}
