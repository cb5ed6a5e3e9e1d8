//! Volumes in memory: what was written is read, whatever part of it is damaged.

use std::io::Cursor;

use super::*;
use crate::field::put;

const BYTES: u64 = 260 << 20;
const START: u64 = 1 << 20;
const LARGE: [u8; 10_000] = [7; 10_000];

fn tree<'a>() -> Directory<'a> {
    let mut root = Directory::default();
    root.add("EFI/BOOT/BOOTX64.EFI", &LARGE).unwrap();
    root.add("EFI/Linux/ashlar_0.1.0.efi", b"uki").unwrap();
    root.add("loader/loader.conf", b"timeout 0\n").unwrap();
    root.add("empty", b"").unwrap();
    root.folder("ashlar").unwrap();
    root
}

fn volume() -> Vec<u8> {
    let mut disk = Cursor::new(Vec::new());
    let image = Image { bytes: BYTES, volume_id: 0x1234_5678, label: "ESP", modified: 1_795_252_544, root: tree() };
    image.write(&mut disk, START).unwrap();
    disk.into_inner()
}

fn open(bytes: Vec<u8>) -> Result<Volume<Cursor<Vec<u8>>>, Error> {
    Volume::open(Cursor::new(bytes), START)
}

/// Room for whole clusters at the end: only the written part is in memory.
fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(1 << 20), 0);
    bytes
}

#[test]
fn reads_what_it_writes() {
    assert_eq!(volume(), volume());
    let mut volume = open(padded(volume())).unwrap();
    assert_eq!(volume.id, 0x1234_5678);
    let mut names = |path: &str| -> Vec<(String, bool, u32)> {
        let entries = volume.list(path).unwrap();
        entries.into_iter().map(|entry| (entry.name, entry.is_directory, entry.bytes)).collect()
    };
    let entry = |name: &str, is_directory, bytes| (name.to_owned(), is_directory, bytes);
    let root = [entry("EFI", true, 0), entry("ashlar", true, 0), entry("empty", false, 0), entry("loader", true, 0)];
    assert_eq!(names("/"), root);
    assert_eq!(names("EFI/Linux"), [entry("ashlar_0.1.0.efi", false, 3)]);
    assert_eq!(names("ashlar"), []);
    assert_eq!(volume.read("efi/boot/bootx64.efi", 10_000).unwrap(), LARGE);
    assert_eq!(volume.read("empty", 0).unwrap(), b"");
    assert_eq!(volume.read("/loader/loader.conf", 100).unwrap(), b"timeout 0\n");
}

#[test]
fn says_what_is_not_there() {
    #[track_caller]
    fn check(path: &str, part: &str) {
        let error = open(padded(volume())).unwrap().read(path, 9_999).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    check("EFI/Linux/x.efi", "read EFI/Linux/x.efi of the FAT volume: it is not there");
    check("EFI", "it is a directory");
    check("", "it is a directory");
    check("empty/x", "a part of its path is a file");
    check("EFI/BOOT/BOOTX64.EFI", "larger than anything");
    let error = open(padded(volume())).unwrap().list("empty").unwrap_err().to_string();
    assert!(error.contains("it is a file"), "{error}");
}

#[test]
fn refuses_damage() {
    #[track_caller]
    fn check(at: usize, value: &[u8], part: &str) {
        let mut bytes = padded(volume());
        put(&mut bytes, START as usize + at, value);
        let read = open(bytes).and_then(|mut volume| volume.read("EFI/BOOT/BOOTX64.EFI", 1 << 20));
        let error = read.map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    let fat = 32 * 512;
    check(510, &[0], "not FAT32");
    check(11, &[0, 0], "not FAT32");
    check(13, &[3], "not FAT32");
    check(22, &[1], "not FAT32");
    check(14, &[0, 0], "sizes do not fit");
    check(16, &[3], "sizes do not fit");
    check(32, &[0; 4], "sizes do not fit");
    check(36, &[0; 4], "sizes do not fit");
    check(36, &[255; 4], "sizes do not fit");
    check(44, &[0; 4], "leads nowhere");
    check(44, &[255, 255, 255, 7], "leads nowhere");
    // The file's chain: free, ended, beyond the volume.
    check(fat + 4 * 8, &[0; 4], "leads nowhere");
    check(fat + 4 * 8, &[255, 255, 255, 15], "fewer clusters");
    check(fat + 4 * 8, &[255, 255, 15, 0], "leads nowhere");
}

#[test]
fn has_a_directory_of_one_sector_for_images() {
    let mut root = tree();
    let linux = root.folder("EFI/Linux").unwrap();
    assert_eq!(linux.entries(), 5);
    linux.add("ashlar_2026.11.25+3-0.efi", b"").unwrap();
    assert!(linux.entries() * ENTRY <= SECTOR);
}

#[test]
fn refuses_names() {
    #[track_caller]
    fn check(path: &str, part: &str) {
        let error = tree().add(path, b"").unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    check("empty", "add empty to the FAT volume: its name is there already");
    check("EMPTY", "is there with other capitals");
    check("efi/x", "is there with other capitals");
    check("empty/x", "is a file's");
    check("EFI/a:b", "a character that FAT does not allow");
    check("EFI/", "is empty");
}

#[test]
fn refuses_sizes() {
    let image = |bytes, root| Image { bytes, volume_id: 0, label: "ESP", modified: 0, root };
    let write = |image: Image<'_>| image.write(&mut Cursor::new(Vec::new()), 0).unwrap_err().to_string();
    assert!(write(image(1 << 20, tree())).contains("make a FAT32 volume of 1048576 bytes"));
    let large = vec![0; BYTES as usize];
    let mut root = Directory::default();
    root.add("large", &large).unwrap();
    assert!(write(image(BYTES, root)).contains("the files need 272633856 bytes, it has 272"));
}
