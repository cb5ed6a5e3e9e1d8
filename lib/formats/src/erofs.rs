//! EROFS superblocks (kernel documentation, filesystems/erofs, "On-disk format"): enough to know that a partition
//! holds one, which one, and how much of it. The kernel reads the rest; mkfs.erofs writes it.

use crate::field::{array, text, u16, u32, u64};
use crate::uuid::Uuid;

/// Where the superblock begins.
pub const OFFSET: u64 = 1024;
/// How much of it is needed.
pub const BYTES: usize = 128;
const MAGIC: u32 = 0xe0f5_e1e2;

/// A superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Bytes of a block.
    pub block_bytes: u64,
    /// Blocks of the file system.
    pub blocks: u32,
    /// Number of files, directories and links.
    pub inodes: u64,
    /// When it was made, in seconds since 1970.
    pub build_time: u64,
    /// UUID.
    pub uuid: Uuid,
    /// Volume name.
    pub name: String,
}

/// The bytes are no superblock.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// No EROFS.
    #[error("read the EROFS superblock: its magic number is not there")]
    Magic,
    /// A value out of range.
    #[error("read the EROFS superblock: {0} is out of range")]
    Range(&'static str),
}

impl Superblock {
    /// Reads the [`BYTES`] bytes at [`OFFSET`].
    ///
    /// # Errors
    /// They are no superblock.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() < BYTES || u32(bytes, 0) != MAGIC {
            return Err(Error::Magic);
        }
        let bits = bytes[12];
        if !(9..=16).contains(&bits) {
            return Err(Error::Range("the block size"));
        }
        if u32(bytes, 36) == 0 || u16(bytes, 14) == 0 {
            return Err(Error::Range("the number of blocks or the root"));
        }
        Ok(Self {
            block_bytes: 1 << bits,
            blocks: u32(bytes, 36),
            inodes: u64(bytes, 16),
            build_time: u64(bytes, 24),
            uuid: Uuid(array(bytes, 48)),
            name: text(&bytes[64..80]),
        })
    }

    /// Bytes of the file system.
    pub fn bytes(&self) -> u64 {
        u64::from(self.blocks) * self.block_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::put;

    fn superblock() -> Vec<u8> {
        let mut bytes = vec![0; BYTES];
        put(&mut bytes, 0, &MAGIC.to_le_bytes());
        bytes[12] = 12;
        put(&mut bytes, 14, &36u16.to_le_bytes());
        put(&mut bytes, 16, &7u64.to_le_bytes());
        put(&mut bytes, 24, &1_700_000_000u64.to_le_bytes());
        put(&mut bytes, 36, &3u32.to_le_bytes());
        put(&mut bytes, 48, &[7; 16]);
        put(&mut bytes, 64, b"root");
        bytes
    }

    #[test]
    fn reads() {
        let read = Superblock::parse(&superblock()).unwrap();
        assert_eq!((read.bytes(), read.inodes, read.build_time), (12_288, 7, 1_700_000_000));
        assert_eq!((read.uuid, read.name.as_str()), (Uuid([7; 16]), "root"));
    }

    #[test]
    fn refuses() {
        fn check(at: usize, value: u8, expect: Error) {
            let mut bytes = superblock();
            bytes[at] = value;
            assert_eq!(Superblock::parse(&bytes), Err(expect));
        }
        check(0, 0, Error::Magic);
        check(12, 64, Error::Range("the block size"));
        check(36, 0, Error::Range("the number of blocks or the root"));
        assert_eq!(Superblock::parse(&superblock()[..127]), Err(Error::Magic));
    }
}
