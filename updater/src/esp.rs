//! The EFI system partition: mounted as long as it is written to. A boot entry comes by a rename and goes by a rename, each
//! a single write of one sector: see [`fits`] and [`Esp::take_name`].

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ashlar_config::boot_entry::BootEntry;
use ashlar_fetch::Digest;
use ashlar_formats::pe;
use ashlar_formats::verity::RootHash;
use ashlar_sys::filesystem as fsys;

use crate::boot::Boot;
use crate::device::{Buffer, Device, PIECE};
use crate::error::{Error, at};
use crate::offer::Piece;
use crate::road::Fill;

const MOUNT: &str = "/run/esp";
const ENTRIES: &str = "EFI/Linux";
/// A short name: it takes one directory entry, where a long one takes three.
const NEW: &str = "NEW.TMP";
/// What repairs of file systems leave.
const REPAIRED: &str = "FSCK";
/// Larger ones are none of ours.
const LIMIT: u64 = 256 << 20;
/// More directory entries of 32 bytes do not fit into one sector of 512.
const SECTOR: usize = 16;

/// The partition, until the value goes away.
#[derive(Debug)]
pub struct Esp {
    folder: PathBuf,
    mounted: bool,
}

impl Esp {
    /// Mounts the partition of the booted disk.
    pub fn mount(boot: &Boot) -> Result<Self, Error> {
        let none = || Error::Machine("this machine was not started from a disk: there are no boot entries".to_owned());
        let device = boot.esp.as_ref().ok_or_else(none)?;
        let folder = PathBuf::from(MOUNT);
        fs::create_dir_all(&folder).map_err(at("make", &folder))?;
        let flags = fsys::NO_SUID | fsys::NO_DEVICES | fsys::NO_EXEC;
        let name = device.to_string_lossy();
        // What a cut has left of a file that was being written must not make the file system read-only: it is removed.
        fsys::mount(&name, &folder, "vfat", flags, "umask=0077,errors=continue").map_err(at("mount", device))?;
        Ok(Self { folder, mounted: true })
    }

    /// Something on it.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }

    fn entries_folder(&self) -> PathBuf {
        self.folder.join(ENTRIES)
    }

    fn names(&self) -> Result<Vec<String>, Error> {
        let folder = self.entries_folder();
        let read =
            fs::read_dir(&folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(at("read", &folder))?;
        Ok(read.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
    }

    /// All entries of ours.
    pub fn entries(&self) -> Result<Vec<BootEntry>, Error> {
        Ok(self.names()?.iter().filter_map(|name| BootEntry::parse(name)).collect())
    }

    /// The entry of a version.
    pub fn entry(&self, version: &str) -> Result<Option<BootEntry>, Error> {
        Ok(self.entries()?.into_iter().find(|entry| entry.version == version))
    }

    /// Gives an entry another counter.
    pub fn rename(&self, from: &BootEntry, to: &BootEntry) -> Result<(), Error> {
        if from == to { Ok(()) } else { self.take_name(&from.file(), to) }
    }

    /// Gives a file the name of an entry, in one write. The kernel (vfat_rename) changes the directory's sector in memory:
    /// the new name as that of an empty file, and the old one gone; where the file begins and its size follow when its
    /// inode is written, into the same sector. So the file is synced and not the folder, which would put the empty one on
    /// the medium first.
    fn take_name(&self, from: &str, to: &BootEntry) -> Result<(), Error> {
        let folder = self.entries_folder();
        let (from, to) = (folder.join(from), folder.join(to.file()));
        fs::rename(&from, &to).map_err(at("rename", from))?;
        File::open(&to).and_then(|file| file.sync_all()).map_err(at("write", to))
    }

    /// Removes an entry.
    pub fn remove(&self, entry: &BootEntry) -> Result<(), Error> {
        let path = self.entries_folder().join(entry.file());
        fs::remove_file(&path).map_err(at("remove", path))?;
        self.sync()
    }

    /// Removes what an upgrade that was cut left, and what repairs did.
    pub fn tidy(&self) -> Result<(), Error> {
        for name in self.names()?.iter().filter(|name| name.eq_ignore_ascii_case(NEW)) {
            let path = self.entries_folder().join(name);
            fs::remove_file(&path).map_err(at("remove", path))?;
        }
        for entry in fs::read_dir(&self.folder).map_err(at("read", &self.folder))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(REPAIRED) && name.ends_with(".REC") {
                fs::remove_file(entry.path()).map_err(at("remove", entry.path()))?;
            }
        }
        self.sync()
    }

    /// vfat writes on sync(2) without a flush; on fsync(2) of the folder it does both.
    fn sync(&self) -> Result<(), Error> {
        let folder = self.entries_folder();
        File::open(&folder).and_then(|file| file.sync_all()).map_err(at("write", folder))
    }

    /// Checks that a UKI has room, so that nothing is begun that cannot be ended.
    pub fn has_room(&self, entry: &BootEntry, leaving: &[BootEntry], size: u64) -> Result<(), Error> {
        let gone: Vec<String> = leaving.iter().map(BootEntry::file).collect();
        let stay: Vec<String> =
            self.names()?.into_iter().filter(|name| !gone.contains(&name.to_ascii_lowercase())).collect();
        if !fits(&stay, &entry.file()) {
            return Err(Error::Machine(format!(
                "the EFI system partition has too many files in {ENTRIES} ({}): remove those that are not Ashlar's",
                stay.join(", ")
            )));
        }
        let room = rustix::fs::statvfs(&self.folder).map_err(|error| at("ask", &self.folder)(error.into()))?;
        let freed: u64 =
            gone.iter().filter_map(|name| fs::metadata(self.entries_folder().join(name)).ok()).map(|m| m.len()).sum();
        let free = room.f_bavail * room.f_frsize + freed;
        if free < size {
            return Err(Error::Machine(format!(
                "the EFI system partition has {free} bytes left, and {size} are needed"
            )));
        }
        Ok(())
    }

    /// Fills a UKI under a name that the boot loader does not see, has the medium keep it, and reads it back.
    /// [`Self::switch_to`] comes next.
    pub fn write(
        &self,
        fill: Fill<'_>,
        piece: &Piece,
        entry: &BootEntry,
        root: RootHash,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Error> {
        if piece.size > LIMIT {
            return Err(Error::Trust(format!("the UKI would have {} bytes", piece.size)));
        }
        let fresh = self.entries_folder().join(NEW);
        let mut file = File::create(&fresh).map_err(at("write", &fresh))?;
        let mut done = 0;
        fill(&mut |bytes| {
            file.write_all(bytes).map_err(at("write", &fresh))?;
            done += bytes.len() as u64;
            progress(done, piece.size);
            Ok(())
        })?;
        file.sync_all().map_err(at("write", &fresh))?;
        drop(file);
        check(&read_back(&fresh, piece.size)?, piece, &entry.version, root)
    }

    /// Gives the UKI that was written its name: from here on the boot loader sees it.
    pub fn switch_to(&self, entry: &BootEntry) -> Result<(), Error> {
        self.take_name(NEW, entry)
    }

    /// A UKI's bytes.
    pub fn content(&self, entry: &BootEntry) -> Result<Vec<u8>, Error> {
        let path = self.entries_folder().join(entry.file());
        let file = File::open(&path).map_err(at("read", &path))?;
        let mut content = Vec::new();
        file.take(LIMIT).read_to_end(&mut content).map_err(at("read", &path))?;
        Ok(content)
    }

    /// The root hash that an entry's command line names.
    pub fn root_of(&self, entry: &BootEntry) -> Result<RootHash, Error> {
        let none = || Error::Machine(format!("the boot entry {} names no root hash", entry.file()));
        root_hash(&self.content(entry)?).ok_or_else(none)
    }
}

impl Drop for Esp {
    fn drop(&mut self) {
        if self.mounted && fsys::unmount(&self.folder, false).is_err() {
            let _ = fsys::unmount(&self.folder, true);
        }
    }
}

/// What the medium has, past the page cache.
fn read_back(path: &Path, size: u64) -> Result<Vec<u8>, Error> {
    let device = Device::open(path)?;
    let mut content = Vec::with_capacity(size as usize);
    let mut buffer = Buffer::new(PIECE);
    while (content.len() as u64) < size {
        match device.read_some(&mut buffer, content.len() as u64)? {
            0 => break,
            count => content.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(content)
}

/// The bytes are the signed ones, and they are what this release needs: the boot loader skips a file without a readable
/// version, and a root hash of another release would start that one.
fn check(content: &[u8], piece: &Piece, version: &str, root: RootHash) -> Result<(), Error> {
    if Digest::of(content).to_string() != piece.sha256 {
        return Err(Error::Trust("the UKI is not the one that was signed, or the disk has kept something else".into()));
    }
    if root_hash(content) != Some(root) {
        return Err(Error::Trust("the UKI starts another root than the one that was signed with it".into()));
    }
    let image = pe::Image::parse(content).map_err(|error| Error::Trust(format!("the UKI: {error}")))?;
    let release = String::from_utf8_lossy(image.section(".osrel").unwrap_or_default()).into_owned();
    let says =
        release.lines().find_map(|line| line.strip_prefix("IMAGE_VERSION=")).unwrap_or_default().trim_matches('"');
    if says != version {
        return Err(Error::Trust(format!("the UKI says that it is version {says:?}, not {version:?}")));
    }
    Ok(())
}

fn root_hash(content: &[u8]) -> Option<RootHash> {
    let image = pe::Image::parse(content).ok()?;
    let line = String::from_utf8_lossy(image.section(".cmdline")?).into_owned();
    line.split_whitespace().find_map(|word| word.strip_prefix("roothash=")?.parse().ok())
}

/// Directory entries of a name: one, and one for each 13 characters of a name that is no short one.
fn directory_entries(name: &str) -> usize {
    let short =
        |part: &str, most: usize| part.len() <= most && !part.chars().any(|c| c.is_ascii_lowercase() || c == '.');
    let (stem, extension) = name.split_once('.').unwrap_or((name, ""));
    let is_short = short(stem, 8) && short(extension, 3) && !name.contains(['+', '~']);
    if is_short { 1 } else { 1 + name.chars().count().div_ceil(13) }
}

/// Whether a folder of these files still fits one sector when one more of this name comes and another is renamed: only
/// then a rename is one write, whole or not at all.
fn fits(files: &[String], coming: &str) -> bool {
    let each = || files.iter().map(String::as_str).chain([coming]).map(directory_entries);
    let dots = 2;
    dots + each().sum::<usize>() + each().max().unwrap_or(0) <= SECTOR
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_config::boot_entry::BootEntry;

    #[test]
    fn one_sector() {
        let check = |files: &[&str], coming, expect| {
            let files: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
            assert_eq!(fits(&files, coming), expect, "{files:?}");
        };
        check(&["ashlar_0.1.0.efi"], "ashlar_0.2.0+3.efi", true);
        check(&["ashlar_12345678901.efi"], "ashlar_12345678902+3-0.efi", true);
        check(&["ashlar_0.1.0.efi", "ashlar_0.3.0.efi", "ashlar_0.4.0.efi"], "ashlar_0.2.0+3.efi", false);
    }

    fn esp(files: &[&str]) -> (tempfile::TempDir, Esp) {
        let folder = tempfile::tempdir().unwrap();
        let entries = folder.path().join(ENTRIES);
        fs::create_dir_all(&entries).unwrap();
        files.iter().for_each(|file| fs::write(entries.join(file), "uki").unwrap());
        let esp = Esp { folder: folder.path().to_owned(), mounted: false };
        (folder, esp)
    }

    #[test]
    fn entries_come_and_go() {
        let (_folder, esp) = esp(&["ashlar_1.efi", "ashlar_2+2-1.efi", "NEW.TMP", "other.efi"]);
        fs::write(esp.folder.join("FSCK0000.REC"), "").unwrap();
        esp.tidy().unwrap();
        assert!(!esp.folder.join("FSCK0000.REC").exists());
        let two = esp.entry("2").unwrap().unwrap();
        esp.rename(&two, &two.bad()).unwrap();
        esp.remove(&BootEntry::new("1")).unwrap();
        let mut names = esp.names().unwrap();
        names.sort();
        assert_eq!(names, ["ashlar_2+0-3.efi", "other.efi"]);
        assert_eq!(esp.entry("1").unwrap(), None);
        let error = esp.remove(&BootEntry::new("1")).unwrap_err().line();
        assert!(error.contains("remove") && error.contains("ashlar_1.efi"), "{error}");
    }

    #[test]
    fn room_is_known_before() {
        let (_folder, esp) =
            esp(&["ashlar_1.efi", "a-long-name-of-a-file-that-is-not-ours.efi", "another-long-name-of-one.efi"]);
        let error = esp.has_room(&BootEntry::new("2").on_trial(), &[], 1).unwrap_err().to_string();
        assert!(error.contains("another-long-name-of-one.efi"), "{error}");
        let (_folder, esp) = super::tests::esp(&["ashlar_1.efi"]);
        esp.has_room(&BootEntry::new("2").on_trial(), &[], 1).unwrap();
        assert!(
            esp.has_room(&BootEntry::new("2").on_trial(), &[], u64::MAX)
                .unwrap_err()
                .to_string()
                .contains("are needed")
        );
    }
}
