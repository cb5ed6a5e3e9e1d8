//! dm-verity hash trees (kernel documentation, device-mapper/verity; cryptsetup, "DMVerity"): version 1, SHA-256,
//! blocks of 4096 bytes, the superblock before the tree. That is all that Ashlar makes and takes.
//!
//! The digest of a block is SHA-256(salt ‖ block). A hash block holds 128 digests. The levels are stored from the
//! root's side, the leaves last; the root hash is the digest of the single top block, and is stored nowhere.
//!
//! Here: the superblock and where things are. `tree` computes and checks whole trees.

pub mod mapping;
mod tree;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};
use std::str::FromStr;

use sha2::{Digest, Sha256};

pub use tree::{Tree, build, verify};

use crate::field::{array, put, text, u16, u32, u64};
use crate::uuid::Uuid;

/// Bytes of a data block and of a hash block.
pub const BLOCK: usize = 4096;
/// The tree's first block, counted from the superblock's; the kernel wants to know.
pub const FIRST_HASH_BLOCK: u64 = 1;
pub(crate) const DIGEST: usize = 32;
const DIGESTS_IN_BLOCK: u64 = (BLOCK / DIGEST) as u64;
const SIGNATURE: &[u8; 8] = b"verity\0\0";
const SUPERBLOCK: usize = 512;
const MAX_SALT: usize = 256;
/// 16 TiB. A tree of one block only has its root nowhere, so two is the least.
const DATA_BLOCKS: std::ops::RangeInclusive<u64> = 2..=1 << 32;

/// What pins every byte of a root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RootHash(pub [u8; DIGEST]);

/// The text is no root hash.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read a root hash: {0:?} is not 64 hexadecimal digits")]
pub struct BadRootHash(String);

/// What a hash tree says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// UUID of the tree.
    pub uuid: Uuid,
    /// Salt of at most 256 bytes.
    pub salt: Vec<u8>,
    /// Blocks that it covers.
    pub data_blocks: u64,
}

/// A hash tree cannot be made, read or believed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("read {0}")]
    Read(&'static str, #[source] io::Error),
    /// No hash tree.
    #[error("read the verity superblock: its signature is not there")]
    Signature,
    /// A kind that is not taken, or a value out of range.
    #[error("read the verity superblock: {0} is not one that is known")]
    Unknown(&'static str),
    /// The salt is too long, or the data have no whole number of blocks that can be covered.
    #[error("make a verity tree: {0}")]
    Input(&'static str),
    /// The data's or the tree's bytes are not those of the root hash.
    #[error("verify the data: {0}")]
    Mismatch(String),
}

impl Superblock {
    /// Reads the first 512 bytes of a hash partition.
    ///
    /// # Errors
    /// They are no superblock, or one of another kind.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() < SUPERBLOCK || !bytes.starts_with(SIGNATURE) {
            return Err(Error::Signature);
        }
        let unknown = |wrong: bool, what| if wrong { Err(Error::Unknown(what)) } else { Ok(()) };
        let salt_bytes = usize::from(u16(bytes, 80));
        let data_blocks = u64(bytes, 72);
        unknown(u32(bytes, 8) != 1, "its version")?;
        unknown(u32(bytes, 12) != 1, "its hash type")?;
        unknown(text(&bytes[32..64]) != "sha256", "its algorithm")?;
        unknown([64, 68].iter().any(|at| u32(bytes, *at) as usize != BLOCK), "its block size")?;
        unknown(!DATA_BLOCKS.contains(&data_blocks), "its number of blocks")?;
        unknown(salt_bytes > MAX_SALT, "its salt's length")?;
        Ok(Self { uuid: Uuid(array(bytes, 16)), salt: bytes[88..88 + salt_bytes].to_vec(), data_blocks })
    }

    /// The block that stands before the tree.
    fn to_block(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        put(&mut block, 0, SIGNATURE);
        put(&mut block, 8, &1u32.to_le_bytes());
        put(&mut block, 12, &1u32.to_le_bytes());
        put(&mut block, 16, &self.uuid.0);
        put(&mut block, 32, b"sha256");
        put(&mut block, 64, &(BLOCK as u32).to_le_bytes());
        put(&mut block, 68, &(BLOCK as u32).to_le_bytes());
        put(&mut block, 72, &self.data_blocks.to_le_bytes());
        put(&mut block, 80, &(self.salt.len() as u16).to_le_bytes());
        put(&mut block, 88, &self.salt);
        block
    }

    /// Blocks of each level, the root's side first.
    pub fn levels(&self) -> Vec<u64> {
        let above = |blocks: &u64| (*blocks > 1).then(|| blocks.div_ceil(DIGESTS_IN_BLOCK));
        let mut levels: Vec<u64> =
            std::iter::successors(Some(self.data_blocks.div_ceil(DIGESTS_IN_BLOCK)), above).collect();
        levels.reverse();
        levels
    }

    /// Bytes of the data that it covers.
    pub fn data_bytes(&self) -> u64 {
        self.data_blocks * BLOCK as u64
    }

    /// Bytes of superblock and tree.
    pub fn tree_bytes(&self) -> u64 {
        (FIRST_HASH_BLOCK + self.levels().iter().sum::<u64>()) * BLOCK as u64
    }

    /// Where the digest of a data block stands, in bytes from the superblock's beginning.
    pub fn leaf_offset(&self, data_block: u64) -> u64 {
        let levels = self.levels();
        let above: u64 = levels[..levels.len() - 1].iter().sum();
        (FIRST_HASH_BLOCK + above) * BLOCK as u64 + data_block * DIGEST as u64
    }

    /// SHA-256 that has the salt behind it.
    fn hasher(&self) -> Sha256 {
        Sha256::new().chain_update(&self.salt)
    }

    /// The digest of a block.
    pub fn digest(&self, block: &[u8]) -> RootHash {
        RootHash(self.hasher().chain_update(block).finalize().into())
    }
}

/// A whole tree's superblock and bytes.
pub type Whole<'a> = (&'a Superblock, &'a [u8]);

/// The digest of a data block as a whole tree has it.
///
/// # Panics
/// The tree is shorter than its superblock says, or has no such block.
pub fn leaf((superblock, tree): Whole<'_>, block: usize) -> RootHash {
    let place = superblock.leaf_offset(block as u64) as usize;
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(&tree[place..place + DIGEST]);
    RootHash(digest)
}

/// Of each data block the one of the other tree that has the same content. Salts have to be the same for that.
///
/// # Panics
/// As [`leaf`].
pub fn places(ours: Whole<'_>, theirs: Whole<'_>) -> Vec<Option<usize>> {
    let leaves = |whole: Whole<'_>| -> Vec<RootHash> {
        let first = whole.0.leaf_offset(0) as usize;
        let bytes = &whole.1[first..first + whole.0.data_blocks as usize * DIGEST];
        let digest = |bytes: &[u8]| bytes.try_into().map_or(RootHash([0; DIGEST]), RootHash);
        bytes.chunks_exact(DIGEST).map(digest).collect()
    };
    let known: HashMap<RootHash, usize> = leaves(theirs).into_iter().zip(0..).collect();
    let comparable = ours.0.salt == theirs.0.salt;
    leaves(ours).iter().map(|leaf| known.get(leaf).copied().filter(|_| comparable)).collect()
}

/// Reads the superblock and the top block of a hash partition: what it covers, and which root hash it has. Whether
/// the blocks below are right is for the kernel, or [`verify`], to find out.
///
/// # Errors
/// It cannot be read, or there is no tree of the known kind.
pub fn top(tree: &mut (impl Read + Seek)) -> Result<(Superblock, RootHash), Error> {
    let reading = |e| Error::Read("the verity tree", e);
    let mut blocks = vec![0; 2 * BLOCK];
    tree.seek(SeekFrom::Start(0)).map_err(reading)?;
    tree.read_exact(&mut blocks).map_err(reading)?;
    let superblock = Superblock::parse(&blocks)?;
    let root = superblock.digest(&blocks[BLOCK..]);
    Ok((superblock, root))
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootHash({self})")
    }
}

impl FromStr for RootHash {
    type Err = BadRootHash;

    fn from_str(text: &str) -> Result<Self, BadRootHash> {
        let bad = || BadRootHash(text.chars().take(80).collect());
        if text.len() != 2 * DIGEST || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let mut hash = [0; DIGEST];
        for (n, byte) in hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * n..2 * n + 2], 16).map_err(|_| bad())?;
        }
        Ok(Self(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock(data_blocks: u64) -> Superblock {
        Superblock { uuid: Uuid([3; 16]), salt: vec![9; 32], data_blocks }
    }

    #[test]
    fn reads_what_it_writes() {
        for salt in [0, 32, 256] {
            let superblock = Superblock { salt: vec![1; salt], ..superblock(300) };
            assert_eq!(Superblock::parse(&superblock.to_block()).unwrap(), superblock);
        }
    }

    #[test]
    fn refuses_other_kinds() {
        #[track_caller]
        fn check(at: usize, value: &[u8], part: &str) {
            let mut bytes = superblock(300).to_block();
            put(&mut bytes, at, value);
            let error = Superblock::parse(&bytes).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        check(0, b"V", "signature");
        check(8, &[2], "version");
        check(12, &[0], "hash type");
        check(32, b"sha512", "algorithm");
        check(64, &[0, 2], "block size");
        check(68, &[0, 2], "block size");
        check(72, &u64::MAX.to_le_bytes(), "number of blocks");
        check(72, &1u64.to_le_bytes(), "number of blocks");
        check(80, &257u16.to_le_bytes(), "salt's length");
        assert!(matches!(Superblock::parse(SIGNATURE), Err(Error::Signature)));
    }

    #[test]
    fn knows_where_things_are() {
        fn check(data_blocks: u64, levels: &[u64], leaf: u64) {
            let superblock = superblock(data_blocks);
            assert_eq!(superblock.levels(), levels, "{data_blocks}");
            assert_eq!(superblock.leaf_offset(1), leaf + 32, "{data_blocks}");
            assert_eq!(superblock.tree_bytes(), 4096 * (1 + levels.iter().sum::<u64>()), "{data_blocks}");
        }
        check(2, &[1], 4096);
        check(128, &[1], 4096);
        check(129, &[1, 2], 2 * 4096);
        check(128 * 128, &[1, 128], 2 * 4096);
        check(128 * 128 + 1, &[1, 2, 129], 4 * 4096);
    }

    #[test]
    fn reads_root_hashes() {
        fn check(text: &str, expect: bool) {
            let read = text.parse::<RootHash>().map(|hash| hash.to_string());
            assert_eq!(read.as_deref() == Ok(text), expect, "{text}");
        }
        check(&"0123456789abcdef".repeat(4), true);
        check(&"0123456789abcdef".repeat(3), false);
        check(&"0123456789abcdeg".repeat(4), false);
        check(&"é".repeat(32), false);
    }
}
