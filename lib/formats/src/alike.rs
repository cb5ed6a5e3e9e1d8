//! A file of a release out of the one of the same kind that runs, where no patch leads from the one to the other: what both
//! have is told by little that is read of the new one.
//!
//! Of a hash tree it is known. Each block's digest stands in the level above, so that from the top down a block of ours
//! with the same digest is it. Of a unified kernel image it is a guess: a large section that has the name and the lengths
//! of one of ours is taken to be that one, as kernel and initramfs mostly are. Whoever puts the parts together holds the
//! whole against the digest that was signed, and fetches it whole where the guess was wrong.

use std::collections::HashMap;
use std::ops::Range;

use crate::pe;
use crate::verity::{BLOCK, DIGEST, FIRST_HASH_BLOCK, Superblock};

/// Has room for the headers of every image of ours.
const HEAD: u64 = 4096;
/// Shorter sections are what differs from version to version.
const SMALL: u64 = 16 << 10;
/// A shorter stretch between two that have to be fetched is fetched, too: a request costs as much.
const HOLE: u64 = 4 * BLOCK as u64;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A dm-verity hash tree with its superblock.
    Tree,
    /// A unified kernel image.
    Uki,
}

/// A part of the new file; all of them, in order, are the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// What was read to know the others.
    Read(Vec<u8>),
    /// These bytes of ours.
    Ours(Range<u64>),
    /// These bytes of the new one.
    New(Range<u64>),
}

/// Reads these bytes of the new file.
pub type Read<'a, E> = &'a mut dyn FnMut(Range<u64>) -> Result<Vec<u8>, E>;

impl Kind {
    /// The parts of a new file of `size` bytes; `None` where the two have nothing in common that can be told.
    ///
    /// # Errors
    /// Only those of `read`.
    pub fn parts<E>(self, ours: &[u8], size: u64, read: Read<'_, E>) -> Result<Option<Vec<Part>>, E> {
        let parts = match self {
            Self::Tree => of_tree(ours, size, read)?,
            Self::Uki => of_uki(ours, size, read)?,
        };
        Ok(parts.map(without_holes).filter(|parts| parts.iter().any(|part| matches!(part, Part::Ours(_)))))
    }
}

/// Bytes that the parts cost.
pub fn cost(parts: &[Part]) -> u64 {
    let cost = |part: &Part| match part {
        Part::Read(bytes) => bytes.len() as u64,
        Part::Ours(_) => 0,
        Part::New(range) => range.end - range.start,
    };
    parts.iter().map(cost).sum()
}

/// What the parts make, for who has both files.
///
/// # Panics
/// The parts are those of others.
pub fn made(parts: &[Part], ours: &[u8], new: &[u8]) -> Vec<u8> {
    let bytes = |file: &[u8], range: &Range<u64>| file[range.start as usize..range.end as usize].to_vec();
    let part = |part: &Part| match part {
        Part::Read(read) => read.clone(),
        Part::Ours(range) => bytes(ours, range),
        Part::New(range) => bytes(new, range),
    };
    parts.iter().flat_map(part).collect()
}

fn of_tree<E>(ours: &[u8], size: u64, read: Read<'_, E>) -> Result<Option<Vec<Part>>, E> {
    let block = BLOCK as u64;
    let first = (FIRST_HASH_BLOCK + 1) * block;
    let Some(before) = whole(ours).filter(|_| size >= first) else { return Ok(None) };
    let head = read(0..first)?;
    let Ok(after) = Superblock::parse(&head) else { return Ok(None) };
    if after.salt != before.salt || after.tree_bytes() != size {
        return Ok(None);
    }
    let known = places(&before, ours);
    let levels = after.levels();
    let mut above = head[BLOCK..].to_vec();
    let mut parts = vec![Part::Read(head)];
    let mut place = first;
    for (number, &blocks) in levels.iter().enumerate().skip(1) {
        let digests = above.chunks_exact(DIGEST).take(blocks as usize);
        let mut level = Vec::new();
        for (digest, at) in digests.zip((place..).step_by(BLOCK)) {
            match known.get(digest) {
                Some(&same) => push(&mut level, Part::Ours(same..same + block)),
                None => push(&mut level, Part::New(at..at + block)),
            }
        }
        place += blocks * block;
        // All but the leaves say what comes below them.
        above.clear();
        for part in level {
            let part = match part {
                Part::New(range) if number + 1 < levels.len() => Part::Read(read(range)?),
                part => part,
            };
            match &part {
                Part::Ours(range) => above.extend(&ours[range.start as usize..range.end as usize]),
                Part::Read(bytes) => above.extend(bytes),
                Part::New(_) => {}
            }
            parts.push(part);
        }
    }
    Ok(Some(parts))
}

/// What a tree says of itself, if it is all there.
fn whole(tree: &[u8]) -> Option<Superblock> {
    Superblock::parse(tree).ok().filter(|superblock| superblock.tree_bytes() == tree.len() as u64)
}

/// Where in a tree the block of each digest stands.
fn places<'a>(superblock: &Superblock, tree: &'a [u8]) -> HashMap<&'a [u8], u64> {
    let mut places = HashMap::new();
    let mut place = FIRST_HASH_BLOCK as usize * BLOCK;
    for pair in superblock.levels().windows(2) {
        let [blocks, below] = [pair[0], pair[1]].map(|blocks| blocks as usize);
        let next = place + blocks * BLOCK;
        let digests = tree[place..next].chunks_exact(DIGEST).take(below);
        places.extend(digests.zip((next as u64..).step_by(BLOCK)));
        place = next;
    }
    places
}

fn of_uki<E>(ours: &[u8], size: u64, read: Read<'_, E>) -> Result<Option<Vec<Part>>, E> {
    let Ok(before) = pe::places(ours) else { return Ok(None) };
    let head = read(0..HEAD.min(size))?;
    let Ok(mut after) = pe::places(&head) else { return Ok(None) };
    after.sort_by_key(|section| section.in_file.start);
    let mut place = head.len() as u64;
    let mut parts = vec![Part::Read(head)];
    for section in after {
        let Range { start, end } = section.in_file;
        let is_same = |other: &&pe::Place| {
            let Range { start: first, end: last } = other.in_file;
            (&other.name, other.in_memory, last - first) == (&section.name, section.in_memory, end - start)
                && last <= ours.len() as u64
        };
        if start < place || end > size || end - start < SMALL {
            continue;
        }
        if let Some(same) = before.iter().find(is_same) {
            push(&mut parts, Part::New(place..start));
            push(&mut parts, Part::Ours(same.in_file.clone()));
            place = end;
        }
    }
    push(&mut parts, Part::New(place..size));
    Ok(Some(parts))
}

/// Joins what follows each other.
fn push(parts: &mut Vec<Part>, part: Part) {
    match (parts.last_mut(), part) {
        (_, Part::New(range) | Part::Ours(range)) if range.is_empty() => {}
        (Some(Part::New(last)), Part::New(next)) if last.end == next.start => last.end = next.end,
        (Some(Part::Ours(last)), Part::Ours(next)) if last.end == next.start => last.end = next.end,
        (_, part) => parts.push(part),
    }
}

/// Fetches what lies between two that are fetched, where it is short.
fn without_holes(parts: Vec<Part>) -> Vec<Part> {
    let mut joined: Vec<Part> = Vec::new();
    for part in parts {
        let Part::New(next) = &part else {
            joined.push(part);
            continue;
        };
        // However many short stretches of ours there were since.
        let last = joined.iter().rposition(|part| !matches!(part, Part::Ours(_)));
        match last.map(|at| (at, &joined[at])) {
            Some((at, Part::New(last))) if next.start - last.end <= HOLE => {
                let range = last.start..next.end;
                joined.truncate(at);
                joined.push(Part::New(range));
            }
            _ => joined.push(part),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uuid::Uuid;
    use crate::verity;
    use std::convert::Infallible;

    /// The parts of `new`, which have to make it, and what was read to know them.
    fn parts(kind: Kind, ours: &[u8], new: &[u8]) -> (Option<Vec<Part>>, u64) {
        let mut read = 0;
        let mut reader = |range: Range<u64>| {
            read += range.end - range.start;
            Ok::<_, Infallible>(new[range.start as usize..range.end as usize].to_vec())
        };
        let Ok(parts) = kind.parts(ours, new.len() as u64, &mut reader);
        (parts, read)
    }

    fn data(blocks: usize) -> Vec<u8> {
        let mut data = vec![0; blocks * BLOCK];
        (0..blocks).for_each(|block| data[block * BLOCK..][..4].copy_from_slice(&(block as u32).to_le_bytes()));
        data
    }

    fn tree(data: &[u8]) -> Vec<u8> {
        verity::build(data, &[3; 32], Uuid([1; 16])).unwrap().bytes
    }

    #[test]
    fn a_tree_costs_what_has_changed_in_it() {
        // Of three levels.
        let blocks = 128 * 130;
        let ours = tree(&data(blocks));
        // Blocks of the root that change, those that come at its end, and blocks of the tree that are read for it.
        let check = |change: &[usize], more: usize, cost: u64| {
            let mut new = data(blocks + more);
            change.iter().for_each(|block| new[block * BLOCK + 5] = 1);
            let new = tree(&new);
            let (parts, read) = parts(Kind::Tree, &ours, &new);
            let parts = parts.unwrap();
            assert_eq!(made(&parts, &ours, &new), new, "{change:?}");
            assert_eq!(super::cost(&parts), cost * BLOCK as u64, "{change:?}");
            assert!(read <= 4 * BLOCK as u64, "{read}");
        };
        // Superblock and top; and what is on the way to the leaf.
        check(&[], 0, 2);
        check(&[5], 0, 4);
        check(&[5, 6], 0, 4);
        // A hole of four blocks is fetched along, one of five is not.
        check(&[5, 5 + 128 * 5], 0, 9);
        check(&[5, 5 + 128 * 6], 0, 5);
        check(&[], 3, 4);
    }

    #[test]
    fn a_tree_of_another_salt_or_size_has_nothing_in_common() {
        let ours = tree(&data(300));
        let other = verity::build(&data(300)[..], &[4; 32], Uuid([1; 16])).unwrap().bytes;
        assert_eq!(parts(Kind::Tree, &ours, &other).0, None);
        assert_eq!(parts(Kind::Tree, &ours[..BLOCK], &ours).0, None);
        assert_eq!(parts(Kind::Tree, &ours, &ours[..ours.len() - BLOCK]).0, None);
        assert_eq!(parts(Kind::Tree, &ours, &[0; 3 * BLOCK]).0, None);
        assert_eq!(parts(Kind::Tree, &ours, b"short").0, None);
    }

    /// A kernel image of a stub and these two sections.
    fn uki(release: &str, kernel: &[u8], initramfs: &[u8]) -> Vec<u8> {
        let stub = pe::tests::stub(5);
        let kernel = [pe::tests::stub(0), kernel.to_vec()].concat();
        let uki = pe::Uki {
            os_release: release,
            command_line: "roothash=00",
            kernel_release: Some("6.12"),
            kernel: &kernel,
            initramfs,
        };
        pe::write(&stub, &uki).unwrap()
    }

    #[test]
    fn a_kernel_image_costs_what_is_not_kernel_or_initramfs() {
        let (kernel, initramfs) = ([7; 200_000], [8; 100_000]);
        let ours = uki("IMAGE_VERSION=1", &kernel, &initramfs);
        let check = |new: Vec<u8>, cost: Range<u64>| {
            let parts = parts(Kind::Uki, &ours, &new).0.unwrap();
            assert_eq!(made(&parts, &ours, &new), new);
            assert!(cost.contains(&super::cost(&parts)), "{}", super::cost(&parts));
        };
        check(uki("IMAGE_VERSION=2", &kernel, &initramfs), 4096..12_000);
        // Moves what follows it.
        check(uki(&"x".repeat(3000), &kernel, &initramfs), 4096..14_000);
        check(uki("IMAGE_VERSION=2", &kernel, &[9; 100_001]), 104_000..112_000);
        // Something behind the last section, such as a signature.
        check([uki("IMAGE_VERSION=2", &kernel, &initramfs), vec![5; 3000]].concat(), 7000..15_000);
    }

    #[test]
    fn a_wrong_guess_makes_another_file_of_the_same_length() {
        let (ours, new) = (uki("1", &[7; 200_000], &[8; 100_000]), uki("2", &[6; 200_000], &[8; 100_000]));
        let parts = parts(Kind::Uki, &ours, &new).0.unwrap();
        let made = made(&parts, &ours, &new);
        assert!(made != new && made.len() == new.len());
    }

    #[test]
    fn what_is_no_kernel_image_has_nothing_in_common() {
        let ours = uki("1", &[7; 200_000], &[8; 100_000]);
        assert_eq!(parts(Kind::Uki, &ours, b"").0, None);
        assert_eq!(parts(Kind::Uki, &ours, &[0; 100_000]).0, None);
        assert_eq!(parts(Kind::Uki, b"", &ours).0, None);
        assert_eq!(parts(Kind::Uki, &ours, &uki("1", &[7; 100_000], &[8; 90_000])).0, None);
    }
}
