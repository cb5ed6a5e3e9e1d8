//! A disk as a machine would find it: partitions, boot entries, and which root is in which slot.
//!
//! A part that is damaged is shown as such; only a disk without a partition table is an error.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use ashlar_formats::{erofs, fat, gpt, pe, verity};
use serde::Serialize;

/// A unified kernel image has 15 to 100 MB.
const MAX_UKI: u32 = 512 << 20;

/// A disk.
#[derive(Debug, Serialize)]
pub struct Disk {
    /// Its size in bytes.
    pub bytes: u64,
    /// Partitions in the order of their numbers.
    pub partitions: Vec<Partition>,
    /// Unified kernel images on the EFI system partition.
    pub entries: Vec<Entry>,
    /// Slots.
    pub slots: Vec<Slot>,
    /// What is wrong, in sentences.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// A partition.
#[derive(Debug, Serialize)]
pub struct Partition {
    /// Number.
    pub number: usize,
    /// Label.
    pub name: String,
    /// Name of its type, or the type's GUID.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Size.
    pub bytes: u64,
}

/// A boot entry.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Path on the partition.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// IMAGE_VERSION of its os-release.
    pub version: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Kernel command line.
    pub command_line: Option<String>,
}

impl Entry {
    /// The root hash that the entry boots.
    pub fn root_hash(&self) -> Option<&str> {
        self.command_line.as_deref()?.split_whitespace().find_map(|word| word.strip_prefix("roothash="))
    }
}

/// A slot.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Slot {
    /// `a` or `b`.
    pub name: String,
    /// Root hash of the tree in its verity partition; none where there is no tree.
    pub root_hash: Option<String>,
    /// Bytes of the root file system.
    pub used: u64,
    /// Bytes of the partition.
    pub bytes: u64,
    /// Version of the boot entry with this root hash.
    pub version: Option<String>,
}

impl Disk {
    /// Reads a disk.
    ///
    /// # Errors
    /// It has no partition table.
    pub fn read(disk: &File) -> Result<Self, gpt::Error> {
        let mut disk_reader = disk;
        let found = gpt::Table::read(&mut disk_reader)?;
        let mut problems = Vec::new();
        if let Some(copy) = found.damaged {
            problems.push(format!("the {copy:?} partition table is damaged or differs from the other").to_lowercase());
        }
        let table = &found.table;
        let partitions = table.partitions().map(|(number, partition)| Partition {
            number,
            name: partition.name.clone(),
            type_name: gpt::types::name(partition.type_id).map_or_else(|| partition.type_id.to_string(), str::to_owned),
            bytes: table.extent(partition).1,
        });
        let esp = table.partitions().find(|(_, partition)| partition.type_id == gpt::types::ESP);
        let entries = match esp.map(|(_, partition)| entries(disk, table.extent(partition).0)) {
            Some(Ok(entries)) => entries,
            Some(Err(error)) => {
                problems.push(format!("the EFI system partition: {error}"));
                Vec::new()
            }
            None => Vec::new(),
        };
        let mut slots = Vec::new();
        for (_, root) in table.partitions() {
            let Some(name) = root.name.strip_prefix("root-") else { continue };
            let Some((_, tree)) = table.by_name(&format!("verity-{name}")) else { continue };
            match slot(disk, name, table.extent(root), table.extent(tree), &entries) {
                Ok(slot) => slots.push(slot),
                Err(error) => problems.push(format!("slot {name}: {error}")),
            }
        }
        Ok(Self { bytes: table.disk_bytes(), partitions: partitions.collect(), entries, slots, problems })
    }
}

fn entries(disk: &File, start: u64) -> Result<Vec<Entry>, fat::Error> {
    let mut volume = fat::Volume::open(disk, start)?;
    let folder = "EFI/Linux";
    let images = volume.list(folder)?.into_iter().filter(|entry| entry.name.to_lowercase().ends_with(".efi"));
    images
        .map(|image| {
            let path = format!("{folder}/{}", image.name);
            let content = volume.read(&path, MAX_UKI)?;
            Ok(entry(path, &content))
        })
        .collect()
}

fn entry(path: String, content: &[u8]) -> Entry {
    let image = pe::Image::parse(content).ok();
    let text = |name: &str| {
        let section = image.as_ref()?.section(name)?;
        Some(String::from_utf8_lossy(section).trim_end_matches(['\0', '\n']).to_owned())
    };
    let release = text(".osrel").unwrap_or_default();
    let version = release.lines().find_map(|line| line.strip_prefix("IMAGE_VERSION="));
    Entry {
        path,
        bytes: content.len() as u64,
        version: version.map(|version| version.trim_matches('"').to_owned()),
        kernel: text(".uname"),
        command_line: text(".cmdline"),
    }
}

fn slot(
    disk: &File,
    name: &str,
    (root, bytes): (u64, u64),
    (tree, tree_bytes): (u64, u64),
    entries: &[Entry],
) -> Result<Slot, verity::Error> {
    let root_hash = match verity::top(&mut Window { disk, start: tree, bytes: tree_bytes, at: 0 }) {
        Ok((_, root_hash)) => Some(root_hash.to_string()),
        Err(verity::Error::Signature) => None,
        Err(error) => return Err(error),
    };
    let mut superblock = [0; erofs::BYTES];
    let read = disk.read_exact_at(&mut superblock, root + erofs::OFFSET);
    let used = read.ok().and_then(|()| erofs::Superblock::parse(&superblock).ok()).map_or(0, |found| found.bytes());
    let version = entries.iter().find(|entry| root_hash.is_some() && entry.root_hash() == root_hash.as_deref());
    let version = version.and_then(|entry| entry.version.clone());
    Ok(Slot { name: name.to_owned(), root_hash, used, bytes, version })
}

/// A part of a disk that cannot be left.
struct Window<'a> {
    disk: &'a File,
    start: u64,
    bytes: u64,
    at: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let read = self.disk.read_at(&mut buffer[..length], self.start + self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.bytes.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}
