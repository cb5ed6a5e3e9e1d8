//! Heads of files and disks that come from elsewhere: patches, hash trees, images and their signatures, partition tables,
//! and the firmware's lists of certificates.
#![no_main]

use std::io::Cursor;

use ashlar_formats::alike::{Kind, made};
use ashlar_formats::pe::authenticode;
use ashlar_formats::{cpio, efi, erofs, fat, gpt, patch, pe, verity};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(head) = patch::Head::parse(bytes) {
        let _ = head.places();
        assert_eq!(head.bytes(), bytes[..head.len()]);
    }
    if let Ok(superblock) = verity::Superblock::parse(bytes) {
        let _ = (superblock.tree_bytes(), superblock.data_bytes(), superblock.levels());
    }
    let _ = verity::top(&mut Cursor::new(bytes));
    if let Ok(image) = pe::Image::parse(bytes) {
        let _ = (image.section(".cmdline"), image.sections().count());
    }
    // Each the new file and the one that runs, in halves.
    let (ours, new) = bytes.split_at(bytes.len() / 2);
    for kind in [Kind::Tree, Kind::Uki] {
        let mut read = |range: std::ops::Range<u64>| {
            new.get(range.start as usize..range.end as usize).map(<[u8]>::to_vec).ok_or(())
        };
        if let Ok(Some(parts)) = kind.parts(ours, new.len() as u64, &mut read) {
            assert_eq!(made(&parts, ours, new).len(), new.len());
        }
    }
    let certificates = efi::entries(bytes, efi::X509);
    assert!(authenticode::verify(bytes, &certificates, &[]).is_err());
    let _ = erofs::Superblock::parse(bytes).map(|superblock| superblock.bytes());
    let _ = cpio::read(bytes);
    if let Ok(found) = gpt::Table::read(&mut Cursor::new(bytes)) {
        let _ = found.table.partitions().map(|(_, partition)| found.table.extent(partition)).count();
    }
    if let Ok(mut files) = fat::Volume::open(Cursor::new(bytes), 0) {
        let _ = files.list("EFI/Linux");
        let _ = files.read("ashlar/boots", 64);
    }
});
