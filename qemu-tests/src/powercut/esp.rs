//! What a firmware and a boot loader find on an EFI system partition after a cut. The file system is read by the crate
//! `fatfs`, which knows nothing of how we write it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write as _};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result};
use ashlar_config::boot_entry::BootEntry;
use ashlar_config::{boot_record, version};
use fatfs::{Dir, FileSystem, FsOptions};
use sha2::{Digest, Sha256};

use super::log::{Log, SECTOR};

const ENTRIES: &str = "EFI/Linux";

/// SHA-256.
pub type Sum = [u8; 32];

/// A partition of a disk, with sectors of a log laid over it.
#[derive(Debug)]
pub struct View<'a> {
    /// The disk before the recording.
    pub disk: &'a File,
    /// First byte of the partition.
    pub start: u64,
    /// Bytes of it.
    pub length: u64,
    /// Where the bytes of changed sectors are.
    pub log: &'a Log,
    /// Sectors that stay changed, and their places in the log.
    pub kept: &'a HashMap<u64, u64>,
    /// Those that a cut left besides.
    pub came: &'a HashMap<u64, u64>,
    /// Where it is read next.
    pub place: u64,
}

impl Read for View<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = (buffer.len() as u64).min(self.length - self.place.min(self.length)) as usize;
        let buffer = &mut buffer[..length];
        let first = self.start + self.place;
        self.disk.read_exact_at(buffer, first)?;
        let mut done = 0;
        while done < length {
            let at = first + done as u64;
            let (sector, inside) = (at / SECTOR, at % SECTOR);
            let count = ((SECTOR - inside) as usize).min(length - done);
            if let Some(place) = self.came.get(&sector).or_else(|| self.kept.get(&sector)) {
                self.log.read_at(&mut buffer[done..done + count], place * SECTOR + inside)?;
            }
            done += count;
        }
        self.place += length as u64;
        Ok(length)
    }
}

impl io::Write for View<'_> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for View<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::Current(by) => self.place.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.place = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.place)
    }
}

/// What is on a partition: each file's sum, but of boot entries only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Names in the boot entries' folder, in upper and lower case as written; the sum where it is a boot entry.
    pub entries: BTreeMap<String, Option<Sum>>,
    /// All other files by their paths, but for the record of boots, which each boot writes.
    pub others: BTreeMap<String, Sum>,
}

impl Found {
    /// Reads all of it.
    pub fn read(view: View<'_>) -> Result<Self> {
        let system = FileSystem::new(view, FsOptions::new()).context("mount the FAT")?;
        let mut found = Self::default();
        walk(&system.root_dir(), "", &mut found)?;
        Ok(found)
    }

    /// The entry that systemd-boot takes: bad ones last, then the newest (systemd/src/boot/boot.c, boot_entry_compare).
    pub fn chosen(&self) -> Option<(&str, BootEntry)> {
        let entries = self.entries.keys().filter_map(|name| Some((name.as_str(), BootEntry::parse(name)?)));
        entries.min_by(|(_, one), (_, two)| {
            one.is_bad().cmp(&two.is_bad()).then_with(|| version::compare(&two.version, &one.version))
        })
    }
}

fn walk(folder: &Dir<'_, View<'_>>, path: &str, found: &mut Found) -> Result<()> {
    for entry in folder.iter() {
        let entry = entry.with_context(|| format!("read the folder {path:?}"))?;
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        let whole = format!("{path}{name}");
        if entry.is_dir() {
            walk(&entry.to_dir(), &format!("{whole}/"), found)?;
            continue;
        }
        let is_entry = BootEntry::parse(&name).is_some();
        if path.trim_end_matches('/').eq_ignore_ascii_case(ENTRIES) {
            let sum = is_entry.then(|| sum(entry.to_file())).transpose();
            found.entries.insert(name, sum.with_context(|| format!("read {whole}"))?);
        } else if whole != boot_record::FILE {
            found.others.insert(whole.clone(), sum(entry.to_file()).with_context(|| format!("read {whole}"))?);
        }
    }
    Ok(())
}

/// The sum of a file.
pub fn sum(mut file: impl Read) -> io::Result<Sum> {
    let mut digest = Hashing(Sha256::new());
    io::copy(&mut io::BufReader::with_capacity(1 << 16, &mut file), &mut digest)?;
    digest.flush()?;
    Ok(digest.0.finalize().into())
}

struct Hashing(Sha256);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_takes_the_newest_that_is_not_bad() {
        fn check(names: &[&str], expect: Option<&str>) {
            let entries = names.iter().map(|name| ((*name).to_owned(), None)).collect();
            let found = Found { entries, ..Found::default() };
            assert_eq!(found.chosen().map(|(name, _)| name), expect, "{names:?}");
        }
        check(&[], None);
        check(&["NEW.TMP"], None);
        check(&["ashlar_0.1.0.efi", "ashlar_0.10.0+3.efi", "ashlar_0.2.0.efi"], Some("ashlar_0.10.0+3.efi"));
        check(&["ashlar_0.1.0.efi", "ashlar_0.2.0+0-3.efi"], Some("ashlar_0.1.0.efi"));
        check(&["ashlar_0.1.0+0-3.efi", "ashlar_0.2.0+0-3.efi"], Some("ashlar_0.2.0+0-3.efi"));
    }
}
