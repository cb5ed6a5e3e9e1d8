//! What a power cut can leave of the writes between two flushes: any of them may have come, in any order, and each whole or
//! torn between two sectors. All of that is tried where there are few writes; where there are many, each order that has
//! hurt somebody, and a sample.

use super::log::Write;

/// So many writes are tried in all combinations.
const ALL: usize = 10;
/// Writes of at most so many sectors are taken apart: those are directories and tables, where each sector counts.
const SMALL: u64 = 8;
/// But not into more pieces than this.
const PIECES: usize = 64;

/// What came, in order. The first one is nothing, the last one everything.
pub fn cuts(writes: &[Write], samples: u32, seed: u64) -> Vec<Vec<Write>> {
    let mut cuts: Vec<Vec<Write>> = Vec::new();
    for (count, write) in writes.iter().enumerate() {
        cuts.push(writes[..count].to_vec());
        cuts.extend(torn(write).into_iter().map(|part| [&writes[..count], &[part]].concat()));
    }
    let pieces = taken_apart(writes);
    let of = |chosen: &dyn Fn(usize) -> bool| -> Vec<Write> {
        pieces.iter().enumerate().filter(|(index, _)| chosen(*index)).map(|(_, piece)| *piece).collect()
    };
    if pieces.len() <= ALL {
        cuts.extend((0..1_usize << pieces.len()).map(|set| of(&|index| set >> index & 1 == 1)));
    } else {
        for one in 0..pieces.len() {
            cuts.extend([of(&|index| index != one), of(&|index| index == one), of(&|index| index >= one)]);
        }
        let mut random = Random(seed);
        cuts.extend((0..samples).map(|_| {
            let set: Vec<bool> = pieces.iter().map(|_| random.next() & 1 == 1).collect();
            of(&|index| set[index])
        }));
    }
    cuts.push(writes.to_vec());
    cuts
}

/// A write of which only some sectors came, from its beginning or to its end.
fn torn(write: &Write) -> Vec<Write> {
    let count = write.count;
    let mut places = vec![1, 8, count / 2, count.saturating_sub(8), count.saturating_sub(1)];
    places.sort_unstable();
    places.dedup();
    let places = places.into_iter().filter(|place| (1..count).contains(place));
    places.flat_map(|place| [write.part(0, place), write.part(place, count - place)]).collect()
}

fn taken_apart(writes: &[Write]) -> Vec<Write> {
    let sectors = |write: &Write| if write.count <= SMALL { write.count as usize } else { 1 };
    if writes.iter().map(sectors).sum::<usize>() > PIECES {
        return writes.to_vec();
    }
    let apart = |write: &Write| -> Vec<Write> {
        match write.count {
            count if count <= SMALL => (0..count).map(|sector| write.part(sector, 1)).collect(),
            _ => vec![*write],
        }
    };
    writes.iter().flat_map(apart).collect()
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same sample each time.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next one.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and nothing else of an iterator is wanted")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }
}

/// All bits of a number count in all bits of the result.
pub fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn write(sector: u64, count: u64) -> Write {
        Write { sector, count, place: 100 * sector }
    }

    /// The distinct sets of sectors that come.
    fn sets(writes: &[Write]) -> BTreeSet<BTreeSet<u64>> {
        let sectors = |cut: Vec<Write>| cut.iter().flat_map(|part| part.sector..part.sector + part.count).collect();
        cuts(writes, 50, 1).into_iter().map(sectors).collect()
    }

    #[test]
    fn few_small_writes_are_tried_in_all_ways() {
        assert_eq!(sets(&[]).len(), 1);
        assert_eq!(sets(&[write(1, 1)]).len(), 2);
        assert_eq!(sets(&[write(1, 2), write(8, 1)]).len(), 8);
        assert_eq!(sets(&[write(1, 2), write(8, 8)]).len(), 1 << 10);
    }

    #[test]
    fn large_ones_are_torn() {
        let sets = sets(&[write(0, 100)]);
        let first = |count: u64| (0..count).collect::<BTreeSet<u64>>();
        assert!([0, 1, 8, 50, 92, 99, 100].iter().all(|count| sets.contains(&first(*count))), "{sets:?}");
        assert!(sets.contains(&(99..100).collect()));
        assert_eq!(sets.len(), 12);
    }

    #[test]
    fn of_many_each_is_lost_and_each_comes_alone() {
        let writes: Vec<Write> = (0..20).map(|number| write(number, 1)).collect();
        let sets = sets(&writes);
        for one in 0..20 {
            assert!(sets.contains(&(0..20).filter(|other| *other != one).collect()));
            assert!(sets.contains(&[one].into()));
            assert!(sets.contains(&(0..one).collect()) && sets.contains(&(one..20).collect()));
        }
        assert!(sets.len() > 20 * 4 + 40);
        assert_eq!(cuts(&writes, 50, 1), cuts(&writes, 50, 1));
    }

    #[test]
    fn what_stands_there_at_last_comes_last() {
        let writes = [write(1, 1), Write { place: 5, ..write(1, 1) }];
        assert_eq!(cuts(&writes, 0, 0).last().unwrap(), &writes);
    }
}
