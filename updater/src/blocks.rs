//! The root of a release, block by block: what the slot already holds stays (so that a cut upgrade goes on where it
//! stopped), what the running root has is copied, and only the rest is fetched: from machines of the site that have it, as
//! pieces of a patch where those are less, and as blocks otherwise. A road that ends in the middle is left for the next
//! one, which goes on from there.
//!
//! Digests are what an upgrade costs. So each block gets one, when it is read back from the medium, which has to be done
//! anyhow. Until then what is on this machine is taken to be what the trees of both slots say; a block that turns out not to
//! be takes the next way: stays → copied → fetched → fetched once more. What comes over a network is looked at on arrival,
//! since that is where another road can still be taken.

use std::ops::Range;
use std::path::Path;

use ashlar_control::update::Stage;

use crate::device::{BLOCK, Buffer, Device, PIECE};
use crate::error::Error;
use crate::offer::Piece;
use crate::patch::Patch;
use crate::peers::Peers;
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

/// What was done for a block so far, in the order in which it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tried {
    /// It was taken to be there already.
    Left,
    Copied,
    Fetched,
    FetchedAgain,
}

/// A root that is brought into a slot.
pub struct Transfer<'a> {
    tree: &'a Tree,
    running: &'a Device,
    slot: &'a Device,
    places: &'a [Option<usize>],
    from: Vec<From>,
    tried: Vec<Tried>,
    patch: Option<Pieces>,
    /// Bytes that were written.
    written: u64,
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
    /// Finds out where each block comes from: `places` are those in the running root, `guess` is what the slot has for a
    /// tree. Reads of the slot what that tree does not know.
    pub fn plan(
        tree: &'a Tree,
        places: &'a [Option<usize>],
        running: &'a Device,
        (slot, guess): (&'a Device, Option<&Tree>),
        progress: Progress<'_>,
    ) -> Result<Self, Error> {
        let mut from: Vec<From> = places.iter().map(|place| place.map_or(From::Source, From::Running)).collect();
        let mut buffer = Buffer::new(PIECE);
        for range in pieces(0..tree.blocks(), PIECE / BLOCK) {
            let is_known = |block: &usize| guess.is_some_and(|guess| tree.agrees_with(guess, *block));
            for block in range.clone().filter(is_known) {
                from[block] = From::Slot;
            }
            let unknown: Vec<usize> = range.clone().filter(|block| from[*block] != From::Slot).collect();
            if let (Some(first), Some(last)) = (unknown.first(), unknown.last()) {
                let bytes = &mut buffer[..(last + 1 - first) * BLOCK];
                slot.read(bytes, (first * BLOCK) as u64)?;
                for block in &unknown {
                    let content = &bytes[(block - first) * BLOCK..][..BLOCK];
                    // A slot that was never written is all zeros: those need no digest of their own.
                    let is_there =
                        if content == &ZEROS[..] { tree.is_zero(*block) } else { tree.holds(*block, content) };
                    if is_there {
                        from[*block] = From::Slot;
                    }
                }
            }
            progress((range.end * BLOCK) as u64, tree.superblock.data_bytes());
        }
        let tried = vec![Tried::Left; from.len()];
        Ok(Self { tree, running, slot, places, from, tried, patch: None, written: 0 })
    }

    /// With a patch from the running root. One that does not fit is left out.
    pub fn with_patch(mut self, patch: Option<Patch>) -> Self {
        self.patch = patch.and_then(|patch| Pieces::new(patch, self.places));
        self
    }

    /// The pieces of the patch that are less than the blocks that they make, as far as those are missing.
    fn wanted(&self) -> Vec<bool> {
        self.costs().map(|(frame, blocks)| frame < blocks).collect()
    }

    /// Of each piece of the patch its bytes, and those of the blocks that it would save.
    fn costs(&self) -> impl Iterator<Item = (u64, u64)> {
        let missing = |blocks: &Vec<usize>| blocks.iter().filter(|block| self.from[**block] == From::Source).count();
        let pieces = self.patch.iter().flat_map(|pieces| pieces.patch.head.pieces.iter().zip(&pieces.blocks));
        pieces.map(move |(piece, blocks)| (piece.frame.into(), (missing(blocks) * BLOCK) as u64))
    }

    fn count(&self, wanted: fn(&From) -> bool) -> u64 {
        (self.from.iter().filter(|from| wanted(from)).count() * BLOCK) as u64
    }

    /// Bytes that the source has to give, without what is fetched along to save requests.
    pub fn fetch_bytes(&self) -> u64 {
        let saved: u64 = self.costs().map(|(frame, blocks)| blocks.saturating_sub(frame)).sum();
        self.count(|from| *from == From::Source) - saved
    }

    /// Bytes that are on this machine.
    pub fn local_bytes(&self) -> u64 {
        self.count(|from| *from != From::Source)
    }

    /// Writes what is missing and reads all of it back, until each block is what the tree says.
    pub fn complete(
        &mut self,
        source: &dyn Source,
        piece: &Piece,
        data: &Path,
        progress: &mut dyn FnMut(Stage, u64, u64),
    ) -> Result<(), Error> {
        loop {
            self.run(source, piece, &mut |done, total| progress(Stage::Fetch, done, total))?;
            let mut verified = |done, total| progress(Stage::Verify, done, total);
            match self.tree.wrong_blocks(data, &mut verified)?.as_slice() {
                [] => return Ok(()),
                wrong => self.mend(wrong)?,
            }
        }
    }

    /// Writes what machines of the site have of what is missing. Their bytes cost the source nothing, so that this comes
    /// before a patch is thought of.
    pub fn fetch_near(
        &mut self,
        peers: &Peers,
        piece: &Piece,
        progress: &mut dyn FnMut(Stage, u64, u64),
    ) -> Result<(), Error> {
        if self.count(|from| *from == From::Source) == 0 {
            return Ok(());
        }
        let mut fetched = |done, total| progress(Stage::Fetch, done, total);
        let mut told = self.told(&mut fetched);
        peers.bring(piece, &mut |peer| self.fetch_parts(peer, piece, &mut told)).map(drop)
    }

    /// Writes what is missing, and has the medium keep it.
    fn run(&mut self, source: &dyn Source, piece: &Piece, progress: Progress<'_>) -> Result<(), Error> {
        let mut told = self.told(progress);
        self.copy(&mut told)?;
        self.apply(source, &mut told)?;
        match self.fetch_parts(source, piece, &mut told) {
            // One pass over the whole file: what is there already is left alone.
            Err(Error::NoRanges) => self.fetch(source, piece, 0..self.tree.blocks(), &mut told)?,
            fetched => fetched?,
        }
        self.slot.sync()
    }

    /// Tells of bytes that are written from here on, beside those that were.
    fn told<'p>(&self, progress: Progress<'p>) -> impl FnMut(u64) + use<'p> {
        let mut done = self.written;
        let total = done + self.count(|from| *from != From::Slot);
        move |bytes| {
            done += bytes;
            progress(done.min(total), total);
        }
    }

    /// Has these blocks come another way than the one that did not bring what the tree says.
    fn mend(&mut self, wrong: &[usize]) -> Result<(), Error> {
        for &block in wrong {
            self.from[block] = match (self.tried[block], self.places[block]) {
                (Tried::Left, Some(place)) => From::Running(place),
                (Tried::Left | Tried::Copied | Tried::Fetched, _) => From::Source,
                (Tried::FetchedAgain, _) => {
                    let what = "was written twice, and reads back as something else: the disk does not keep it";
                    return Err(Error::Machine(format!("block {block} of the slot {what}")));
                }
            };
        }
        Ok(())
    }

    /// From the running root.
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
            self.slot.write(bytes, (run.start * BLOCK) as u64)?;
            self.written += bytes.len() as u64;
            self.from[run.clone()].fill(From::Slot);
            self.tried[run].fill(Tried::Copied);
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
            self.written += (run.len() * BLOCK) as u64;
            self.from[run.clone()].fill(From::Slot);
            for tried in &mut self.tried[run.clone()] {
                *tried = if *tried < Tried::Fetched { Tried::Fetched } else { Tried::FetchedAgain };
            }
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
mod tests;
