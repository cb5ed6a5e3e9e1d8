//! Making a volume: clusters are given out while the tree is walked once, then everything is written once.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io::{Seek, SeekFrom, Write};

use super::name::{self, Short};
use super::{ARCHIVE, DIRECTORY, Directory, ENTRY, Error, Node, SECTOR, VOLUME_LABEL};
use crate::field::put;

const CLUSTER: usize = 4096;
const SECTORS_PER_CLUSTER: u64 = (CLUSTER / SECTOR) as u64;
/// Sectors before the first FAT; like the FATs a multiple of a cluster, so that clusters are aligned.
const RESERVED: u64 = 32;
const INFO: u64 = 1;
/// Where the copies of boot and information sector are.
const BACKUP: u64 = 6;
const ROOT: u32 = 2;
const LAST: u32 = 0x0fff_ffff;
/// Fewer would be FAT16 (specification, "FAT type determination"), more than 2^32 sectors are not counted.
const BYTES: std::ops::RangeInclusive<u64> = 260 << 20..=2 << 40;

/// What a volume is made of.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    /// Size of the volume.
    pub bytes: u64,
    /// Serial number.
    pub volume_id: u32,
    /// At most 11 capital letters.
    pub label: &'a str,
    /// Time of all entries, in seconds since 1970.
    pub modified: u64,
    /// Its root directory.
    pub root: Directory<'a>,
}

impl Image<'_> {
    /// Writes the volume so that it begins at a byte of the disk. What is not written has to be zero there: a
    /// sparse file stays sparse.
    ///
    /// # Errors
    /// The tree does not fit, or the disk cannot be written.
    pub fn write(&self, disk: &mut (impl Write + Seek), start: u64) -> Result<(), Error> {
        let geometry = Geometry::of(self.bytes)?;
        let mut layout =
            Layout { next: ROOT, fat: vec![0x0fff_fff8, LAST], writes: Vec::new(), stamp: stamp(self.modified) };
        let root = layout.allocate(root_bytes(&self.root));
        layout.directory(&self.root, root, None, self.label);
        let (needs, has) = (u64::from(layout.next - ROOT), geometry.clusters);
        if needs > has {
            return Err(Error::Full { needs: needs * CLUSTER as u64, has: has * CLUSTER as u64 });
        }
        let mut put_at = |sector: u64, bytes: &[u8]| {
            disk.seek(SeekFrom::Start(start + sector * SECTOR as u64))?;
            disk.write_all(bytes)
        };
        for at in [0, BACKUP] {
            put_at(at, &self.boot_sector(&geometry))?;
            put_at(at + INFO, &information_sector(has - needs, layout.next))?;
        }
        let fat: Vec<u8> = layout.fat.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        for n in 0..2 {
            put_at(RESERVED + n * geometry.fat_sectors, &fat)?;
        }
        for (cluster, bytes) in &layout.writes {
            put_at(geometry.sector_of(*cluster), bytes)?;
        }
        Ok(())
    }

    fn boot_sector(&self, geometry: &Geometry) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        let mut field = |at: usize, bytes: &[u8]| put(&mut sector, at, bytes);
        field(0, &[0xeb, 0x58, 0x90]);
        field(3, b"ASHLAR  ");
        field(11, &(SECTOR as u16).to_le_bytes());
        field(13, &[SECTORS_PER_CLUSTER as u8]);
        field(14, &(RESERVED as u16).to_le_bytes());
        // Two FATs; a fixed disk.
        field(16, &[2]);
        field(21, &[0xf8]);
        // A disk of 63 sectors and 255 heads, which nobody asks for.
        field(24, &[63, 0, 255, 0]);
        field(32, &(geometry.sectors as u32).to_le_bytes());
        field(36, &(geometry.fat_sectors as u32).to_le_bytes());
        field(44, &ROOT.to_le_bytes());
        field(48, &(INFO as u16).to_le_bytes());
        field(50, &(BACKUP as u16).to_le_bytes());
        field(64, &[0x80, 0, 0x29]);
        field(67, &self.volume_id.to_le_bytes());
        field(71, &label(self.label));
        field(82, b"FAT32   ");
        field(510, &[0x55, 0xaa]);
        sector
    }
}

struct Geometry {
    sectors: u64,
    fat_sectors: u64,
    clusters: u64,
}

impl Geometry {
    fn of(bytes: u64) -> Result<Self, Error> {
        if !BYTES.contains(&bytes) {
            return Err(Error::Size(bytes));
        }
        let sectors = (bytes / SECTOR as u64).min(u64::from(u32::MAX));
        // For as many clusters as there would be without FATs: a little too large, which is allowed.
        let most = (sectors - RESERVED) / SECTORS_PER_CLUSTER + u64::from(ROOT);
        let fat_sectors = (most * 4).div_ceil(SECTOR as u64).next_multiple_of(SECTORS_PER_CLUSTER);
        let clusters = (sectors - RESERVED - 2 * fat_sectors) / SECTORS_PER_CLUSTER;
        Ok(Self { sectors, fat_sectors, clusters })
    }

    fn sector_of(&self, cluster: u32) -> u64 {
        RESERVED + 2 * self.fat_sectors + u64::from(cluster - ROOT) * SECTORS_PER_CLUSTER
    }
}

struct Layout<'a> {
    next: u32,
    fat: Vec<u32>,
    writes: Vec<(u32, Cow<'a, [u8]>)>,
    stamp: (u16, u16),
}

impl<'a> Layout<'a> {
    /// The first of as many clusters in a row as the bytes need; 0 for none.
    fn allocate(&mut self, bytes: usize) -> u32 {
        let count = bytes.div_ceil(CLUSTER) as u32;
        if count == 0 {
            return 0;
        }
        let first = self.next;
        self.next += count;
        self.fat.extend(first + 1..self.next);
        self.fat.push(LAST);
        first
    }

    /// Lays out a directory at its cluster. `parent` is None for the root, which has a label instead of `..`.
    fn directory(&mut self, directory: &Directory<'a>, own: u32, parent: Option<u32>, volume: &str) {
        let mut bytes = match parent {
            None => self.entry(label(volume), VOLUME_LABEL, 0, 0).to_vec(),
            Some(parent) => [(*b".          ", own), (*b"..         ", parent)]
                .into_iter()
                .flat_map(|(name, cluster)| self.entry(name, DIRECTORY, cluster, 0))
                .collect(),
        };
        let mut taken = BTreeSet::new();
        let mut below = Vec::new();
        for (name, node) in &directory.entries {
            let (long, short) = name::encode(name, &mut taken);
            let (attributes, size) = match node {
                Node::Directory(directory) => (DIRECTORY, directory.entries() * ENTRY),
                Node::File(content) => (ARCHIVE, content.len()),
            };
            let cluster = self.allocate(size);
            match node {
                Node::Directory(directory) => below.push((directory, cluster)),
                Node::File(content) => self.writes.push((cluster.max(ROOT), Cow::Borrowed(content))),
            }
            let size = if attributes == DIRECTORY { 0 } else { size };
            bytes.extend(long);
            bytes.extend(self.entry(short, attributes, cluster, size as u32));
        }
        self.writes.push((own, Cow::Owned(bytes)));
        // The root is number 0 to those below it.
        let parent = if parent.is_none() { 0 } else { own };
        for (directory, cluster) in below {
            self.directory(directory, cluster, Some(parent), volume);
        }
    }

    fn entry(&self, short: Short, attributes: u8, cluster: u32, size: u32) -> [u8; ENTRY] {
        let (date, time) = self.stamp;
        let mut entry = [0; ENTRY];
        put(&mut entry, 0, &short);
        entry[11] = attributes;
        for (at, field) in [(14, time), (16, date), (18, date), (22, time), (24, date)] {
            put(&mut entry, at, &field.to_le_bytes());
        }
        put(&mut entry, 20, &((cluster >> 16) as u16).to_le_bytes());
        put(&mut entry, 26, &(cluster as u16).to_le_bytes());
        put(&mut entry, 28, &size.to_le_bytes());
        entry
    }
}

/// The root has a label where others have two entries.
fn root_bytes(root: &Directory<'_>) -> usize {
    (root.entries() - 1) * ENTRY
}

fn label(text: &str) -> Short {
    let mut label = [b' '; 11];
    text.bytes().zip(&mut label).for_each(|(from, to)| *to = from.to_ascii_uppercase());
    label
}

fn information_sector(free: u64, next: u32) -> [u8; SECTOR] {
    let mut sector = [0; SECTOR];
    put(&mut sector, 0, b"RRaA");
    put(&mut sector, 484, b"rrAa");
    put(&mut sector, 488, &(free as u32).to_le_bytes());
    put(&mut sector, 492, &next.to_le_bytes());
    put(&mut sector, 510, &[0x55, 0xaa]);
    sector
}

/// Date and time as FAT holds them, from 1980 to 2107, in steps of two seconds.
fn stamp(seconds: u64) -> (u16, u16) {
    const FIRST: u64 = 315_532_800;
    const LAST: u64 = 4_354_819_198;
    let seconds = seconds.clamp(FIRST, LAST);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let time = ((second / 3600) << 11) | ((second / 60 % 60) << 5) | (second % 60 / 2);
    // Years that begin in March have their odd day at the end (H. Hinnant, "chrono-compatible date algorithms").
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = (era * 400 + year + month / 10, (month + 2) % 12 + 1);
    ((((year - 1980) << 9) | (month << 5) | day) as u16, time as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps() {
        #[track_caller]
        fn check(seconds: u64, expect: (u16, u16, u16), time: (u16, u16, u16)) {
            let (date, clock) = stamp(seconds);
            assert_eq!((1980 + (date >> 9), date >> 5 & 15, date & 31), expect);
            assert_eq!((clock >> 11, clock >> 5 & 63, 2 * (clock & 31)), time);
        }
        check(0, (1980, 1, 1), (0, 0, 0));
        check(951_782_400, (2000, 2, 29), (0, 0, 0));
        check(951_868_800, (2000, 3, 1), (0, 0, 0));
        check(1_795_252_544, (2026, 11, 21), (9, 15, 44));
        check(1_798_761_599, (2026, 12, 31), (23, 59, 58));
        check(u64::MAX, (2107, 12, 31), (23, 59, 58));
    }
}
