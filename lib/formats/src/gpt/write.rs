//! Writing a table.

use std::io::{self, Seek, SeekFrom, Write};

use super::{ENTRY_BYTES, HEADER_BYTES, Partition, REVISION, SIGNATURE, Table};
use crate::crc32::crc32;
use crate::field::put;

impl Table {
    /// Writes both copies to a disk that is not in use. Where a cut would matter, write and sync the two one
    /// after the other.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write(&self, disk: &mut (impl Write + Seek)) -> io::Result<()> {
        self.write_backup(disk)?;
        self.write_primary(disk)
    }

    /// Writes the copy at the end of the disk.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write_backup(&self, disk: &mut (impl Write + Seek)) -> io::Result<()> {
        let header_at = self.sectors - 1;
        let entries_at = header_at - self.array_sectors();
        write_at(disk, entries_at * self.sector_bytes, &self.entries_bytes())?;
        write_at(disk, header_at * self.sector_bytes, &self.header_bytes(header_at, 1, entries_at))
    }

    /// Writes the copy at the beginning, and the protective MBR before it.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn write_primary(&self, disk: &mut (impl Write + Seek)) -> io::Result<()> {
        let header = self.header_bytes(1, self.sectors - 1, self.entries_at);
        write_at(disk, self.entries_at * self.sector_bytes, &self.entries_bytes())?;
        write_at(disk, self.sector_bytes, &header)?;
        write_at(disk, 0, &self.protective_mbr())
    }

    fn header_bytes(&self, my: u64, alternate: u64, entries_at: u64) -> Vec<u8> {
        let mut header = vec![0; self.sector_bytes as usize];
        put(&mut header, 0, SIGNATURE);
        put(&mut header, 8, &REVISION.to_le_bytes());
        put(&mut header, 12, &(HEADER_BYTES as u32).to_le_bytes());
        for (at, number) in [(24, my), (32, alternate), (40, self.first_usable), (48, self.last_usable)] {
            put(&mut header, at, &number.to_le_bytes());
        }
        put(&mut header, 56, &self.disk_id.swapped().0);
        put(&mut header, 72, &entries_at.to_le_bytes());
        put(&mut header, 80, &(self.entries.len() as u32).to_le_bytes());
        put(&mut header, 84, &(ENTRY_BYTES as u32).to_le_bytes());
        put(&mut header, 88, &crc32(&self.entries_bytes()).to_le_bytes());
        let checksum = crc32(&header[..HEADER_BYTES]);
        put(&mut header, 16, &checksum.to_le_bytes());
        header
    }

    fn entries_bytes(&self) -> Vec<u8> {
        self.entries.iter().flat_map(|entry| entry.as_ref().map_or([0; ENTRY_BYTES], entry_bytes)).collect()
    }

    /// One partition over the whole disk, for programs that know no GPT.
    fn protective_mbr(&self) -> Vec<u8> {
        let mut mbr = vec![0; self.sector_bytes as usize];
        let sectors = u32::try_from(self.sectors - 1).unwrap_or(u32::MAX);
        put(&mut mbr, 446, &[0, 0x00, 0x02, 0x00, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0]);
        put(&mut mbr, 458, &sectors.to_le_bytes());
        put(&mut mbr, 510, &[0x55, 0xaa]);
        mbr
    }
}

fn entry_bytes(partition: &Partition) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    put(&mut entry, 0, &partition.type_id.swapped().0);
    put(&mut entry, 16, &partition.id.swapped().0);
    for (at, number) in [(32, partition.first), (40, partition.last), (48, partition.attributes)] {
        put(&mut entry, at, &number.to_le_bytes());
    }
    for (n, unit) in partition.name.encode_utf16().take(super::MAX_NAME).enumerate() {
        put(&mut entry, 56 + 2 * n, &unit.to_le_bytes());
    }
    entry
}

fn write_at(disk: &mut (impl Write + Seek), at: u64, bytes: &[u8]) -> io::Result<()> {
    disk.seek(SeekFrom::Start(at))?;
    disk.write_all(bytes)
}
