//! The fields of an ext4 superblock that say what has to be done with it (kernel documentation, filesystems/ext4).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const OFFSET: u64 = 1024;
const BYTES: usize = 1024;
const MAGIC: u16 = 0xef53;
const CLEAN: u16 = 1;
const ERRORS: u16 = 2;
const NEEDS_RECOVERY: u32 = 4;
const HAS_64_BIT: u32 = 0x80;

/// A superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Bytes of the file system.
    pub bytes: u64,
    /// It was unmounted, and nothing was ever wrong with it.
    pub is_clean: bool,
}

impl Superblock {
    /// Reads a partition's; `None` if it has none.
    pub fn read(partition: &File) -> io::Result<Option<Self>> {
        let mut bytes = [0; BYTES];
        partition.read_exact_at(&mut bytes, OFFSET)?;
        Ok(Self::parse(&bytes))
    }

    fn parse(bytes: &[u8; BYTES]) -> Option<Self> {
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let word = |at: usize| u32::from(short(at)) | u32::from(short(at + 2)) << 16;
        let block_bits = word(24);
        if short(56) != MAGIC || block_bits > 6 {
            return None;
        }
        let high = if word(96) & HAS_64_BIT == 0 { 0 } else { word(336) };
        let blocks = u64::from(word(4)) | u64::from(high) << 32;
        let is_clean = short(58) & (CLEAN | ERRORS) == CLEAN && word(96) & NEEDS_RECOVERY == 0;
        Some(Self { bytes: blocks.checked_mul(1024 << block_bits)?, is_clean })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        fn check(fields: &[(usize, u8)], expect: Option<(u64, bool)>) {
            let mut bytes = [0; BYTES];
            for (at, byte) in [(56, 0x53), (57, 0xef), (58, 1), (24, 2), (5, 1)].iter().chain(fields) {
                bytes[*at] = *byte;
            }
            let superblock = Superblock::parse(&bytes);
            assert_eq!(superblock.map(|s| (s.bytes, s.is_clean)), expect, "{fields:?}");
        }
        check(&[], Some((1 << 20, true)));
        check(&[(56, 0)], None);
        check(&[(24, 200)], None);
        check(&[(58, 3)], Some((1 << 20, false)));
        check(&[(58, 0)], Some((1 << 20, false)));
        check(&[(96, 4)], Some((1 << 20, false)));
        check(&[(96, 0x80), (336, 1)], Some(((1 << 44) + (1 << 20), true)));
        check(&[(96, 0x80), (339, 255)], None);
    }
}
