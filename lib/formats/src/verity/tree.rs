//! Whole trees: computed by all processors, and checked against their root.

use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};
use std::thread;

use sha2::{Digest, Sha256};

use super::{BLOCK, DATA_BLOCKS, DIGEST, Error, MAX_SALT, RootHash, Superblock};
use crate::uuid::Uuid;

/// What a thread takes at a time: few enough locks, and it stays in a processor's cache.
const PIECE: usize = 64 * BLOCK;

/// A tree as it is written to a hash partition.
#[derive(Debug)]
pub struct Tree {
    /// What it says of itself.
    pub superblock: Superblock,
    /// What pins the data.
    pub root: RootHash,
    /// Superblock and levels.
    pub bytes: Vec<u8>,
}

/// Computes the tree over all that a reader gives, which must be a whole number of blocks.
///
/// # Errors
/// Reading fails, the salt is too long, or the length is not one that can be covered.
pub fn build(data: impl Read + Send, salt: &[u8], uuid: Uuid) -> Result<Tree, Error> {
    if salt.len() > MAX_SALT {
        return Err(Error::Input("the salt is longer than 256 bytes"));
    }
    let mut superblock = Superblock { uuid, salt: salt.to_vec(), data_blocks: 0 };
    let leaves = leaves(data, &superblock.hasher())?;
    superblock.data_blocks = (leaves.len() / DIGEST) as u64;
    if !DATA_BLOCKS.contains(&superblock.data_blocks) {
        return Err(Error::Input("the data are not between two blocks and 16 TiB"));
    }
    let mut levels = vec![padded(leaves)];
    while let Some(below) = levels.last().filter(|level| level.len() > BLOCK) {
        let digests = below.chunks_exact(BLOCK).flat_map(|block| superblock.digest(block).0).collect();
        levels.push(padded(digests));
    }
    let root = levels.last().map(|top| superblock.digest(top)).ok_or(Error::Input("there are no data"))?;
    let mut bytes = superblock.to_block().to_vec();
    levels.iter().rev().for_each(|level| bytes.extend_from_slice(level));
    Ok(Tree { superblock, root, bytes })
}

/// Checks all data and the whole tree against a root hash. Every byte of either counts.
///
/// # Errors
/// Reading fails, or a byte is not what the root hash pins.
pub fn verify(mut tree: impl Read, data: impl Read + Send, root: RootHash) -> Result<Superblock, Error> {
    let reading = |e| Error::Read("the verity tree", e);
    let mut stored = vec![0; BLOCK];
    tree.read_exact(&mut stored).map_err(reading)?;
    let superblock = Superblock::parse(&stored)?;
    let rest = superblock.tree_bytes() - BLOCK as u64;
    tree.take(rest).read_to_end(&mut stored).map_err(reading)?;
    let computed = build(data.take(superblock.data_bytes()), &superblock.salt, superblock.uuid)?;
    if computed.superblock != superblock {
        return Err(Error::Mismatch("they are shorter than the tree".to_owned()));
    }
    if let Some(what) = difference(&superblock, &stored, &computed.bytes) {
        return Err(Error::Mismatch(what));
    }
    if computed.root != root {
        return Err(Error::Mismatch(format!("their root hash is {}, not {root}", computed.root)));
    }
    Ok(superblock)
}

/// What differs first. Leaves before the levels above, which follow from them: they tell the block that is meant.
fn difference(superblock: &Superblock, stored: &[u8], computed: &[u8]) -> Option<String> {
    let first = |from: usize| Some(from + stored[from..].iter().zip(&computed[from..]).position(|(a, b)| a != b)?);
    if stored.len() != computed.len() {
        return Some("the tree is cut".to_owned());
    }
    let leaves = superblock.leaf_offset(0);
    let block = |at: usize| (at as u64 - leaves) / DIGEST as u64;
    match first(leaves as usize) {
        Some(at) if block(at) < superblock.data_blocks => Some(format!("block {} is not the tree's", block(at))),
        Some(at) => Some(format!("the tree is damaged at byte {at}")),
        None => first(0).map(|at| format!("the tree is damaged at byte {at}")),
    }
}

fn padded(mut digests: Vec<u8>) -> Vec<u8> {
    digests.resize(digests.len().next_multiple_of(BLOCK), 0);
    digests
}

/// The digests of all data blocks.
fn leaves(data: impl Read + Send, hasher: &Sha256) -> Result<Vec<u8>, Error> {
    let source = Mutex::new((data, 0usize));
    let done = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let work = || -> Result<(), Error> {
            let mut piece = vec![0; PIECE];
            while let Some((n, length)) = take(&source, &mut piece)? {
                let digests: Vec<u8> = piece[..length]
                    .chunks_exact(BLOCK)
                    .flat_map(|block| <[u8; DIGEST]>::from(hasher.clone().chain_update(block).finalize()))
                    .collect();
                done.lock().unwrap_or_else(PoisonError::into_inner).push((n, digests));
            }
            Ok(())
        };
        let workers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mine = work();
        let theirs =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault)));
        theirs.fold(mine, Result::and)
    })?;
    let mut pieces = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    pieces.sort_unstable_by_key(|(n, _)| *n);
    Ok(pieces.into_iter().flat_map(|(_, digests)| digests).collect())
}

/// Reads the next piece; its number and length, or None at the end.
fn take(source: &Mutex<(impl Read, usize)>, piece: &mut [u8]) -> Result<Option<(usize, usize)>, Error> {
    let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
    let (data, next) = &mut *source;
    let length = fill(data, piece).map_err(|e| Error::Read("the data", e))?;
    if !length.is_multiple_of(BLOCK) {
        return Err(Error::Input("the data end inside a block"));
    }
    *next += 1;
    Ok((length > 0).then_some((*next, length)))
}

fn fill(data: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match data.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(blocks: usize) -> Vec<u8> {
        (0..blocks * BLOCK).map(|n| (n / BLOCK * 7 + n) as u8).collect()
    }

    #[track_caller]
    fn check(damage: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>, &mut RootHash), expect: Result<(), &str>) {
        let mut data = data(300);
        let Tree { mut bytes, mut root, superblock } = build(&data[..], &[5; 32], Uuid([1; 16])).unwrap();
        assert_eq!((superblock.data_blocks, bytes.len() as u64), (300, superblock.tree_bytes()));
        damage(&mut bytes, &mut data, &mut root);
        let outcome = verify(&bytes[..], &data[..], root);
        match (outcome, expect) {
            (Ok(read), Ok(())) => assert_eq!(read, superblock),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (outcome, _) => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn verifies() {
        check(|_, _, _| (), Ok(()));
        check(|_, data, _| data.extend([1; 100]), Ok(()));
        check(|_, data, _| data[70 * BLOCK] ^= 1, Err("block 70 is not"));
        check(|tree, _, _| tree[2 * BLOCK + 299 * DIGEST] ^= 1, Err("block 299 is not"));
        check(|tree, _, _| tree[2 * BLOCK + 300 * DIGEST] ^= 1, Err("damaged at byte 17792"));
        check(|tree, _, _| tree[BLOCK] ^= 1, Err("damaged at byte 4096"));
        check(|tree, _, _| tree[BLOCK - 1] ^= 1, Err("damaged at byte 4095"));
        check(|tree, _, _| tree[0] ^= 1, Err("signature"));
        check(|tree, _, _| tree.truncate(2 * BLOCK), Err("the tree is cut"));
        check(|_, data, _| data.truncate(299 * BLOCK), Err("shorter than the tree"));
        check(|_, data, _| data.truncate(299 * BLOCK + 1), Err("inside a block"));
        check(|_, _, root| root.0[0] ^= 1, Err("their root hash is"));
    }

    #[test]
    fn has_its_root_on_top() {
        for blocks in [2, 128, 129, 20_000] {
            let tree = build(&data(blocks)[..], b"salt", Uuid::default()).unwrap();
            let top = super::super::top(&mut io::Cursor::new(&tree.bytes)).unwrap();
            assert_eq!(top, (tree.superblock, tree.root));
        }
    }

    #[test]
    fn refuses_what_it_cannot_cover() {
        fn check(data: &[u8], salt: &[u8], part: &str) {
            let error = build(data, salt, Uuid::default()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        check(&[], b"", "between two blocks");
        check(&data(1), b"", "between two blocks");
        check(&data(2)[1..], b"", "inside a block");
        check(&data(2), &[0; 257], "longer than 256");
    }
}
