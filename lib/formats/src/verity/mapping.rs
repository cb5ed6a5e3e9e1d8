//! What device-mapper wants to know of a verity device (kernel documentation, device-mapper/verity).

use super::{BLOCK, FIRST_HASH_BLOCK, RootHash, Superblock};

/// What the kernel calls the kind of mapping.
pub const KIND: &str = "verity";
/// From what is wanted to what the oldest kernel takes: a corrupt root must never go on running, and one that cannot be
/// read is no better.
const OPTIONS: [&str; 3] = ["2 panic_on_corruption panic_on_error", "1 panic_on_corruption", "1 restart_on_corruption"];
/// Bytes of what device-mapper calls a sector.
const SECTOR: u64 = 512;

/// A device over a root and its tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// As cryptsetup calls a verity device, so that its tools know ours.
    pub uuid: String,
    /// Length in sectors of 512 bytes.
    pub length: u64,
    /// The target's parameters, the form that is wanted first.
    pub forms: Vec<String>,
}

impl Mapping {
    /// Of the device `name`, over the partitions of a root and of its tree.
    pub fn new(name: &str, superblock: &Superblock, (data, tree): (&str, &str), root_hash: RootHash) -> Self {
        let salt: String = superblock.salt.iter().map(|byte| format!("{byte:02x}")).collect();
        let salt = if salt.is_empty() { "-" } else { &salt };
        let blocks = superblock.data_blocks;
        let line = |options: &str| {
            format!("1 {data} {tree} {BLOCK} {BLOCK} {blocks} {FIRST_HASH_BLOCK} sha256 {root_hash} {salt} {options}")
        };
        Self {
            uuid: format!("CRYPT-VERITY-{}-{name}", &root_hash.to_string()[..32]),
            length: superblock.data_bytes() / SECTOR,
            forms: OPTIONS.map(line).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uuid::Uuid;

    #[test]
    fn tables() {
        let check = |salt: &[u8], expect: &str| {
            let superblock = Superblock { uuid: Uuid::default(), salt: salt.to_vec(), data_blocks: 7 };
            let mapping = Mapping::new("root", &superblock, ("/dev/vda2", "/dev/vda3"), RootHash([0xab; 32]));
            let root = "ab".repeat(32);
            let head = "1 /dev/vda2 /dev/vda3 4096 4096 7 1 sha256";
            assert_eq!(mapping.forms[1], format!("{head} {root} {expect} 1 panic_on_corruption"));
            assert_eq!((mapping.length, mapping.uuid), (56, format!("CRYPT-VERITY-{}-root", "ab".repeat(16))));
        };
        check(&[0, 255], "00ff");
        check(&[], "-");
    }
}
