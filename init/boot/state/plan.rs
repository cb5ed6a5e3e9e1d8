//! What the partition table has to look like: a pure change of what was read.

use ashlar_formats::gpt::{Error, Found, Partition, Table, types};
use ashlar_formats::uuid::Uuid;

/// Label of a partition whose file system was complete once.
pub const COMPLETE: &str = "state";
/// Label of one that has not got that far.
pub const BEGUN: &str = "state-new";
/// Less is not worth being called state.
pub const LEAST: u64 = 64 << 20;

/// The table as it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The whole table.
    pub table: Table,
    /// It differs from the one on the disk, or a copy there is damaged.
    pub is_change: bool,
    /// Number of the state partition.
    pub number: usize,
    /// Its file system has to be made.
    pub is_new: bool,
}

/// Why there is no plan.
#[derive(Debug)]
pub enum Refusal {
    /// So many bytes are free behind the last partition.
    Room(u64),
    /// The table does not fit the disk.
    Table(Error),
}

/// Finds the place of the state partition on a disk of that size, or makes it. `id` is the GUID of a new one.
pub fn plan(found: Found, disk_bytes: u64, id: Uuid) -> Result<Plan, Refusal> {
    let Found { mut table, damaged } = found;
    let moved = table.fit(disk_bytes).map_err(Refusal::Table)?;
    if let Some((number, is_new)) = existing(&table) {
        let is_last = last(&table) == Some(number);
        let grown = is_last && table.grow_last().is_some();
        return Ok(Plan { table, is_change: moved || grown || damaged.is_some(), number, is_new });
    }
    let (first, last) = table.free_tail().unwrap_or((1, 0));
    let free = (last + 1).saturating_sub(first) * table.sector_bytes();
    if free < LEAST {
        return Err(Refusal::Room(free));
    }
    let partition = Partition { type_id: types::VAR, id, first, last, attributes: 0, name: BEGUN.to_owned() };
    let number = table.add(partition).map_err(Refusal::Table)?;
    Ok(Plan { table, is_change: true, number, is_new: true })
}

/// The state partition's number, and whether its file system has to be made.
fn existing(table: &Table) -> Option<(usize, bool)> {
    let of = |label: &str| {
        let is_it = |(_, entry): &(usize, &Partition)| entry.type_id == types::VAR && entry.name == label;
        table.partitions().find(is_it).map(|(number, _)| number)
    };
    of(COMPLETE).map(|number| (number, false)).or_else(|| of(BEGUN).map(|number| (number, true)))
}

fn last(table: &Table) -> Option<usize> {
    table.partitions().max_by_key(|(_, partition)| partition.last).map(|(number, _)| number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn table(bytes: u64, labels: &[(&str, u64)]) -> Table {
        let mut table = Table::new(Uuid([1; 16]), 512, bytes).unwrap();
        for (label, size) in labels {
            let (first, _) = table.free_tail().unwrap();
            let type_id = if label.starts_with("state") { types::VAR } else { types::ROOT_X86_64 };
            let (id, last) = (Uuid::derived(label, &[]), first + size * MIB / 512 - 1);
            table.add(Partition { type_id, id, first, last, attributes: 0, name: (*label).into() }).unwrap();
        }
        table
    }

    /// Where the state partition is in the plan, in MiB, and how it differs.
    type Planned = (usize, u64, u64, bool, bool);

    fn check(table: &Table, damaged: bool, disk: u64, expect: Result<Planned, Option<u64>>) {
        let damaged = damaged.then_some(ashlar_formats::gpt::Which::Primary);
        let plan = plan(Found { table: table.clone(), damaged }, disk, Uuid([9; 16]));
        let got = match &plan {
            Ok(plan) => {
                let partition = plan.table.partitions().find(|(number, _)| *number == plan.number).unwrap().1;
                let (start, length) = plan.table.extent(partition);
                Ok((plan.number, start / MIB, length / MIB, plan.is_new, plan.is_change))
            }
            Err(Refusal::Room(free)) => Err(Some(free / MIB)),
            Err(Refusal::Table(_)) => Err(None),
        };
        assert_eq!(got, expect, "{table:?} on {disk}");
        // Whatever is planned, carrying it out again plans the same and changes nothing.
        if let Ok(done) = plan {
            let again = super::plan(Found { table: done.table.clone(), damaged: None }, disk, Uuid([8; 16])).unwrap();
            assert_eq!(again, Plan { is_change: false, ..done });
        }
    }

    #[test]
    fn plans() {
        let shipped = table(256 * MIB, &[("root-a", 64), ("root-b", 32)]);
        // Made in what is left, on a disk that is larger than its image or is not.
        check(&shipped, false, 256 * MIB, Ok((3, 97, 158, true, true)));
        check(&shipped, false, 1024 * MIB, Ok((3, 97, 926, true, true)));
        check(&shipped, false, 161 * MIB, Err(Some(63)));
        check(&shipped, false, 98 * MIB, Err(Some(0)));
        check(&shipped, false, 64 * MIB, Err(None));
        // Begun: made again. Complete: only ever grown.
        let begun = table(256 * MIB, &[("root-a", 64), ("state-new", 190)]);
        check(&begun, false, 256 * MIB, Ok((2, 65, 190, true, false)));
        let complete = table(256 * MIB, &[("root-a", 64), ("state", 190)]);
        check(&complete, false, 256 * MIB, Ok((2, 65, 190, false, false)));
        check(&complete, true, 256 * MIB, Ok((2, 65, 190, false, true)));
        check(&complete, false, 512 * MIB, Ok((2, 65, 446, false, true)));
        // Something stands behind it.
        let followed = table(256 * MIB, &[("state", 64), ("mine", 32)]);
        check(&followed, false, 512 * MIB, Ok((1, 1, 64, false, true)));
    }
}
