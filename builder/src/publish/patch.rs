//! Making patches: see `ashlar_formats::patch`. Pieces are independent of each other, so they are made on all cores, each
//! with no more in memory than its own bytes and its part of the base.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, bail};
use ashlar_fetch::Digest;
use ashlar_formats::patch::{Head, PART, PIECE, Piece};
use ashlar_formats::verity::{self, BLOCK, Superblock};

/// Slow to make and as fast as any to apply; it is made once.
const LEVEL: i32 = 19;
/// Bytes of the base beside what a piece is expected to be made of.
const MARGIN: u64 = 2 << 20;

/// What a piece is made of: bytes of the new file, from and to where, and the part of the base.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Plan {
    content: Vec<(u64, u64)>,
    base: Range<u64>,
}

/// A piece and its frame.
type Made = (Piece, Vec<u8>);

/// What a whole hash tree says of itself.
fn whole(bytes: &[u8]) -> anyhow::Result<Superblock> {
    let superblock = Superblock::parse(bytes)?;
    if superblock.tree_bytes() != bytes.len() as u64 {
        bail!("the hash tree has {} bytes, not {}", bytes.len(), superblock.tree_bytes());
    }
    Ok(superblock)
}

/// How many blocks of a root are not in another, by their hash trees.
pub fn new_blocks(old: &[u8], new: &[u8]) -> anyhow::Result<u64> {
    let (before, after) = (whole(old)?, whole(new)?);
    let places = verity::places((&after, new), (&before, old));
    Ok(places.iter().filter(|place| place.is_none()).count() as u64)
}

/// The patch from one root to another by their hash trees; `None` where there is nothing new in it. Writes it to `out`.
pub fn of_root(old: (&Path, &[u8]), new: (&Path, &[u8]), out: &Path) -> anyhow::Result<Option<Head>> {
    let (before, after) = (whole(old.1)?, whole(new.1)?);
    let places = verity::places((&after, new.1), (&before, old.1));
    write(&of_blocks(&places, before.data_blocks), old.0, new.0, out)
}

/// The patch from one file to another.
pub fn of_file(old: &Path, new: &Path, out: &Path) -> anyhow::Result<Option<Head>> {
    let length = |path: &Path| path.metadata().map(|metadata| metadata.len());
    let (before, after) = (length(old)?, length(new)?);
    let plans = (0..after).step_by(PIECE).map(|first| {
        let end = (first + PIECE as u64).min(after);
        // What moves in a file of sections moves little.
        let spare = (PART as u64 - (end - first)) / 2;
        Plan { content: vec![(first, end)], base: first.saturating_sub(spare).min(before)..(end + spare).min(before) }
    });
    write(&plans.collect::<Vec<_>>(), old, new, out)
}

/// Pieces of the blocks that have no place in the base. Where such a block would be there is told by the ones before it.
fn of_blocks(places: &[Option<usize>], base_blocks: u64) -> Vec<Plan> {
    let size = BLOCK as u64;
    let end = base_blocks * size;
    let mut plans: Vec<Plan> = Vec::new();
    let mut expected = 0;
    let mut length = 0;
    for (block, place) in (0_u64..).zip(places) {
        if let Some(place) = place {
            expected = (*place as u64 + 1) * size;
            continue;
        }
        let base = expected.saturating_sub(MARGIN).min(end)..(expected + size + MARGIN).min(end);
        let joined = plans.last().map(|plan| plan.base.start.min(base.start)..plan.base.end.max(base.end));
        let fits = |base: &Range<u64>| base.end - base.start <= PART as u64 && length < PIECE as u64;
        match (plans.last_mut(), joined.filter(fits)) {
            (Some(plan), Some(joined)) => {
                plan.base = joined;
                length += size;
                match plan.content.last_mut().filter(|(_, end)| *end == block * size) {
                    Some((_, end)) => *end += size,
                    None => plan.content.push((block * size, (block + 1) * size)),
                }
            }
            _ => {
                plans.push(Plan { content: vec![(block * size, (block + 1) * size)], base });
                length = size;
            }
        }
        expected += size;
    }
    plans
}

/// Makes all pieces and writes them. They wait beside each other in memory, compressed.
fn write(plans: &[Plan], old: &Path, new: &Path, out: &Path) -> anyhow::Result<Option<Head>> {
    if plans.is_empty() {
        return Ok(None);
    }
    let open = |path: &Path| File::open(path).with_context(|| format!("open {}", path.display()));
    let (base, content) = (open(old)?, open(new)?);
    let next = AtomicUsize::new(0);
    let made: Mutex<Vec<(usize, io::Result<Made>)>> = Mutex::default();
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(plan) = plans.get(number) else { return };
            let piece = make(plan, &base, &content);
            made.lock().unwrap_or_else(PoisonError::into_inner).push((number, piece));
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    made.sort_by_key(|(number, _)| *number);
    let made = made.into_iter().map(|(_, piece)| piece).collect::<io::Result<Vec<Made>>>()?;
    let (pieces, frames): (Vec<Piece>, Vec<Vec<u8>>) = made.into_iter().unzip();
    let head = Head { pieces };
    let mut file = File::create(out).with_context(|| format!("write {}", out.display()))?;
    file.write_all(&head.bytes())?;
    frames.iter().try_for_each(|frame| file.write_all(frame))?;
    Ok(Some(head))
}

fn make(plan: &Plan, base: &File, content: &File) -> io::Result<Made> {
    let mut prefix = vec![0; (plan.base.end - plan.base.start) as usize];
    base.read_exact_at(&mut prefix, plan.base.start)?;
    let mut bytes = Vec::with_capacity(PIECE);
    for (first, end) in &plan.content {
        let at = bytes.len();
        bytes.resize(at + (end - first) as usize, 0);
        content.read_exact_at(&mut bytes[at..], *first)?;
    }
    let mut encoder = zstd::Encoder::with_ref_prefix(Vec::new(), LEVEL, &prefix)?;
    // Without this the last part of the prefix alone is looked at.
    encoder.long_distance_matching(true)?;
    encoder.window_log((prefix.len() + bytes.len()).next_power_of_two().ilog2().max(10))?;
    encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
    encoder.include_contentsize(true)?;
    encoder.write_all(&bytes)?;
    let frame = encoder.finish()?;
    let piece = Piece {
        length: bytes.len() as u32,
        frame: frame.len() as u32,
        base: plan.base.start,
        base_length: prefix.len() as u32,
        sha256: Digest::of(&frame).bytes(),
    };
    Ok((piece, frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_formats::uuid::Uuid;
    use std::fs;

    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let next = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        std::iter::repeat_with(next).take(length).collect()
    }

    /// Undoes what `write` does.
    fn apply(base: &[u8], patch: &[u8], head: &Head) -> Vec<u8> {
        assert_eq!(Head::parse(&patch[..head.len()]).unwrap(), *head);
        let mut stream = Vec::new();
        for (piece, place) in head.pieces.iter().zip(head.places()) {
            let frame = &patch[place as usize..][..piece.frame as usize];
            assert_eq!(piece.sha256, Digest::of(frame).bytes());
            let part = &base[piece.base as usize..][..piece.base_length as usize];
            let mut decoder = zstd::Decoder::with_ref_prefix(frame, part).unwrap();
            let before = stream.len();
            io::copy(&mut decoder, &mut stream).unwrap();
            assert_eq!(stream.len() - before, piece.length as usize);
        }
        assert_eq!(head.places().last(), Some(&(patch.len() as u64)));
        stream
    }

    fn paths(old: &[u8], new: &[u8]) -> (tempfile::TempDir, [std::path::PathBuf; 3]) {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["old", "new", "patch"].map(|name| folder.path().join(name));
        fs::write(&paths[0], old).unwrap();
        fs::write(&paths[1], new).unwrap();
        (folder, paths)
    }

    #[test]
    fn a_file_is_made_of_another() {
        let old = noise(1, 9 << 20);
        let mut new = old.clone();
        new.splice(5 << 20..5 << 20, noise(2, 4000));
        let (_folder, [old_path, new_path, out]) = paths(&old, &new);
        let head = of_file(&old_path, &new_path, &out).unwrap().unwrap();
        let patch = fs::read(out).unwrap();
        assert_eq!(head.pieces.len(), 3);
        assert!(patch.len() < 10_000, "{}", patch.len());
        assert!(apply(&old, &patch, &head) == new);
    }

    #[test]
    fn a_root_is_made_of_what_it_has_not() {
        let old = noise(1, 3 << 20);
        let mut new = old.clone();
        new[70 * BLOCK + 5] ^= 1;
        new.splice(400 * BLOCK..400 * BLOCK, old[..BLOCK / 2].iter().chain(&old[9000..9000 + BLOCK / 2]).copied());
        let tree = |data: &[u8]| verity::build(data, &[7; 32], Uuid([1; 16])).unwrap().bytes;
        let (_folder, [old_path, new_path, out]) = paths(&old, &new);
        let (before, after) = (tree(&old), tree(&new));
        let head = of_root((&old_path, &before), (&new_path, &after), &out).unwrap().unwrap();
        let patch = fs::read(&out).unwrap();
        let expect = [&new[70 * BLOCK..71 * BLOCK], &new[400 * BLOCK..401 * BLOCK]].concat();
        assert!(apply(&old, &patch, &head) == expect);
        assert!(patch.len() < 400, "{}", patch.len());
        assert_eq!(of_root((&old_path, &before), (&old_path, &before), &out).unwrap(), None);
    }

    #[test]
    fn pieces_stay_within_their_limits() {
        let check = |places: Vec<Option<usize>>, expect: usize| {
            let plans = of_blocks(&places, 1 << 20);
            for plan in &plans {
                let length: u64 = plan.content.iter().map(|(first, end)| end - first).sum();
                assert!(length <= PIECE as u64 && plan.base.end - plan.base.start <= PART as u64, "{plan:?}");
            }
            let new: u64 = plans.iter().flat_map(|plan| &plan.content).map(|(first, end)| end - first).sum();
            assert_eq!(new, (places.iter().filter(|place| place.is_none()).count() * BLOCK) as u64);
            assert_eq!(plans.len(), expect);
        };
        check(vec![Some(0), Some(1)], 0);
        check(vec![None; 1024], 1);
        check(vec![None; 1025], 2);
        // Two blocks far from each other have nothing of the base in common.
        check((0..100_000).map(|block| (block % 50_000 != 9).then_some(block)).collect(), 2);
    }
}
