//! The root of a release, block by block: what the slot already holds stays (so that a cut upgrade goes on where it
//! stopped), what the running root has is copied, and only the rest is fetched: as pieces of a patch where those are less,
//! and as blocks otherwise. Where a block comes from does not matter: each one is what its leaf of the signed tree says,
//! or is not written. A road that ends in the middle is left for the next one, which goes on from there.

use std::ops::Range;

use crate::device::{BLOCK, Buffer, Device, PIECE};
use crate::error::Error;
use crate::offer::Piece;
use crate::patch::Patch;
use crate::source::Source;
use crate::tree::Tree;

/// Blocks of one request at most; also what is held in memory.
const REQUEST: usize = 4 * PIECE / BLOCK;
/// So few blocks that need not be fetched cost less than another request.
const HOLE: usize = (64 << 10) / BLOCK;

static ZEROS: [u8; BLOCK] = [0; BLOCK];

/// Where a block comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    /// It is in the slot.
    Slot,
    /// It is this block of the running root.
    Running(usize),
    /// It has to be fetched.
    Source,
}

/// A root that is brought into a slot.
pub struct Transfer<'a> {
    tree: &'a Tree,
    running: &'a Device,
    slot: &'a Device,
    from: Vec<From>,
    patch: Option<Pieces>,
}

/// A patch, and which blocks its pieces make.
#[derive(Debug)]
struct Pieces {
    patch: Patch,
    blocks: Vec<Vec<usize>>,
}

impl Pieces {
    /// A patch's stream is the blocks that the running root has nowhere.
    fn new(patch: Patch, places: &[Option<usize>]) -> Option<Self> {
        let mut new = (0..places.len()).filter(|block| places[*block].is_none());
        let mut blocks = Vec::new();
        for piece in &patch.head.pieces {
            let [first, part, length] = [piece.base, piece.base_length.into(), piece.length.into()];
            if [first, part, length].iter().any(|number: &u64| !number.is_multiple_of(BLOCK as u64)) {
                return None;
            }
            let made: Vec<usize> = new.by_ref().take(piece.length as usize / BLOCK).collect();
            (made.len() * BLOCK == piece.length as usize).then(|| blocks.push(made))?;
        }
        new.next().is_none().then_some(Self { patch, blocks })
    }
}

/// Told of bytes done, and bytes in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl<'a> Transfer<'a> {
    /// Finds out where each block comes from: `places` are those in the running root. Reads the whole slot.
    pub fn plan(
        tree: &'a Tree,
        places: &[Option<usize>],
        running: &'a Device,
        slot: &'a Device,
        progress: Progress<'_>,
    ) -> Result<Self, Error> {
        let mut from: Vec<From> = places.iter().map(|place| place.map_or(From::Source, From::Running)).collect();
        let mut buffer = Buffer::new(PIECE);
        for range in pieces(0..tree.blocks(), PIECE / BLOCK) {
            let bytes = &mut buffer[..range.len() * BLOCK];
            slot.read(bytes, (range.start * BLOCK) as u64)?;
            for (block, content) in range.clone().zip(bytes.chunks_exact(BLOCK)) {
                // A slot that was never written is all zeros: those need no digest of their own.
                let is_there = if content == &ZEROS[..] { tree.is_zero(block) } else { tree.holds(block, content) };
                if is_there {
                    from[block] = From::Slot;
                }
            }
            progress((range.end * BLOCK) as u64, tree.superblock.data_bytes());
        }
        Ok(Self { tree, running, slot, from, patch: None })
    }

    /// With a patch from the running root, made for the same places. One that does not fit is left out.
    pub fn with_patch(mut self, patch: Option<Patch>, places: &[Option<usize>]) -> Self {
        self.patch = patch.and_then(|patch| Pieces::new(patch, places));
        self
    }

    /// The pieces of the patch that are less than the blocks that they make, as far as those are missing.
    fn wanted(&self) -> Vec<bool> {
        let missing =
            |blocks: &Vec<usize>| blocks.iter().filter(|block| self.from[**block] == From::Source).count() * BLOCK;
        let wanted = |pieces: &Pieces| -> Vec<bool> {
            let frames = pieces.patch.head.pieces.iter().map(|piece| piece.frame as usize);
            frames.zip(&pieces.blocks).map(|(frame, blocks)| frame < missing(blocks)).collect()
        };
        self.patch.as_ref().map(wanted).unwrap_or_default()
    }

    fn count(&self, wanted: fn(&From) -> bool) -> u64 {
        (self.from.iter().filter(|from| wanted(from)).count() * BLOCK) as u64
    }

    /// Bytes that the source has to give, without what is fetched along to save requests.
    pub fn fetch_bytes(&self) -> u64 {
        let all = self.count(|from| *from == From::Source);
        let Some(pieces) = &self.patch else { return all };
        let wanted = self.wanted();
        let chosen = (0..wanted.len()).filter(|number| wanted[*number]);
        chosen.fold(all, |bytes, number| {
            let made = pieces.blocks[number].iter().filter(|block| self.from[**block] == From::Source).count() * BLOCK;
            bytes - made as u64 + u64::from(pieces.patch.head.pieces[number].frame)
        })
    }

    /// Bytes that are on this machine.
    pub fn local_bytes(&self) -> u64 {
        self.count(|from| *from != From::Source)
    }

    /// Writes what is missing, and has the medium keep it.
    pub fn run(mut self, source: &dyn Source, piece: &Piece, progress: Progress<'_>) -> Result<(), Error> {
        let total = self.count(|from| *from != From::Slot);
        let mut done = 0;
        self.copy(&mut |bytes| {
            done += bytes;
            progress(done, total);
        })?;
        let mut told = |bytes| {
            done += bytes;
            progress(done.min(total), total);
        };
        self.apply(source, &mut told)?;
        match self.fetch_parts(source, piece, &mut told) {
            // One pass over the whole file: what is there already is left alone.
            Err(Error::NoRanges) => self.fetch(source, piece, 0..self.tree.blocks(), &mut told)?,
            fetched => fetched?,
        }
        self.slot.sync()
    }

    /// From the running root. A block that has rotted there is fetched like one that it never had.
    fn copy(&mut self, told: &mut dyn FnMut(u64)) -> Result<(), Error> {
        let mut buffer = Buffer::new(PIECE);
        let wanted: Vec<usize> = (0..self.from.len()).filter(|at| matches!(self.from[*at], From::Running(_))).collect();
        for run in runs(&wanted, |at| self.from[at], PIECE / BLOCK) {
            let From::Running(first) = self.from[run.start] else { continue };
            let bytes = &mut buffer[..run.len() * BLOCK];
            if self.running.read(bytes, (first * BLOCK) as u64).is_err() {
                self.from[run].fill(From::Source);
                continue;
            }
            for (block, content) in run.clone().zip(bytes.chunks_exact(BLOCK)) {
                let sound = self.tree.holds(block, content);
                self.from[block] = if sound { From::Slot } else { From::Source };
            }
            // What is not sound is written over when it was fetched.
            self.slot.write(bytes, (run.start * BLOCK) as u64)?;
            told(bytes.len() as u64);
        }
        Ok(())
    }

    /// By the patch. What it does not make, for whatever reason, is left to the next road.
    fn apply(&mut self, source: &dyn Source, told: &mut dyn FnMut(u64)) -> Result<(), Error> {
        let wanted = self.wanted();
        let Some(Pieces { patch, blocks }) = self.patch.take() else { return Ok(()) };
        let running = self.running;
        let applied =
            patch.apply(source, &wanted, &mut |place, buffer| running.read(buffer, place), &mut |number, bytes| {
                self.take_made(&blocks[number], bytes, told)
            });
        match applied {
            Err(error) if error.is_of_road() => {
                eprintln!("{}: what it would have made is fetched", error.line());
                Ok(())
            }
            // A rotten base is no reason to stop either.
            Err(Error::System { verb: "read", path, source }) => {
                eprintln!("read {path}: {source}: what a patch would have made of it is fetched");
                Ok(())
            }
            other => other,
        }
    }

    /// Writes the blocks of a piece that are missing.
    fn take_made(&mut self, blocks: &[usize], bytes: &[u8], told: &mut dyn FnMut(u64)) -> Result<(), Error> {
        let mut buffer = Buffer::new(bytes.len());
        buffer.copy_from_slice(bytes);
        let mut at = 0;
        for run in runs(blocks, |_| From::Source, PIECE / BLOCK) {
            let bytes = &buffer[at..at + run.len() * BLOCK];
            at += bytes.len();
            if run.clone().any(|block| self.from[block] == From::Source) {
                self.take(run.start, bytes, told)?;
            }
        }
        Ok(())
    }

    fn fetch_parts(&mut self, source: &dyn Source, piece: &Piece, told: &mut dyn FnMut(u64)) -> Result<(), Error> {
        for range in requests(&self.from) {
            self.fetch(source, piece, range, told)?;
        }
        Ok(())
    }

    /// Fetches a range and writes what is missing of it.
    fn fetch(
        &mut self,
        source: &dyn Source,
        piece: &Piece,
        range: Range<usize>,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), Error> {
        let (first, length) = ((range.start * BLOCK) as u64, (range.len() * BLOCK) as u64);
        let mut buffer = Buffer::new(PIECE);
        let (mut filled, mut block) = (0, range.start);
        source.part(&piece.path, piece.size, first, length, &mut |mut bytes| {
            while !bytes.is_empty() {
                let take = bytes.len().min(buffer.len() - filled);
                buffer[filled..filled + take].copy_from_slice(&bytes[..take]);
                (filled, bytes) = (filled + take, &bytes[take..]);
                if filled == buffer.len() || block + filled / BLOCK == range.end {
                    let whole = filled / BLOCK;
                    self.take(block, &buffer[..whole * BLOCK], told)?;
                    (block, filled) = (block + whole, 0);
                }
            }
            Ok(())
        })
    }

    /// Writes blocks that have arrived, each one only when it is the right one.
    fn take(&mut self, first: usize, bytes: &[u8], told: &mut dyn FnMut(u64)) -> Result<(), Error> {
        for (block, content) in (first..).zip(bytes.chunks_exact(BLOCK)) {
            if !self.tree.holds(block, content) {
                return Err(Error::Trust(format!("block {block} of the root is not the one that was signed")));
            }
        }
        let missing: Vec<usize> =
            (first..first + bytes.len() / BLOCK).filter(|block| self.from[*block] == From::Source).collect();
        for run in runs(&missing, |_| From::Source, bytes.len() / BLOCK) {
            let at = (run.start - first) * BLOCK;
            self.slot.write(&bytes[at..at + run.len() * BLOCK], (run.start * BLOCK) as u64)?;
            self.from[run.clone()].fill(From::Slot);
            told((run.len() * BLOCK) as u64);
        }
        Ok(())
    }
}

fn pieces(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(most).map(move |first| first..(first + most).min(end))
}

/// Blocks that follow each other, also where they come from, in runs of at most so many.
fn runs(blocks: &[usize], from: impl Fn(usize) -> From, most: usize) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for &block in blocks {
        let follows = |run: &&mut Range<usize>| {
            let here = match (from(block - 1), from(block)) {
                (From::Running(before), From::Running(this)) => before + 1 == this,
                (before, this) => before == this,
            };
            run.end == block && run.len() < most && here
        };
        match runs.last_mut().filter(|run| run.end == block).filter(follows) {
            Some(run) => run.end += 1,
            None => runs.push(block..block + 1),
        }
    }
    runs
}

/// What is asked for: the missing blocks, with small holes between them, and no more at a time than fits.
fn requests(from: &[From]) -> Vec<Range<usize>> {
    let mut requests: Vec<Range<usize>> = Vec::new();
    for block in (0..from.len()).filter(|block| from[*block] == From::Source) {
        match requests.last_mut().filter(|last| block - last.end <= HOLE && block + 1 - last.start <= REQUEST) {
            Some(last) => last.end = block + 1,
            None => requests.push(block..block + 1),
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Folder, Take};
    use ashlar_formats::uuid::Uuid;
    use ashlar_formats::verity;
    use std::cell::RefCell;
    use std::fs;

    /// Gives parts of its bytes, or refuses to.
    struct Server {
        bytes: Vec<u8>,
        parts: bool,
        asked: RefCell<Vec<(u64, u64)>>,
    }

    impl Source for Server {
        fn whole(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>, Error> {
            unreachable!()
        }

        fn part(&self, _: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
            if !self.parts && length != total {
                return Err(Error::NoRanges);
            }
            self.asked.borrow_mut().push((first, length));
            // In odd lengths, as they come from a network.
            self.bytes[first as usize..(first + length) as usize].chunks(5000).try_for_each(take)
        }
    }

    /// A patch in a folder, and a root on a server.
    struct Both {
        patch: Folder,
        root: Server,
    }

    impl Source for Both {
        fn whole(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>, Error> {
            unreachable!()
        }

        fn part(&self, path: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
            let source: &dyn Source = if path == "patch" { &self.patch } else { &self.root };
            source.part(path, total, first, length, take)
        }
    }

    /// A root whose blocks have these contents.
    fn root(contents: &[u8]) -> Vec<u8> {
        contents.iter().flat_map(|content| (0..BLOCK).map(move |n| content.wrapping_mul(31) ^ (n / 64) as u8)).collect()
    }

    fn tree(data: &[u8]) -> Tree {
        let made = verity::build(data, &[7; 32], Uuid([1; 16])).unwrap();
        Tree::new(made.bytes, made.root).unwrap()
    }

    struct Ran {
        fetched: u64,
        local: u64,
        requests: usize,
    }

    /// Upgrades from one root to another, over what the slot holds.
    fn run(running: &[u8], slot: &[u8], new: &[u8], parts: bool, served: &[u8]) -> Result<Ran, Error> {
        let folder = tempfile::tempdir().unwrap();
        let (old, target) = (folder.path().join("running"), folder.path().join("slot"));
        fs::write(&old, running).unwrap();
        let mut content = slot.to_vec();
        content.resize(new.len() + 8 * BLOCK, 0xee);
        fs::write(&target, content).unwrap();
        let (tree_old, tree_new) = (tree(running), tree(new));
        let (device, slot) = (Device::open(&old)?, Device::open_writable(&target)?);
        let transfer = Transfer::plan(&tree_new, &tree_new.places_in(&tree_old), &device, &slot, &mut |_, _| {})?;
        let (fetched, local) = (transfer.fetch_bytes() / BLOCK as u64, transfer.local_bytes() / BLOCK as u64);
        let server = Server { bytes: served.to_vec(), parts, asked: RefCell::default() };
        let piece = Piece { path: String::new(), size: new.len() as u64, sha256: String::new() };
        let mut last = (0, 0);
        transfer.run(&server, &piece, &mut |done, total| last = (done, total))?;
        assert_eq!(last.0, last.1);
        tree_new.check(&target, &mut |_, _| {})?;
        let written = fs::read(&target).unwrap();
        assert_eq!((&written[..new.len()], written[new.len()]), (new, 0xee));
        Ok(Ran { fetched, local, requests: server.asked.borrow().len() })
    }

    #[test]
    fn only_what_is_missing_is_fetched() {
        let (old, new) = (root(&[1, 2, 3, 4, 5, 6]), root(&[9, 3, 4, 1, 8, 5, 7]));
        let ran = run(&old, &[], &new, true, &new).unwrap();
        assert_eq!((ran.fetched, ran.local, ran.requests), (3, 4, 1));
        // Cut in the middle, and begun again: what is in the slot is not asked for any more.
        let ran = run(&old, &new[..5 * BLOCK], &new, true, &new).unwrap();
        assert_eq!((ran.fetched, ran.local, ran.requests), (1, 6, 1));
        let ran = run(&old, &new, &new, true, &new).unwrap();
        assert_eq!((ran.fetched, ran.requests), (0, 0));
    }

    #[test]
    fn a_patch_makes_what_it_makes_cheaper() {
        let (old, new) = (root(&[1, 2, 3, 4]), root(&[9, 2, 8, 1, 7, 6]));
        let new_blocks = [0, 2, 4, 5].map(|block| new[block * BLOCK..][..BLOCK].to_vec());
        let pieces = [new_blocks[..2].concat(), new_blocks[2..].concat()];
        let (folder, offered) = crate::patch::tests::make(&old, &pieces);
        let (running, target) = (folder.path().join("running"), folder.path().join("slot"));
        let (tree_old, tree_new) = (tree(&old), tree(&new));
        let places = tree_new.places_in(&tree_old);
        // Both pieces; one of them, since the slot has the other's blocks; both, of which the second is damaged.
        let at = offered.file.size as usize - 1;
        for (slot, damage, fetched) in [(0, false, 0), (3, false, 0), (0, true, 2)] {
            fs::write(&running, &old).unwrap();
            let mut content = new[..slot * BLOCK].to_vec();
            content.resize(new.len(), 0);
            fs::write(&target, content).unwrap();
            let path = folder.path().join("patch");
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= u8::from(damage);
            fs::write(&path, bytes).unwrap();
            let source = Folder::new(fs::File::open(folder.path()).unwrap().into());
            let (device, slot) = (Device::open(&running).unwrap(), Device::open_writable(&target).unwrap());
            let transfer = Transfer::plan(&tree_new, &places, &device, &slot, &mut |_, _| {}).unwrap();
            let blocks = transfer.fetch_bytes();
            let transfer = transfer.with_patch(Some(Patch::open(&source, &offered).unwrap()), &places);
            assert!(transfer.fetch_bytes() < blocks, "{}", transfer.fetch_bytes());
            let server =
                Both { patch: source, root: Server { bytes: new.clone(), parts: true, asked: RefCell::default() } };
            let piece = Piece { path: String::new(), size: new.len() as u64, sha256: String::new() };
            transfer.run(&server, &piece, &mut |_, _| {}).unwrap();
            assert_eq!(fs::read(&target).unwrap(), new);
            let asked: u64 = server.root.asked.take().iter().map(|(_, length)| length).sum();
            assert_eq!(asked, fetched * BLOCK as u64);
        }
    }

    #[test]
    fn a_patch_that_does_not_fit_is_left_out() {
        let (old, new) = (root(&[1, 2]), root(&[1, 3]));
        let check = |content: Vec<u8>, expect| {
            let (folder, offered) = crate::patch::tests::make(&old, &[content]);
            let source = Folder::new(fs::File::open(folder.path()).unwrap().into());
            let places = tree(&new).places_in(&tree(&old));
            assert_eq!(Pieces::new(Patch::open(&source, &offered).unwrap(), &places).is_some(), expect);
        };
        check(new[BLOCK..].to_vec(), true);
        check(new.clone(), false);
        check(vec![0; 100], false);
    }

    #[test]
    fn zeros_are_what_the_tree_says_of_them() {
        let zeros = vec![0; BLOCK];
        let (old, new) = (root(&[1, 2]), [zeros.clone(), root(&[3]), zeros.clone(), root(&[4])].concat());
        let ran = run(&old, &[zeros.clone(), zeros].concat(), &new, true, &new).unwrap();
        assert_eq!((ran.fetched, ran.local), (3, 1));
    }

    #[test]
    fn without_parts_it_is_fetched_whole() {
        let (old, new) = (root(&[1, 2, 3]), root(&[3, 4, 5, 1, 9]));
        let ran = run(&old, &[], &new, false, &new).unwrap();
        assert_eq!((ran.fetched, ran.requests), (3, 1));
    }

    #[test]
    fn nothing_else_is_written() {
        let (old, new) = (root(&[1, 2]), root(&[3, 4, 5]));
        let mut served = new.clone();
        served[BLOCK + 17] ^= 1;
        let error = run(&old, &[], &new, true, &served).err().unwrap().to_string();
        assert!(error.contains("block 1 of the root is not the one that was signed"), "{error}");
    }

    #[test]
    fn a_rotten_block_of_the_running_root_is_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (root(&[1, 2, 3]), root(&[2, 3, 1]));
        let mut rotten = old.clone();
        rotten[BLOCK] ^= 1;
        let (running, target) = (folder.path().join("running"), folder.path().join("slot"));
        fs::write(&running, rotten).unwrap();
        fs::write(&target, vec![0; new.len()]).unwrap();
        let (tree_old, tree_new) = (tree(&old), tree(&new));
        let (device, slot) = (Device::open(&running).unwrap(), Device::open_writable(&target).unwrap());
        let places = tree_new.places_in(&tree_old);
        let transfer = Transfer::plan(&tree_new, &places, &device, &slot, &mut |_, _| {}).unwrap();
        assert_eq!(transfer.fetch_bytes(), 0);
        let server = Server { bytes: new.clone(), parts: true, asked: RefCell::default() };
        let piece = Piece { path: String::new(), size: new.len() as u64, sha256: String::new() };
        transfer.run(&server, &piece, &mut |_, _| {}).unwrap();
        assert_eq!((fs::read(&target).unwrap(), server.asked.take()), (new, vec![(0, BLOCK as u64)]));
    }

    #[test]
    fn requests_span_small_holes() {
        let check = |missing: &[usize], expect: &[(usize, usize)]| {
            let mut from = vec![From::Slot; 4096];
            missing.iter().for_each(|block| from[*block] = From::Source);
            let requests: Vec<_> = requests(&from).into_iter().map(|range| (range.start, range.end)).collect();
            assert_eq!(requests, expect);
        };
        check(&[], &[]);
        check(&[3], &[(3, 4)]);
        check(&[0, 1, 2, 17, 19], &[(0, 20)]);
        check(&[0, 18], &[(0, 1), (18, 19)]);
        let all: Vec<usize> = (0..2 * REQUEST).collect();
        check(&all, &[(0, REQUEST), (REQUEST, 2 * REQUEST)]);
    }
}
