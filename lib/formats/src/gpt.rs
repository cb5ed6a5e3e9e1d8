//! GUID partition tables (UEFI specification 2.10, chapter 5), primary, backup and protective MBR.
//!
//! [`Table`] is the whole table as a value: read it, change it, write it. `read` and `write` hold what the bytes
//! look like. Numbers of sectors are counted in the disk's logical sectors, 512 or 4096 bytes.
//!
//! A table on a disk is changed by writing the backup, making it durable, and only then writing the primary:
//! whatever is cut in between, one of the two is whole. Sorting out what that one says is the caller's: a
//! change is computed again from what was read.

mod read;
#[cfg(test)]
mod tests;
pub mod types;
mod write;

use std::io;

pub use read::{Found, Which};

use crate::uuid::Uuid;

/// Partitions begin and end at multiples of this many bytes.
pub const ALIGNMENT: u64 = 1 << 20;
/// Entries of a table that is made here, and what the specification asks for at least.
const ENTRIES: usize = 128;
/// Size of an entry; larger ones are allowed by the specification and made by nobody.
const ENTRY_BYTES: usize = 128;
const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const HEADER_BYTES: usize = 92;
/// UTF-16 units of a name.
const MAX_NAME: usize = 36;

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The disk's own GUID.
    pub disk_id: Uuid,
    sector_bytes: u64,
    /// Sectors of the disk, as far as the table knows: the backup's header is in the last of them.
    sectors: u64,
    first_usable: u64,
    last_usable: u64,
    /// Where the primary's entries begin.
    entries_at: u64,
    entries: Vec<Option<Partition>>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What is in it: one of [`types`].
    pub type_id: Uuid,
    /// Its own GUID.
    pub id: Uuid,
    /// First sector.
    pub first: u64,
    /// Last sector, which belongs to it.
    pub last: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// Label of at most 36 UTF-16 units.
    pub name: String,
}

/// A partition table cannot be read, changed or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk cannot be read or written.
    #[error("access the disk's partition table")]
    Disk(#[from] io::Error),
    /// There is none.
    #[error("read the partition table: the disk has no GPT")]
    None,
    /// Both copies are damaged; this is what is wrong with the first of them.
    #[error("read the partition table: {0}")]
    Damaged(&'static str),
    /// The disk is too small for a table.
    #[error("make a partition table: the disk of {0} bytes is too small for one")]
    TooSmall(u64),
    /// A partition lies outside the disk's usable sectors or on another one.
    #[error("add partition {name}: sectors {first} to {last} are not free")]
    Place {
        /// Label.
        name: String,
        /// First sector.
        first: u64,
        /// Last sector.
        last: u64,
    },
    /// The label does not fit.
    #[error("add partition {0:?}: its name is longer than 36 characters")]
    Name(String),
    /// The GUID is another partition's.
    #[error("add partition {0}: its GUID is used by another partition")]
    Id(String),
    /// All entries are used.
    #[error("add partition {0}: the table is full")]
    Full(String),
}

impl Partition {
    /// Length in sectors.
    pub fn sectors(&self) -> u64 {
        self.last - self.first + 1
    }
}

impl Table {
    /// An empty table for a disk.
    ///
    /// # Errors
    /// The disk is too small.
    pub fn new(disk_id: Uuid, sector_bytes: u64, disk_bytes: u64) -> Result<Self, Error> {
        let array = (ENTRIES * ENTRY_BYTES) as u64 / sector_bytes;
        let first_usable = 2 + array;
        let entries = vec![None; ENTRIES];
        let mut table =
            Self { disk_id, sector_bytes, sectors: 0, first_usable, last_usable: 0, entries_at: 2, entries };
        table.fit(disk_bytes)?;
        Ok(table)
    }

    /// Bytes of a logical sector.
    pub fn sector_bytes(&self) -> u64 {
        self.sector_bytes
    }

    /// Bytes of the disk as the table knows it; less than it has where the disk grew.
    pub fn disk_bytes(&self) -> u64 {
        self.sectors * self.sector_bytes
    }

    /// Partitions with their numbers, which count from 1.
    pub fn partitions(&self) -> impl Iterator<Item = (usize, &Partition)> {
        self.entries.iter().enumerate().filter_map(|(n, entry)| Some((n + 1, entry.as_ref()?)))
    }

    /// The partition of a label, with its number.
    pub fn by_name(&self, name: &str) -> Option<(usize, &Partition)> {
        self.partitions().find(|(_, partition)| partition.name == name)
    }

    /// First byte of a partition, and how many follow.
    pub fn extent(&self, partition: &Partition) -> (u64, u64) {
        (partition.first * self.sector_bytes, partition.sectors() * self.sector_bytes)
    }

    /// Makes the table cover a disk of that size: the backup's place is at its end. Returns whether anything
    /// changed.
    ///
    /// # Errors
    /// The disk is too small for what the table holds.
    pub fn fit(&mut self, disk_bytes: u64) -> Result<bool, Error> {
        let before = (self.sectors, self.last_usable);
        let sectors = disk_bytes / self.sector_bytes;
        let used = self.partitions().map(|(_, partition)| partition.last).max().unwrap_or(self.first_usable);
        let last_usable = sectors.checked_sub(2 + self.array_sectors()).filter(|last| *last >= used);
        self.last_usable = last_usable.ok_or(Error::TooSmall(disk_bytes))?;
        self.sectors = sectors;
        Ok(before != (self.sectors, self.last_usable))
    }

    /// The free sectors behind the last partition, aligned at both ends.
    pub fn free_tail(&self) -> Option<(u64, u64)> {
        let alignment = ALIGNMENT / self.sector_bytes;
        let end = self.partitions().map(|(_, partition)| partition.last + 1).max().unwrap_or(self.first_usable);
        let first = end.next_multiple_of(alignment);
        let end = (self.last_usable + 1) / alignment * alignment;
        (first < end).then(|| (first, end - 1))
    }

    /// Adds a partition in the first free entry and returns its number.
    ///
    /// # Errors
    /// Its place is not free, its name too long, its GUID taken, or the table full.
    pub fn add(&mut self, partition: Partition) -> Result<usize, Error> {
        let Partition { first, last, .. } = partition;
        let name = partition.name.clone();
        if name.encode_utf16().count() > MAX_NAME {
            return Err(Error::Name(name));
        }
        if self.partitions().any(|(_, other)| other.id == partition.id) {
            return Err(Error::Id(name));
        }
        let n = self.entries.iter().position(Option::is_none).ok_or_else(|| Error::Full(name.clone()))?;
        self.entries[n] = Some(partition);
        if self.check().is_err() {
            self.entries[n] = None;
            return Err(Error::Place { name, first, last });
        }
        Ok(n + 1)
    }

    /// Gives a partition another label; one that is not there is left alone.
    ///
    /// # Errors
    /// The label is too long.
    pub fn rename(&mut self, number: usize, name: &str) -> Result<(), Error> {
        if name.encode_utf16().count() > MAX_NAME {
            return Err(Error::Name(name.to_owned()));
        }
        if let Some(Some(partition)) = number.checked_sub(1).and_then(|n| self.entries.get_mut(n)) {
            name.clone_into(&mut partition.name);
        }
        Ok(())
    }

    /// Gives the last partition on the disk the free sectors behind it. Returns its number if it grew.
    pub fn grow_last(&mut self) -> Option<usize> {
        let alignment = ALIGNMENT / self.sector_bytes;
        let end = (self.last_usable + 1) / alignment * alignment;
        let partitions = self.entries.iter_mut().enumerate().filter_map(|(n, entry)| Some((n, entry.as_mut()?)));
        let (n, last) = partitions.max_by_key(|(_, partition)| partition.last)?;
        if last.last + 1 >= end {
            return None;
        }
        last.last = end - 1;
        Some(n + 1)
    }

    fn array_sectors(&self) -> u64 {
        ((self.entries.len() * ENTRY_BYTES) as u64).div_ceil(self.sector_bytes)
    }

    /// That every partition lies in the usable sectors, and no two share one.
    fn check(&self) -> Result<(), &'static str> {
        let mut places: Vec<_> = self.partitions().map(|(_, partition)| (partition.first, partition.last)).collect();
        places.sort_unstable();
        let mut free = self.first_usable;
        for (first, last) in places {
            if first > last || last > self.last_usable {
                return Err("a partition lies outside the disk");
            }
            if first < free {
                return Err("partitions overlap");
            }
            free = last + 1;
        }
        Ok(())
    }
}
