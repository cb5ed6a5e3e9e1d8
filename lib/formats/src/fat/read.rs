//! Reading a volume that anybody may have written.

use std::io::{Read, Seek, SeekFrom};

use super::name::Collector;
use super::{CLUSTER_MASK, DIRECTORY, END_OF_CHAIN, ENTRY, Error, LONG_NAME, VOLUME_LABEL};
use crate::field::{u16, u32};

/// A FAT of 16 MiB is one for 16 GiB in clusters of 4 KiB.
const MAX_FAT: u64 = 64 << 20;
/// The specification's limit of a directory.
const MAX_DIRECTORY: usize = 65_536 * ENTRY;
const DELETED: u8 = 0xe5;

/// A volume on a disk.
pub struct Volume<D> {
    disk: D,
    fat: Vec<u8>,
    cluster_bytes: usize,
    /// Where cluster 2 begins.
    data: u64,
    clusters: u32,
    root: u32,
    /// Serial number.
    pub id: u32,
}

/// Something in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Bytes of a file.
    pub bytes: u32,
    cluster: u32,
}

impl<D: Read + Seek> Volume<D> {
    /// Reads what is needed to find things, from a volume that begins at a byte of the disk.
    ///
    /// # Errors
    /// There is no FAT32 volume.
    pub fn open(mut disk: D, start: u64) -> Result<Self, Error> {
        let boot = read_at(&mut disk, start, 512)?;
        let sector = u64::from(u16(&boot, 11));
        let per_cluster = u64::from(boot[13]);
        let [reserved, sectors, fat_sectors] =
            [u16(&boot, 14).into(), u32(&boot, 32).into(), u32(&boot, 36).into()].map(|n: u64| n);
        let fats = u64::from(boot[16]);
        let is_fat32 = u16(&boot, 510) == 0xaa55 && u16(&boot, 17) == 0 && u16(&boot, 22) == 0;
        if !is_fat32 || ![512, 1024, 2048, 4096].contains(&sector) || !per_cluster.is_power_of_two() {
            return Err(Error::Damaged("it is not FAT32"));
        }
        let before = reserved + fats * fat_sectors;
        let clusters = sectors.checked_sub(before).map(|sectors| sectors / per_cluster);
        let fat_bytes = fat_sectors * sector;
        let clusters = clusters
            .filter(|clusters| (1..=2).contains(&fats) && reserved > 0 && (clusters + 2) * 4 <= fat_bytes)
            .filter(|clusters| fat_bytes <= MAX_FAT && *clusters > 0)
            .ok_or(Error::Damaged("its sizes do not fit each other"))?;
        let fat = read_at(&mut disk, start + reserved * sector, fat_bytes as usize)?;
        let (cluster_bytes, data) = ((per_cluster * sector) as usize, start + before * sector);
        let (root, id) = (u32(&boot, 44) & CLUSTER_MASK, u32(&boot, 67));
        Ok(Self { disk, fat, cluster_bytes, data, clusters: clusters as u32, root, id })
    }

    /// What is in a directory, `.`, `..` and the label left out.
    ///
    /// # Errors
    /// It is not there, or damaged.
    pub fn list(&mut self, path: &str) -> Result<Vec<Entry>, Error> {
        match self.find(path)? {
            Some(entry) if !entry.is_directory => Err(wrong(path, "it is a file")),
            Some(entry) => self.directory(entry.cluster),
            None => self.directory(self.root),
        }
    }

    /// The content of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// It is not there, larger, or damaged.
    pub fn read(&mut self, path: &str, limit: u32) -> Result<Vec<u8>, Error> {
        let entry = self.find(path)?.filter(|entry| !entry.is_directory);
        let entry = entry.ok_or_else(|| wrong(path, "it is a directory"))?;
        if entry.bytes > limit {
            return Err(wrong(path, "it is larger than anything that belongs there"));
        }
        if entry.bytes == 0 {
            return Ok(Vec::new());
        }
        let mut content = self.chain(entry.cluster, entry.bytes as usize)?;
        if content.len() < entry.bytes as usize {
            return Err(Error::Damaged("a file has fewer clusters than its size says"));
        }
        content.truncate(entry.bytes as usize);
        Ok(content)
    }

    /// The entry of a path; None for the root.
    fn find(&mut self, path: &str) -> Result<Option<Entry>, Error> {
        let mut found: Option<Entry> = None;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let cluster = match &found {
                None => self.root,
                Some(entry) if entry.is_directory => entry.cluster,
                Some(_) => return Err(wrong(path, "a part of its path is a file")),
            };
            let entries = self.directory(cluster)?;
            let entry = entries.into_iter().find(|entry| entry.name.eq_ignore_ascii_case(part));
            found = Some(entry.ok_or_else(|| wrong(path, "it is not there"))?);
        }
        Ok(found)
    }

    fn directory(&mut self, cluster: u32) -> Result<Vec<Entry>, Error> {
        let bytes = self.chain(cluster, MAX_DIRECTORY)?;
        let mut names = Collector::default();
        let mut entries = Vec::new();
        for raw in bytes.chunks_exact(ENTRY).take_while(|raw| raw[0] != 0) {
            match raw {
                [DELETED, ..] => names = Collector::default(),
                _ if raw[11] & 0x3f == LONG_NAME => names.take(raw),
                _ if raw[11] & VOLUME_LABEL != 0 || raw[0] == b'.' => names = Collector::default(),
                _ => entries.push(Entry {
                    name: names.name(raw),
                    is_directory: raw[11] & DIRECTORY != 0,
                    bytes: u32(raw, 28),
                    cluster: u32::from(u16(raw, 20)) << 16 | u32::from(u16(raw, 26)),
                }),
            }
        }
        Ok(entries)
    }

    /// The clusters of a chain, until it ends or enough was read.
    fn chain(&mut self, first: u32, enough: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let mut cluster = first;
        while cluster < END_OF_CHAIN && bytes.len() < enough {
            if cluster < 2 || cluster - 2 >= self.clusters || bytes.len() / self.cluster_bytes > self.clusters as usize
            {
                return Err(Error::Damaged("a chain of clusters leads nowhere"));
            }
            let at = self.data + u64::from(cluster - 2) * self.cluster_bytes as u64;
            self.disk.seek(SeekFrom::Start(at))?;
            let length = bytes.len();
            bytes.resize(length + self.cluster_bytes, 0);
            self.disk.read_exact(&mut bytes[length..])?;
            cluster = u32(&self.fat, cluster as usize * 4) & CLUSTER_MASK;
        }
        Ok(bytes)
    }
}

fn wrong(path: &str, why: &'static str) -> Error {
    Error::Path { path: path.to_owned(), why }
}

fn read_at(disk: &mut (impl Read + Seek), at: u64, length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length];
    disk.seek(SeekFrom::Start(at))?;
    disk.read_exact(&mut bytes)?;
    Ok(bytes)
}
