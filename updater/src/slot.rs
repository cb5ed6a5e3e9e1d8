//! The booted disk's slots: the running one, which nobody writes to, and the other one. Only the disk that this machine
//! was booted from counts: a clone beside it has the same names and the same hashes.

use std::fs::File;
use std::path::{Path, PathBuf};

use ashlar_formats::gpt::Table;

use crate::boot::Boot;
use crate::error::{Error, at};

/// A slot: two partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// `a` or `b`.
    pub name: String,
    /// Root.
    pub data: PathBuf,
    /// Bytes of it.
    pub data_size: u64,
    /// Hash tree.
    pub tree: PathBuf,
    /// Bytes of it.
    pub tree_size: u64,
}

/// Both slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// The one that runs.
    pub running: Slot,
    /// The one that is written to.
    pub other: Slot,
}

impl Slots {
    /// Finds them in the partition table of the booted disk.
    pub fn find(boot: &Boot) -> Result<Self, Error> {
        let mut disk = File::open(&boot.disk).map_err(at("open", &boot.disk))?;
        let table =
            Table::read(&mut disk).map_err(|error| Error::Machine(format!("{}: {error}", boot.disk.display())))?.table;
        Self::of(&table, &boot.disk, &boot.slot)
    }

    fn of(table: &Table, disk: &Path, running: &str) -> Result<Self, Error> {
        let other = match running {
            "a" => "b",
            "b" => "a",
            name => return Err(Error::Machine(format!("slot `{name}` is none of a and b"))),
        };
        Ok(Self { running: slot(table, disk, running)?, other: slot(table, disk, other)? })
    }
}

fn slot(table: &Table, disk: &Path, name: &str) -> Result<Slot, Error> {
    let part = |label: String| {
        let found = table.partitions().find(|(_, partition)| partition.name == label);
        let missing = || Error::Machine(format!("{} has no partition {label}", disk.display()));
        let (number, partition) = found.ok_or_else(missing)?;
        Ok::<_, Error>((partition_path(disk, number), table.extent(partition).1))
    };
    let (data, data_size) = part(format!("root-{name}"))?;
    let (tree, tree_size) = part(format!("verity-{name}"))?;
    Ok(Slot { name: name.to_owned(), data, data_size, tree, tree_size })
}

/// The kernel's name of a partition: a letter between two numbers.
fn partition_path(disk: &Path, number: usize) -> PathBuf {
    let disk = disk.display().to_string();
    let between = if disk.ends_with(|last: char| last.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{between}{number}").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_formats::gpt::{Partition, types};
    use ashlar_formats::uuid::Uuid;

    fn table(labels: &[&str]) -> Table {
        let mut table = Table::new(Uuid([1; 16]), 512, 64 << 20).unwrap();
        for (at, label) in (1u64..).zip(labels) {
            let (first, id) = (at * 2048, Uuid([at as u8; 16]));
            let name = (*label).to_owned();
            table.add(Partition { type_id: types::VAR, id, first, last: first + 2047, attributes: 0, name }).unwrap();
        }
        table
    }

    #[test]
    fn the_other_one_is_never_the_running_one() {
        let table = table(&["esp", "root-a", "verity-a", "root-b", "verity-b"]);
        let check = |running: &str, disk: &str, data: &str, tree: &str| {
            let slots = Slots::of(&table, Path::new(disk), running).unwrap();
            assert_eq!((slots.other.data.to_str().unwrap(), slots.other.tree.to_str().unwrap()), (data, tree));
            assert_eq!((slots.running.name.as_str(), slots.other.data_size), (running, 1 << 20));
        };
        check("a", "/dev/vda", "/dev/vda4", "/dev/vda5");
        check("b", "/dev/nvme0n1", "/dev/nvme0n1p2", "/dev/nvme0n1p3");
    }

    #[test]
    fn refuses() {
        let check = |labels: &[&str], running: &str, part: &str| {
            let error = Slots::of(&table(labels), Path::new("/dev/vda"), running).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        };
        check(&["root-a", "verity-a"], "a", "no partition root-b");
        check(&["root-a", "verity-a", "root-b", "verity-b"], "", "none of a and b");
    }
}
