//! Counting, where the boot loader does not: boots of a version that is blessed, and those of one on trial whose boot
//! entry the loader could not rename. Nothing here keeps a machine from booting.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ashlar_config::boot_entry::{BootEntry, TRIES};
use ashlar_config::boot_record::{BootRecord, FILE, LENGTH};
use ashlar_sys::filesystem as fsys;

use crate::console;

const MOUNT: &str = "/esp";
const ENTRIES: &str = "EFI/Linux";

/// A boot of this version begins.
pub fn begin(esp: &str, version: &str) {
    let mount = Path::new(MOUNT);
    let _ = fs::create_dir(mount);
    let flags = fsys::NO_SUID | fsys::NO_DEVICES | fsys::NO_EXEC;
    let counted = fsys::mount(esp, mount, "vfat", flags, "umask=0077").and_then(|()| {
        let counted = count(mount, version);
        fsys::unmount(mount, false).and(counted)
    });
    if let Err(error) = counted {
        console::note(&format!("cannot count this boot on {esp}: {error}"));
    }
}

fn count(esp: &Path, version: &str) -> io::Result<()> {
    let record = record(esp, version)?;
    let entries = esp.join(ENTRIES);
    let names = fs::read_dir(&entries)?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let Some(entry) = names.filter_map(|name| BootEntry::parse(&name)).find(|entry| entry.version == version) else {
        return Ok(());
    };
    let Some(counted) = counted(&entry, record.is_too_many()) else { return Ok(()) };
    if entry.counter.is_none() {
        let times = record.unready - 1;
        console::alarm(&format!(
            "ashlar {version} did not become ready {times} times in a row: from now on the boot loader counts its tries"
        ));
        store(esp, &BootRecord { version: version.to_owned(), unready: 0 })?;
    }
    let to = entries.join(counted.file());
    fs::rename(entries.join(entry.file()), &to)?;
    // The file and not the folder: only its inode's write has all of the new name in the one sector.
    File::open(to)?.sync_all()
}

/// What an entry is to be called, if it is to be called something else: this boot is the first of its tries.
fn counted(entry: &BootEntry, too_many: bool) -> Option<BootEntry> {
    let is_first = match entry.counter {
        None => too_many,
        // The loader renames an entry before it starts it: this one it could not.
        Some(counter) => counter == (TRIES, 0),
    };
    is_first.then(|| BootEntry { counter: Some((TRIES - 1, 1)), ..entry.clone() })
}

/// Counts up in the record.
fn record(esp: &Path, version: &str) -> io::Result<BootRecord> {
    let record = BootRecord::parse(&fs::read(esp.join(FILE)).unwrap_or_default()).begun(version);
    store(esp, &record)?;
    Ok(record)
}

/// Writes the record, in place.
fn store(esp: &Path, record: &BootRecord) -> io::Result<()> {
    let path = esp.join(FILE);
    fs::create_dir_all(path.parent().unwrap_or(esp))?;
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() != LENGTH as u64 {
        file.set_len(LENGTH as u64)?;
    }
    file.write_all_at(&record.bytes(), 0)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Boots of version 2, each of which begins with these names; the names after the last one.
    fn check(boots: u32, name: &str, expect: &str) {
        let esp = std::env::temp_dir().join(format!("ashlar-count-{}-{boots}-{name}", std::process::id()));
        fs::create_dir_all(esp.join(ENTRIES)).unwrap();
        fs::write(esp.join(ENTRIES).join(name), "").unwrap();
        fs::write(esp.join(ENTRIES).join("ashlar_1.efi"), "").unwrap();
        (0..boots).for_each(|_| count(&esp, "2").unwrap());
        let mut names: Vec<String> = fs::read_dir(esp.join(ENTRIES))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        fs::remove_dir_all(esp).unwrap();
        assert_eq!(names, ["ashlar_1.efi", expect], "{boots} boots");
    }

    #[test]
    fn a_blessed_version_is_counted_again_once_it_does_not_become_ready() {
        check(3, "ashlar_2.efi", "ashlar_2.efi");
        check(4, "ashlar_2.efi", "ashlar_2+2-1.efi");
    }

    #[test]
    fn what_the_loader_could_not_count_is_counted_here() {
        check(1, "ashlar_2+3.efi", "ashlar_2+2-1.efi");
        check(1, "ashlar_2+2-1.efi", "ashlar_2+2-1.efi");
        check(1, "ashlar_2+0-3.efi", "ashlar_2+0-3.efi");
    }
}
