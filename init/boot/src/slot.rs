//! A disk's slots: each is a hash tree and the root of the same letter, told apart by the root hash alone.

use std::io::{Read, Seek};

use ashlar_formats::gpt::{self, Partition, Table, types};
use ashlar_formats::uuid::Uuid;
use ashlar_formats::verity::{self, RootHash, Superblock};

#[cfg(target_arch = "x86_64")]
const TYPES: (Uuid, Uuid) = (types::ROOT_X86_64, types::ROOT_VERITY_X86_64);
#[cfg(target_arch = "aarch64")]
const TYPES: (Uuid, Uuid) = (types::ROOT_ARM64, types::ROOT_VERITY_ARM64);

/// A slot with a hash tree. Partitions are paths in /dev.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// `a` or `b`.
    pub name: String,
    /// The whole disk.
    pub disk: String,
    /// What the tree covers.
    pub data: String,
    /// The tree.
    pub tree: String,
    /// What the tree says of itself.
    pub superblock: Superblock,
    /// The digest of its top block.
    pub root_hash: RootHash,
    /// The disk's EFI system partition, and its GUID.
    pub esp: Option<(String, Uuid)>,
}

/// What is in a hash partition, by its label: a slot, or why there is none.
pub type Look = Vec<(String, Result<Slot, String>)>;

/// Looks at a disk. `open` opens a partition by its path.
pub fn look<P: Read + Seek>(
    disk: &str,
    bytes: &mut (impl Read + Seek),
    open: impl Fn(&str) -> std::io::Result<P>,
) -> Result<Look, gpt::Error> {
    let table = Table::read(bytes)?.table;
    let trees = table.partitions().filter(|(_, partition)| partition.type_id == TYPES.1);
    Ok(trees
        .map(|(number, tree)| {
            let path = partition_path(disk, number);
            let slot = open(&path)
                .map_err(|error| format!("{path}: {error}"))
                .and_then(|mut file| verity::top(&mut file).map_err(|error| reason(&error)))
                .and_then(|top| slot(disk, &table, (tree, path), top));
            (tree.name.clone(), slot)
        })
        .collect())
}

/// A slot that was never written has no tree: the usual case, in few words.
fn reason(error: &verity::Error) -> String {
    match error {
        verity::Error::Signature => "is empty".to_owned(),
        error => format!("is not usable ({error})"),
    }
}

fn slot(
    disk: &str,
    table: &Table,
    (tree, path): (&Partition, String),
    (superblock, root_hash): (Superblock, RootHash),
) -> Result<Slot, String> {
    let name = tree.name.strip_prefix("verity-").unwrap_or_default().to_owned();
    let label = format!("root-{name}");
    let data = table.partitions().find(|(_, data)| data.type_id == TYPES.0 && data.name == label);
    let (number, data) = data.ok_or_else(|| format!("has no partition {label} beside it"))?;
    for (partition, needed) in [(data, superblock.data_bytes()), (tree, superblock.tree_bytes())] {
        let size = table.extent(partition).1;
        if size < needed {
            return Err(format!("needs {needed} bytes of {}, which has {size}", partition.name));
        }
    }
    Ok(Slot {
        name,
        disk: disk.to_owned(),
        data: partition_path(disk, number),
        tree: path,
        superblock,
        root_hash,
        esp: esp(disk, table),
    })
}

/// The EFI system partition of a disk, and its GUID.
pub fn esp(disk: &str, table: &Table) -> Option<(String, Uuid)> {
    let found = table.partitions().find(|(_, partition)| partition.type_id == types::ESP);
    found.map(|(number, esp)| (partition_path(disk, number), esp.id))
}

/// The kernel's name of a partition: a letter between two numbers.
fn partition_path(disk: &str, number: usize) -> String {
    let between = if disk.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{between}{number}")
}

#[cfg(test)]
pub mod tests {
    use std::io::{self, Cursor};

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A disk with an ESP, a root of 64 KiB and a hash partition for each slot: written, empty.
    pub fn disk() -> (Vec<u8>, verity::Tree) {
        let data = vec![7; 64 << 10];
        let tree = verity::build(data.as_slice(), b"salt", Uuid::default()).unwrap();
        let mut table = Table::new(Uuid([1; 16]), 512, 16 * MIB).unwrap();
        let labels = ["esp", "root-a", "verity-a", "root-b", "verity-b"];
        let kinds = [types::ESP, TYPES.0, TYPES.1, TYPES.0, TYPES.1];
        for (at, (label, type_id)) in (1u64..).zip(labels.into_iter().zip(kinds)) {
            let (first, id) = (at * MIB / 512, Uuid([at as u8; 16]));
            let last = first + MIB / 512 - 1;
            table.add(Partition { type_id, id, first, last, attributes: 0, name: label.into() }).unwrap();
        }
        let mut bytes = Cursor::new(vec![0; 16 * MIB as usize]);
        table.write(&mut bytes).unwrap();
        let mut bytes = bytes.into_inner();
        let at = 3 * MIB as usize;
        bytes[at..at + tree.bytes.len()].copy_from_slice(&tree.bytes);
        (bytes, tree)
    }

    /// Opens partition N of that disk.
    pub fn open(bytes: &[u8], path: &str) -> io::Result<Cursor<Vec<u8>>> {
        let number = path.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u64>();
        let number = number.map_err(|_| io::Error::from(io::ErrorKind::NotFound))?;
        let at = (number * MIB) as usize;
        Ok(Cursor::new(bytes[at..at + MIB as usize].to_vec()))
    }

    #[test]
    fn finds_what_is_on_a_disk() {
        let (bytes, tree) = disk();
        let found = look("/dev/vda", &mut Cursor::new(&bytes), |path| open(&bytes, path)).unwrap();
        assert_eq!(found[1], ("verity-b".to_owned(), Err("is empty".to_owned())));
        let (label, slot) = &found[0];
        let slot = slot.as_ref().unwrap();
        assert_eq!((label.as_str(), slot.name.as_str(), slot.root_hash), ("verity-a", "a", tree.root));
        assert_eq!((slot.data.as_str(), slot.tree.as_str()), ("/dev/vda2", "/dev/vda3"));
        assert_eq!(slot.esp, Some(("/dev/vda1".to_owned(), Uuid([1; 16]))));
    }

    #[test]
    fn says_what_is_wrong() {
        fn check(change: impl Fn(&mut Vec<u8>), expect: &str) {
            let (mut bytes, _) = disk();
            change(&mut bytes);
            let found = look("/dev/vda", &mut Cursor::new(&bytes), |path| open(&bytes, path));
            let text = match found {
                Ok(found) => found[0].1.as_ref().unwrap_err().clone(),
                Err(error) => error.to_string(),
            };
            assert_eq!(text, expect);
        }
        check(|bytes| bytes.fill(0), "read the partition table: the disk has no GPT");
        check(
            |bytes| bytes[3 * MIB as usize + 8] = 2,
            "is not usable (read the verity superblock: its version is not one that is known)",
        );
        check(|bytes| bytes[3 * MIB as usize + 73] = 2, "needs 2162688 bytes of root-a, which has 1048576");
    }

    #[test]
    fn paths() {
        let check = |disk, number, expect| assert_eq!(partition_path(disk, number), expect);
        check("/dev/vda", 2, "/dev/vda2");
        check("/dev/nvme0n1", 2, "/dev/nvme0n1p2");
        check("/dev/mmcblk0", 12, "/dev/mmcblk0p12");
    }
}
