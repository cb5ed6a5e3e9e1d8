//! Readers and bytes that anybody may have written: whatever is changed, the answer is a value or an error, and it
//! comes soon. Fuzzing goes deeper; this runs with every test.

use std::io::Cursor;

use ashlar_formats::uuid::Uuid;
use ashlar_formats::{cpio, erofs, fat, gpt, pe, verity};

const ROUNDS: usize = 5_000;

/// xorshift64*: the same changes in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

/// Reads `good` many times, each with up to four changed bytes in one of the `places`.
fn damage(good: &[u8], places: &[std::ops::Range<usize>], mut read: impl FnMut(&mut Vec<u8>)) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut bytes = good.to_vec();
    for _ in 0..ROUNDS {
        let place = &places[random.below(places.len())];
        let changed: Vec<usize> = (0..=random.below(4)).map(|_| place.start + random.below(place.len())).collect();
        let values = [0, 1, 0x7f, 0x80, 0xff, random.below(256) as u8];
        changed.iter().for_each(|at| bytes[*at] = values[random.below(values.len())]);
        read(&mut bytes);
        changed.iter().for_each(|at| bytes[*at] = good[*at]);
    }
}

fn whole(bytes: &[u8]) -> [std::ops::Range<usize>; 1] {
    std::array::from_fn(|_| 0..bytes.len())
}

/// CRC-32, bit by bit: a damaged header only matters once its checksum is right again.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[test]
fn partition_tables() {
    let mut disk = Cursor::new(vec![0; 4 << 20]);
    let mut table = gpt::Table::new(Uuid::derived("disk", b""), 512, 4 << 20).unwrap();
    let partition = |name: &str, first, last| gpt::Partition {
        type_id: gpt::types::ESP,
        id: Uuid::derived(name, b""),
        first,
        last,
        attributes: 0,
        name: name.to_owned(),
    };
    table.add(partition("esp", 2048, 3000)).unwrap();
    table.add(partition("root-a", 3001, 4000)).unwrap();
    table.write(&mut disk).unwrap();
    let mut good = disk.into_inner();
    // Few entries: the sum over all of them is most of the time.
    good[512 + 80..512 + 84].copy_from_slice(&4u32.to_le_bytes());
    let mut accepted = 0;
    damage(&good, &[512 + 8..512 + 92, 1024..1024 + 256], |bytes| {
        let entries = crc32(&bytes[1024..1024 + 512]);
        bytes[512 + 88..512 + 92].copy_from_slice(&entries.to_le_bytes());
        bytes[512 + 16..512 + 20].fill(0);
        let header = crc32(&bytes[512..512 + 92]);
        bytes[512 + 16..512 + 20].copy_from_slice(&header.to_le_bytes());
        if let Ok(found) = gpt::Table::read(&mut Cursor::new(&bytes[..])) {
            accepted += usize::from(found.damaged != Some(gpt::Which::Primary));
            let mut table = found.table;
            let _ = (table.fit(8 << 20), table.free_tail(), table.grow_last());
            assert!(table.partitions().all(|(_, partition)| table.extent(partition).1 > 0));
        }
        // The sums were changed beside the bytes that the caller puts back.
        bytes[512..1024].copy_from_slice(&good[512..1024]);
    });
    assert!(accepted > ROUNDS / 10, "only {accepted} tables came past their checksums");
}

#[test]
fn volumes() {
    let mut root = fat::Directory::default();
    root.add("EFI/Linux/ashlar_0.1.0.efi", &[7; 9000]).unwrap();
    root.add("loader/loader.conf", b"timeout 0\n").unwrap();
    let mut disk = Cursor::new(Vec::new());
    let image = fat::Image { bytes: 260 << 20, volume_id: 1, label: "ESP", modified: 0, root };
    image.write(&mut disk, 0).unwrap();
    let mut good = disk.into_inner();
    good.resize(good.len() + 4096, 0);
    let (fat_at, data_at) = (32 * 512, good.windows(4).position(|bytes| bytes == b"EFI ").unwrap() - 32);
    damage(&good, &[0..512, fat_at..fat_at + 64, data_at..data_at + 5 * 4096], |bytes| {
        if let Ok(mut volume) = fat::Volume::open(Cursor::new(&bytes[..]), 0) {
            let _ = volume.list("EFI/Linux");
            let _ = volume.read("EFI/Linux/ashlar_0.1.0.efi", 1 << 20);
        }
    });
}

#[test]
fn hash_trees() {
    let data = vec![7; 300 * 4096];
    let tree = verity::build(&data[..], &[5; 32], Uuid::default()).unwrap();
    damage(&tree.bytes, &whole(&tree.bytes[..512]), |bytes| {
        if let Ok((superblock, _)) = verity::top(&mut Cursor::new(&bytes[..])) {
            let _ =
                (superblock.tree_bytes(), superblock.data_bytes(), superblock.leaf_offset(superblock.data_blocks - 1));
        }
    });
}

#[test]
fn archives_and_superblocks() {
    let mut writer = cpio::Writer::new(Vec::new(), 0);
    writer.directory("dev", 0o755).unwrap();
    writer.file("init", 0o755, b"hello").unwrap();
    let archive = writer.finish().unwrap();
    damage(&archive, &whole(&archive), |bytes| drop(cpio::read(bytes)));
    damage(&[0x55; 128], &whole(&[0; 128]), |bytes| {
        bytes[..4].copy_from_slice(&0xe0f5_e1e2_u32.to_le_bytes());
        if let Ok(superblock) = erofs::Superblock::parse(bytes) {
            let _ = superblock.bytes();
        }
    });
}

#[test]
fn images() {
    let mut image = vec![0; 2048];
    let mut put = |at: usize, field: &[u8]| image[at..at + field.len()].copy_from_slice(field);
    put(0, b"MZ");
    put(60, &[64]);
    put(64, b"PE\0\0\x64\x86\x01\0");
    put(84, &[240]);
    put(88, &[0x0b, 0x02]);
    for (at, value) in
        [(120, 0x1000u32), (124, 0x200), (148, 0x600), (336, 0x100), (340, 0x1000), (344, 0x200), (348, 0x600)]
    {
        put(at, &value.to_le_bytes());
    }
    let kernel = image.clone();
    let uki = pe::Uki { os_release: "", command_line: "", kernel_release: None, kernel: &kernel, initramfs: &[] };
    pe::write(&image, &uki).unwrap();
    damage(&image, &whole(&image[..400]), |bytes| {
        if let Ok(read) = pe::Image::parse(bytes) {
            read.sections().for_each(drop);
        }
        let _ = pe::write(bytes, &uki);
    });
}
