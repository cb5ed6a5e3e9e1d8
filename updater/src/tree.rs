//! A release's hash tree as the index of its root: which block is whose. It is taken only whole and with the root hash
//! that was signed; from then on each block is what its leaf says, wherever it came from.

use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use ashlar_formats::verity::{self, RootHash, Superblock};

use crate::device::{BLOCK, Buffer, Device, PIECE};
use crate::error::Error;

const DIGEST: usize = 32;
/// Threads that make digests at the same time, at most; each has a piece in memory.
const THREADS: usize = 4;
/// The tree of a root of 4 GiB; larger ones are none of ours.
pub const LIMIT: u64 = 34 << 20;

/// A whole tree.
#[derive(Debug)]
pub struct Tree {
    /// What it says of itself.
    pub superblock: Superblock,
    /// Superblock and levels.
    pub bytes: Vec<u8>,
    /// Digest of a block of zeros.
    zero: RootHash,
}

impl Tree {
    /// Takes a tree if every block of it follows from the root hash.
    pub fn new(bytes: Vec<u8>, root: RootHash) -> Result<Self, Error> {
        let wrong = |what: String| Error::Trust(format!("the hash tree {what}"));
        let superblock = Superblock::parse(&bytes).map_err(|error| wrong(format!("is none: {error}")))?;
        if superblock.tree_bytes() != bytes.len() as u64 {
            return Err(wrong(format!("has {} bytes, not {}", bytes.len(), superblock.tree_bytes())));
        }
        // Each hash block's digest stands in the level above; blocks follow each other in the order of their digests.
        let mut expected = vec![root];
        let mut place = BLOCK;
        for blocks in superblock.levels() {
            let level = &bytes[place..place + blocks as usize * BLOCK];
            let is_right = |(block, digest): (&[u8], &RootHash)| superblock.digest(block) == *digest;
            if !level.chunks_exact(BLOCK).zip(&expected).all(is_right) {
                return Err(wrong("does not have the root hash that was signed".into()));
            }
            expected = level.chunks_exact(DIGEST).map(digest).collect();
            place += level.len();
        }
        let zero = superblock.digest(&[0; BLOCK]);
        Ok(Self { superblock, bytes, zero })
    }

    /// The tree of a slot, if it is one of that root hash.
    pub fn read(path: &Path, root: RootHash) -> Result<Self, Error> {
        let none =
            |what: &dyn std::fmt::Display| Error::Machine(format!("{} has no hash tree: {what}", path.display()));
        let (_, bytes) = superblock_and_bytes(&Device::open(path)?)?.map_err(|why| none(&why))?;
        Self::new(bytes, root).map_err(|error| none(&error))
    }

    /// What a slot has for a tree, whosever it is. Nothing of it was checked: it is good for guesses only.
    pub fn guess(path: &Path) -> Option<Self> {
        Self::guess_of(&Device::open(path).ok()?)
    }

    /// As [`Self::guess`].
    pub fn guess_of(device: &Device) -> Option<Self> {
        let (superblock, bytes) = superblock_and_bytes(device).ok()?.ok()?;
        let zero = superblock.digest(&[0; BLOCK]);
        Some(Self { superblock, bytes, zero })
    }

    /// What its top says: the root hash, if all below it follows from that.
    pub fn root(&self) -> RootHash {
        self.superblock.digest(&self.bytes[BLOCK..2 * BLOCK])
    }

    /// Blocks of data.
    pub fn blocks(&self) -> usize {
        self.superblock.data_blocks as usize
    }

    fn whole(&self) -> verity::Whole<'_> {
        (&self.superblock, &self.bytes)
    }

    /// Whether these are the bytes of a block.
    pub fn holds(&self, block: usize, bytes: &[u8]) -> bool {
        self.superblock.digest(bytes) == verity::leaf(self.whole(), block)
    }

    /// Whether a block is nothing but zeros.
    pub fn is_zero(&self, block: usize) -> bool {
        verity::leaf(self.whole(), block) == self.zero
    }

    /// Of each block of ours the one of the other tree that has the same content. Salts have to be the same for that.
    pub fn places_in(&self, other: &Self) -> Vec<Option<usize>> {
        verity::places(self.whole(), other.whole())
    }

    /// Whether the other tree has the same content in the same place.
    pub fn agrees_with(&self, other: &Self, block: usize) -> bool {
        let comparable = self.superblock.salt == other.superblock.salt && block < other.blocks();
        comparable && verity::leaf(self.whole(), block) == verity::leaf(other.whole(), block)
    }

    /// Reads the data from the medium and compares each byte.
    pub fn check(&self, data: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Error> {
        match self.wrong_blocks(data, progress)?.first() {
            Some(block) => {
                let place = data.display();
                Err(Error::Machine(format!("block {block} of {place} reads back as something else")))
            }
            None => Ok(()),
        }
    }

    /// Reads the data from the medium, with as many threads as there are processors, and finds what is not as it has to
    /// be.
    pub fn wrong_blocks(&self, data: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Vec<usize>, Error> {
        let device = Device::open(data)?;
        let next = AtomicUsize::new(0);
        let total = self.superblock.data_bytes();
        let (mut done, mut wrong) = (0, Vec::new());
        thread::scope(|scope| {
            let (sender, receiver) = channel();
            for _ in 0..thread::available_parallelism().map_or(1, NonZero::get).min(THREADS) {
                let sender = sender.clone();
                scope.spawn(|| self.look_at_pieces(&device, &next, sender));
            }
            drop(sender);
            for piece in receiver {
                let (range, found): (Range<usize>, Vec<usize>) = piece?;
                done += (range.len() * BLOCK) as u64;
                wrong.extend(found);
                progress(done, total);
            }
            Ok(())
        })?;
        wrong.sort_unstable();
        Ok(wrong)
    }

    /// Takes one piece after the other, until there is none left or nobody listens.
    fn look_at_pieces(&self, device: &Device, next: &AtomicUsize, sender: Sender<Result<Looked, Error>>) {
        let mut buffer = Buffer::new(PIECE);
        loop {
            let first = next.fetch_add(PIECE / BLOCK, Ordering::Relaxed);
            let range = first..self.blocks().min(first + PIECE / BLOCK);
            if range.is_empty() {
                return;
            }
            let bytes = &mut buffer[..range.len() * BLOCK];
            let looked = device.read(bytes, (range.start * BLOCK) as u64).map(|()| {
                let blocks = range.clone().zip(bytes.chunks_exact(BLOCK));
                let wrong = blocks.filter(|(block, content)| !self.holds(*block, content)).map(|(block, _)| block);
                (range, wrong.collect())
            });
            if sender.send(looked).is_err() {
                return;
            }
        }
    }
}

/// Blocks that were looked at, and those of them that are wrong.
type Looked = (Range<usize>, Vec<usize>);

/// What a partition begins with, if that is a tree at all; an error is the medium's.
fn superblock_and_bytes(device: &Device) -> Result<Result<(Superblock, Vec<u8>), String>, Error> {
    let mut first = Buffer::new(BLOCK);
    device.read(&mut first, 0)?;
    let superblock = match Superblock::parse(&first) {
        Ok(superblock) => superblock,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let size = superblock.tree_bytes();
    if size > LIMIT {
        return Ok(Err(format!("it would have {size} bytes")));
    }
    let mut bytes = Buffer::new(size as usize);
    device.read(&mut bytes, 0)?;
    Ok(Ok((superblock, bytes.to_vec())))
}

fn digest(bytes: &[u8]) -> RootHash {
    let mut digest = [0; DIGEST];
    digest.copy_from_slice(bytes);
    RootHash(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_formats::uuid::Uuid;

    #[test]
    fn every_byte_counts() {
        for blocks in [2usize, 128, 300, 20_000] {
            let data: Vec<u8> = (0..blocks * BLOCK).map(|n| (n / BLOCK * 7 + n) as u8).collect();
            let made = verity::build(&data[..], &[5; 32], Uuid([1; 16])).unwrap();
            let tree = Tree::new(made.bytes.clone(), made.root).unwrap();
            assert_eq!(tree.blocks(), blocks);
            assert!(data.chunks_exact(BLOCK).enumerate().all(|(n, block)| tree.holds(n, block)));
            assert!(!tree.holds(1, &data[..BLOCK]));
            for at in [BLOCK, made.bytes.len() - 1, made.bytes.len() / 2] {
                let mut bytes = made.bytes.clone();
                bytes[at.max(BLOCK)] ^= 1;
                assert!(Tree::new(bytes, made.root).is_err(), "{blocks} {at}");
            }
            assert!(Tree::new(made.bytes[..made.bytes.len() - BLOCK].to_vec(), made.root).is_err());
            assert!(Tree::new(made.bytes, RootHash([0; 32])).is_err());
        }
    }
}
