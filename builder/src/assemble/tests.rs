//! A small release, made and read back.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};

use ashlar_formats::{fat, verity};

use super::*;
use crate::inspect;

const MIB: u64 = 1 << 20;

/// A PE file with nothing in it but headers and a section, and room for more.
pub(crate) fn program(machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 0x800];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, b"MZ");
    put(60, &[64]);
    put(64, b"PE\0\0");
    put(68, &machine.to_le_bytes());
    put(70, &[1]);
    put(84, &[240]);
    put(88, &[0x0b, 0x02]);
    for (at, value) in [(32, 0x1000u32), (36, 0x200), (60, 0x600), (108, 16)] {
        put(88 + at, &value.to_le_bytes());
    }
    for (at, value) in [(8, 0x100u32), (12, 0x1000), (16, 0x200), (20, 0x600)] {
        put(328 + at, &value.to_le_bytes());
    }
    bytes
}

/// Everything that a release needs, in a folder that goes with it.
struct Fixture {
    folder: tempfile::TempDir,
    program: Vec<u8>,
    parameters: Vec<String>,
}

impl Fixture {
    fn new(root_mib: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("root.erofs"), vec![7; root_mib << 20]).unwrap();
        let parameters = ["console=ttyS0", "panic=10"].map(str::to_owned).to_vec();
        Self { folder, program: program(pe::X86_64), parameters }
    }

    fn with<T>(&self, act: impl FnOnce(Inputs<'_>) -> T) -> T {
        act(Inputs {
            arch: Arch::X86_64,
            image: "base",
            version: "0.1.0",
            date: Date::from_seconds(1_795_252_544),
            os_release: "ID=ashlar\nIMAGE_VERSION=0.1.0\n",
            kernel_release: "6.12",
            parameters: &self.parameters,
            root: &self.folder.path().join("root.erofs"),
            kernel: &self.program,
            initramfs: &[9; 5000],
            loader: &self.program,
            stub: &self.program,
            signer: None,
            salt: [5; 32],
            sizes: Sizes { esp: 260 * MIB, slot: 64 * MIB },
            contents: &Contents::default(),
            esp_files: &[("ashlar/machine.toml", b"hostname = \"web-1\"\n")],
            output: self.folder.path(),
        })
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join(name)).unwrap()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn makes_what_it_describes() {
    let fixture = Fixture::new(3);
    let release = fixture.with(|inputs| assemble(&inputs)).unwrap();
    assert_eq!(fixture.names(), ["ashlar.efi", "disk.raw", "release.json", "root.erofs", "root.verity"]);
    assert_eq!(Release::from_json(&String::from_utf8(fixture.read("release.json")).unwrap()).unwrap(), release);
    for (name, piece) in &release.files {
        let content = fixture.read(name);
        assert_eq!((content.len() as u64, Digest::of(&content)), (piece.size, piece.sha256), "{name}");
    }
    let root: RootHash = release.root_hash.to_string().parse().unwrap();
    verity::verify(&fixture.read("root.verity")[..], &fixture.read("root.erofs")[..], root).unwrap();
    let uki = fixture.read("ashlar.efi");
    let command_line = pe::Image::parse(&uki).unwrap().section(".cmdline").unwrap();
    assert_eq!(
        command_line,
        format!("roothash={} ashlar.version=0.1.0 console=ttyS0 panic=10", release.root_hash).as_bytes()
    );
}

#[test]
fn makes_a_sparse_disk_with_everything_in_its_place() {
    let fixture = Fixture::new(3);
    let release = fixture.with(|inputs| assemble(&inputs)).unwrap();
    let mut disk = File::open(fixture.folder.path().join("disk.raw")).unwrap();
    let metadata = disk.metadata().unwrap();
    assert_eq!(metadata.len(), (1 + 260 + 2 * (64 + 1) + 1) * MIB);
    assert!(metadata.blocks() * 512 < 8 * MIB, "{} blocks", metadata.blocks());
    let table = gpt::Table::read(&mut disk).unwrap().table;
    let names: Vec<_> = table.partitions().map(|(_, partition)| partition.name.as_str()).collect();
    assert_eq!(names, ["esp", "root-a", "verity-a", "root-b", "verity-b"]);
    let content = fixture.read("disk.raw");
    let at = |name: &str| table.extent(table.by_name(name).unwrap().1).0 as usize;
    assert!(content[at("root-a")..].starts_with(&fixture.read("root.erofs")));
    assert!(content[at("verity-a")..].starts_with(&fixture.read("root.verity")));
    assert!(content[at("root-b")..at("verity-b") + MIB as usize].iter().all(|byte| *byte == 0));
    assert!(release.root_hash.to_string().starts_with(&table.by_name("root-a").unwrap().1.id.to_string()[..8]));
    let mut esp = fat::Volume::open(&disk, at("esp") as u64).unwrap();
    assert_eq!(esp.read("EFI/Linux/ashlar_0.1.0.efi", 1 << 20).unwrap(), fixture.read("ashlar.efi"));
    assert_eq!(esp.read("EFI/BOOT/BOOTX64.EFI", 1 << 20).unwrap(), fixture.program);
    assert_eq!(esp.read("ashlar/machine.toml", 100).unwrap(), b"hostname = \"web-1\"\n");
    assert_eq!(esp.read("loader/loader.conf", 100).unwrap(), b"timeout 0\neditor no\n");
}

#[test]
fn makes_the_same_bytes_again() {
    let (one, other) = (Fixture::new(3), Fixture::new(3));
    let names = ["ashlar.efi", "release.json", "root.verity"];
    for fixture in [&one, &other] {
        fixture.with(|inputs| assemble(&inputs)).unwrap();
        sums::write(fixture.folder.path(), "", &names).unwrap();
    }
    let text = String::from_utf8(one.read("SHA256SUMS")).unwrap();
    assert_eq!(text.as_bytes(), other.read("SHA256SUMS"));
    assert!(one.read("disk.raw") == other.read("disk.raw"));
    let line = format!("{}  root.verity\n", Digest::of(&one.read("root.verity")));
    assert_eq!((text.lines().count(), text.ends_with(&line)), (3, true));
}

#[test]
fn refuses_what_does_not_fit() {
    #[track_caller]
    fn check(change: impl FnOnce(&mut Inputs<'_>), expect: &str) {
        let fixture = Fixture::new(3);
        let error = fixture.with(|mut inputs| {
            change(&mut inputs);
            assemble(&inputs).unwrap_err()
        });
        assert!(error.to_string().contains(expect), "{error}");
        assert_eq!(fixture.names(), ["root.erofs"]);
    }
    check(
        |inputs| inputs.sizes.slot = 2 * MIB,
        "put the root into the slot: it needs 3145728 bytes, the slot has 2097152",
    );
    check(|inputs| inputs.sizes.slot = 64 * MIB + 512, "use slot size 67109376");
    check(|inputs| inputs.sizes.esp = 4 * MIB, "two kernel images into the ESP: it needs");
    check(|inputs| inputs.sizes.esp = 128 * MIB, "make a FAT32 volume of 134217728 bytes");
    check(|inputs| inputs.version = "0.1.0-of-today", "longer than 11 characters");
    check(|inputs| inputs.version = "0.2.0", "no line IMAGE_VERSION=0.2.0");
    check(|inputs| inputs.arch = Arch::Aarch64, "use the kernel: it is not for aarch64");
    check(|inputs| inputs.loader = b"MZ", "use the boot loader");
    check(|inputs| inputs.root = Path::new("/nowhere"), "access /nowhere");
    check(|inputs| inputs.output = Path::new("/nowhere"), "access /nowhere/disk.raw.new");
    const CROWD: &[(&str, &[u8])] = &[("EFI/Linux/one more.efi", b""), ("EFI/Linux/and another.efi", b"")];
    check(|inputs| inputs.esp_files = CROWD, "fill EFI/Linux of the ESP: with an upgrade it would have 17");
    let roothash = ["roothash=00".to_owned()];
    let fixture = Fixture::new(3);
    let error = fixture.with(|inputs| assemble(&Inputs { parameters: &roothash, ..inputs }).unwrap_err());
    assert!(error.to_string().contains("use kernel parameter \"roothash=00\""), "{error}");
}

#[test]
fn is_read_back_by_inspect() {
    let fixture = Fixture::new(3);
    let release = fixture.with(|inputs| assemble(&inputs)).unwrap();
    let report = inspect::read(fixture.folder.path()).unwrap();
    assert_eq!(report.release.as_ref(), Some(&release));
    let disk = report.disk.as_ref().unwrap();
    let hash = release.root_hash.to_string();
    assert_eq!(disk.problems, Vec::<String>::new());
    assert_eq!(disk.entries[0].version.as_deref(), Some("0.1.0"));
    assert_eq!(disk.entries[0].root_hash(), Some(&hash[..]));
    assert_eq!(disk.slots[0].root_hash.as_deref(), Some(&hash[..]));
    assert_eq!(disk.slots[0].version.as_deref(), Some("0.1.0"));
    assert_eq!((&disk.slots[1].name[..], &disk.slots[1].root_hash), ("b", &None));
    let text = inspect::render::text(&report);
    assert!(text.contains("2  root-a     root-x86-64         64.0 MiB\n"), "{text}");
    assert!(text.contains("EFI/Linux/ashlar_0.1.0.efi  0.1.0    6.12"), "{text}");
    assert!(text.contains("b     -        0 B   64.0 MiB  empty\n"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["disk"]["slots"][0]["root_hash"], hash);

    // A disk whose boot partition and one tree are damaged still says what the rest is.
    let path = fixture.folder.path().join("disk.raw");
    let damaged = File::options().write(true).open(&path).unwrap();
    damaged.write_all_at(&[0; 512], MIB).unwrap();
    damaged.write_all_at(&[9], (1 + 260 + 64) * MIB + 8).unwrap();
    let report = inspect::read(&path).unwrap();
    let problems = report.disk.unwrap().problems;
    assert!(
        problems[0].contains("it is not FAT32") && problems[1].contains("slot a: read the verity superblock"),
        "{problems:?}"
    );
    let error = inspect::read(&fixture.folder.path().join("ashlar.efi")).unwrap_err();
    assert!(error.to_string().contains("read disk"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert!(inspect::read(empty.path()).unwrap_err().to_string().contains("neither disk.raw nor release.json"));
}
