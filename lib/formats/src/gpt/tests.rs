//! Tables in memory: what was written is read, whatever part of it is damaged.

use std::io::Cursor;

use super::*;

const MIB: u64 = 1 << 20;

fn partition(name: &str, first: u64, last: u64) -> Partition {
    let id = Uuid::derived(name, b"");
    Partition { type_id: types::ROOT_X86_64, id, first, last, attributes: 1 << 60, name: name.to_owned() }
}

fn table(sector: u64) -> Table {
    let mut table = Table::new(Uuid::derived("disk", b""), sector, 8 * MIB).unwrap();
    let mib = MIB / sector;
    table.add(partition("root-a", mib, 3 * mib - 1)).unwrap();
    table.add(partition("größe", 3 * mib, 4 * mib - 1)).unwrap();
    table
}

fn disk(table: &Table, bytes: u64) -> Cursor<Vec<u8>> {
    let mut disk = Cursor::new(vec![0; bytes as usize]);
    table.write(&mut disk).unwrap();
    disk
}

#[test]
fn reads_what_it_writes() {
    for sector in [512, 4096] {
        let table = table(sector);
        let found = Table::read(&mut disk(&table, 8 * MIB)).unwrap();
        assert_eq!(found.table, table);
        assert_eq!(found.damaged, None);
        let (number, root) = found.table.by_name("root-a").unwrap();
        assert_eq!((number, found.table.extent(root)), (1, (MIB, 2 * MIB)));
    }
}

#[test]
fn survives_damage_of_either_copy() {
    #[track_caller]
    fn check(damage: &[usize], expect: Result<Option<Which>, &str>) {
        let table = table(512);
        let mut disk = disk(&table, 8 * MIB);
        for at in damage {
            disk.get_mut()[*at] ^= 1;
        }
        match (Table::read(&mut disk), expect) {
            (Ok(found), Ok(damaged)) => {
                assert_eq!(found.table, table);
                assert_eq!(found.damaged, damaged);
            }
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (outcome, _) => panic!("{outcome:?}"),
        }
    }
    let end = 8 * MIB as usize;
    let (signature, header, entry) = (512, 512 + 40, 1024 + 130);
    let (backup_header, backup_entry) = (end - 512 + 40, end - 33 * 512 + 130);
    check(&[100], Ok(None));
    for damage in [signature, header, entry] {
        check(&[damage], Ok(Some(Which::Primary)));
        check(&[damage, backup_header], Err("checksum"));
    }
    check(&[backup_header], Ok(Some(Which::Backup)));
    check(&[backup_entry], Ok(Some(Which::Backup)));
    check(&[signature, end - 512], Err("has no GPT"));
}

#[test]
fn finds_no_table_where_none_is() {
    for bytes in [0, 511, 1024, 40_000] {
        assert!(matches!(Table::read(&mut Cursor::new(vec![0; bytes])), Err(Error::None)), "{bytes}");
    }
}

#[test]
fn refuses_numbers_that_do_not_fit() {
    #[track_caller]
    fn check(at: usize, value: u64, width: usize, part: &str) {
        let mut disk = disk(&table(512), 8 * MIB);
        let bytes = disk.get_mut();
        let end = bytes.len();
        bytes[end - 512..].fill(0);
        bytes[512 + at..512 + at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        bytes[528..532].fill(0);
        let sum = crate::crc32::crc32(&bytes[512..512 + HEADER_BYTES]);
        bytes[528..532].copy_from_slice(&sum.to_le_bytes());
        let error = Table::read(&mut disk).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
    check(12, 91, 4, "header's size");
    check(12, u64::MAX, 4, "header's size");
    check(24, 2, 8, "the place");
    check(32, u64::MAX, 8, "the place");
    check(32, 8 * MIB / 512, 8, "the place");
    check(40, u64::MAX, 8, "usable");
    check(40, 4000, 8, "overlap");
    check(48, 3000, 8, "outside the disk");
    check(72, u64::MAX, 8, "the place");
    check(72, 1, 8, "the place");
    check(80, 0, 4, "number or size");
    check(80, u64::MAX, 4, "number or size");
    check(80, 200, 4, "the place");
    check(84, 256, 4, "number or size");
    check(88, 0, 4, "entries' checksum");
}

#[test]
fn grows_with_its_disk() {
    let mut disk = disk(&table(512), 8 * MIB);
    disk.get_mut().resize(32 * MIB as usize, 0);
    let Found { mut table, damaged } = Table::read(&mut disk).unwrap();
    assert_eq!((damaged, table.disk_bytes()), (None, 8 * MIB));
    assert!(table.fit(32 * MIB).unwrap());
    assert!(!table.fit(32 * MIB).unwrap());
    let (first, last) = table.free_tail().unwrap();
    assert_eq!((first * 512, (last + 1) * 512), (4 * MIB, 31 * MIB));
    assert_eq!(table.add(partition("state", first, last)).unwrap(), 3);
    assert_eq!(table.free_tail(), None);
    assert_eq!(table.grow_last(), None);

    // Cut between the two: the old one still holds, and knows nothing of the new backup.
    table.write_backup(&mut disk).unwrap();
    assert!(Table::read(&mut disk).unwrap().table.by_name("state").is_none());
    table.write_primary(&mut disk).unwrap();
    let found = Table::read(&mut disk).unwrap();
    assert_eq!((found.table, found.damaged), (table.clone(), None));

    // Cut inside the primary: the new one holds.
    disk.get_mut()[1024 + 300] ^= 1;
    let found = Table::read(&mut disk).unwrap();
    assert_eq!((found.table, found.damaged), (table.clone(), Some(Which::Primary)));

    table.fit(64 * MIB).unwrap();
    assert_eq!(table.grow_last(), Some(3));
    assert_eq!(table.by_name("state").unwrap().1.last + 1, 63 * MIB / 512);
    assert!(matches!(table.fit(MIB), Err(Error::TooSmall(MIB))));
}

#[test]
fn refuses_partitions_that_do_not_fit() {
    #[track_caller]
    fn check(new: Partition, expect: &str) {
        let mut table = table(512);
        let before = table.clone();
        let error = table.add(new).unwrap_err().to_string();
        assert!(error.contains(expect), "{error}");
        assert_eq!(table, before);
    }
    check(partition("x", 2048, 4000), "sectors 2048 to 4000 are not free");
    check(partition("x", 9000, 8999), "not free");
    check(partition("x", 9000, u64::MAX), "not free");
    check(partition("x", 0, 100), "not free");
    check(partition(&"x".repeat(37), 9000, 9001), "longer than 36");
    check(partition("root-a", 9000, 9001), "GUID is used");
}

#[test]
fn says_when_it_is_full() {
    let mut table = Table::new(Uuid::default(), 512, 8 * MIB).unwrap();
    for n in 0..128 {
        table.add(partition(&format!("p{n}"), 2048 + n, 2048 + n)).unwrap();
    }
    assert!(matches!(table.add(partition("last", 4096, 4096)), Err(Error::Full(_))));
    assert!(matches!(Table::new(Uuid::default(), 512, 16 << 10), Err(Error::TooSmall(_))));
}
