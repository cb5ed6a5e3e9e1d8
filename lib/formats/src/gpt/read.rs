//! Reading a table, from a disk that may hold anything.

use std::io::{Read, Seek, SeekFrom};

use super::{ENTRY_BYTES, Error, HEADER_BYTES, Partition, SIGNATURE, Table};
use crate::crc32::crc32;
use crate::field::{self, array, u32, u64};
use crate::uuid::Uuid;

/// 128 is usual; nobody makes more than 1024.
const MAX_ENTRIES: u32 = 1024;

/// One of a disk's two tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// At the beginning.
    Primary,
    /// At the end.
    Backup,
}

/// A table that was found on a disk.
#[derive(Debug)]
pub struct Found {
    /// What holds.
    pub table: Table,
    /// The copy that is damaged, or that says something else, and should be written anew.
    pub damaged: Option<Which>,
}

impl Table {
    /// Reads a disk's table: the primary, or the backup where the primary is damaged. Whether sectors have 512
    /// or 4096 bytes is found out.
    ///
    /// # Errors
    /// The disk cannot be read, has no table, or both copies are damaged.
    pub fn read(disk: &mut (impl Read + Seek)) -> Result<Found, Error> {
        let bytes = disk.seek(SeekFrom::End(0))?;
        match find(disk, 512, bytes) {
            Err(Error::None) => find(disk, 4096, bytes),
            found => found,
        }
    }
}

fn find(disk: &mut (impl Read + Seek), sector: u64, bytes: u64) -> Result<Found, Error> {
    let last = (bytes / sector).checked_sub(3).ok_or(Error::None)? + 2;
    let primary = read(disk, sector, 1, last);
    // Where the disk grew, the backup is still where the primary says.
    let backup_at = primary.as_ref().map_or(last, |table| table.sectors - 1);
    let backup = read(disk, sector, backup_at, last);
    match (primary, backup) {
        (Ok(table), Ok(other)) => {
            let same = table.disk_id == other.disk_id && table.entries == other.entries;
            Ok(Found { table, damaged: (!same).then_some(Which::Backup) })
        }
        (Ok(table), Err(_)) => Ok(Found { table, damaged: Some(Which::Backup) }),
        (Err(_), Ok(table)) => Ok(Found { table, damaged: Some(Which::Primary) }),
        (Err(Error::None), Err(error)) | (Err(error), Err(_)) => Err(error),
    }
}

fn read(disk: &mut (impl Read + Seek), sector: u64, at: u64, last: u64) -> Result<Table, Error> {
    let header = read_at(disk, at * sector, 512)?;
    if header.get(..8) != Some(&SIGNATURE[..]) {
        return Err(Error::None);
    }
    let size = u32(&header, 12) as usize;
    let mut summed = header.get(..size).filter(|_| size >= HEADER_BYTES).ok_or(damaged("its header's size"))?.to_vec();
    field::put(&mut summed, 16, &[0; 4]);
    if crc32(&summed) != u32(&header, 16) {
        return Err(damaged("its header's checksum"));
    }
    let mut table = layout(&header, sector, at, last)?;
    let count = table.entries.len();
    let entries_at = if at == 1 { table.entries_at } else { u64(&header, 72) };
    let entries = read_at(disk, entries_at * sector, count * ENTRY_BYTES)?;
    if crc32(&entries) != u32(&header, 88) {
        return Err(damaged("its entries' checksum"));
    }
    table.entries = entries.chunks_exact(ENTRY_BYTES).map(partition).collect();
    table.check().map_err(Error::Damaged)?;
    Ok(table)
}

/// The header's numbers, held against each other and against the disk's size.
fn layout(header: &[u8], sector: u64, at: u64, last: u64) -> Result<Table, Error> {
    let count = u32(header, 80);
    if u32(header, 84) as usize != ENTRY_BYTES || !(1..=MAX_ENTRIES).contains(&count) {
        return Err(damaged("the number or size of its entries"));
    }
    let [my, alternate, first_usable, last_usable] = [24, 32, 40, 48].map(|offset| u64(header, offset));
    let end = my.max(alternate);
    let entries_at = u64(header, 72);
    let array_sectors = (count as usize * ENTRY_BYTES) as u64;
    let array_end =
        entries_at.checked_add(array_sectors.div_ceil(sector)).ok_or(damaged("the place of its entries"))?;
    let room = if at == 1 { 2..=first_usable } else { last_usable.saturating_add(1)..=at };
    if my != at || end > last || my.min(alternate) != 1 || !room.contains(&entries_at) || array_end > *room.end() {
        return Err(damaged("the place of its entries"));
    }
    if first_usable > last_usable || last_usable >= end || first_usable < 2 {
        return Err(damaged("its usable sectors"));
    }
    Ok(Table {
        disk_id: Uuid(array(header, 56)).swapped(),
        sector_bytes: sector,
        sectors: end + 1,
        first_usable,
        last_usable,
        // The backup does not say where the primary's are.
        entries_at: if at == 1 { entries_at } else { 2 },
        entries: vec![None; count as usize],
    })
}

fn partition(bytes: &[u8]) -> Option<Partition> {
    let type_id = Uuid(array(bytes, 0));
    if type_id == Uuid::default() {
        return None;
    }
    let units: Vec<u16> = (56..ENTRY_BYTES).step_by(2).map(|at| field::u16(bytes, at)).collect();
    let name: Vec<u16> = units.into_iter().take_while(|unit| *unit != 0).collect();
    Some(Partition {
        type_id: type_id.swapped(),
        id: Uuid(array(bytes, 16)).swapped(),
        first: u64(bytes, 32),
        last: u64(bytes, 40),
        attributes: u64(bytes, 48),
        name: String::from_utf16_lossy(&name),
    })
}

fn read_at(disk: &mut (impl Read + Seek), at: u64, length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length];
    disk.seek(SeekFrom::Start(at))?;
    disk.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn damaged(what: &'static str) -> Error {
    Error::Damaged(what)
}
