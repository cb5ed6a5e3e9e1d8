//! The disk: partitions, and what a fresh one has in them. Slot B is there and empty; `state` is made by the machine
//! on its first boot, in what is left of the disk that the image was written to.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use ashlar_formats::uuid::Uuid;
use ashlar_formats::verity::Tree;
use ashlar_formats::{fat, gpt};
use serde::{Deserialize, Serialize};

use super::{Error, Inputs};

const SECTOR: u64 = 512;
/// The part of a slot that its hash tree may take: a tree is 1/127 of its data.
const VERITY_PART: u64 = 64;

/// Sizes of the partitions in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sizes {
    /// EFI system partition.
    pub esp: u64,
    /// Each of the two slots for a root.
    pub slot: u64,
}

impl Sizes {
    /// Size of a hash tree's partition.
    pub fn verity(&self) -> u64 {
        (self.slot / VERITY_PART).next_multiple_of(gpt::ALIGNMENT)
    }

    /// That the sizes are ones that partitions can have, and what goes into them fits.
    pub(super) fn check(&self, root: u64, tree: u64) -> Result<(), Error> {
        for (partition, bytes) in [("ESP", self.esp), ("slot", self.slot)] {
            if bytes == 0 || !bytes.is_multiple_of(gpt::ALIGNMENT) {
                return Err(Error::Size { partition, bytes });
            }
        }
        for (what, needs, has) in [("the root", root, self.slot), ("the hash tree", tree, self.verity())] {
            if needs > has {
                return Err(Error::TooLarge { what, partition: "slot", needs, has });
            }
        }
        Ok(())
    }

    /// The partitions of a disk: name and size.
    fn partitions(&self) -> [(&'static str, u64); 5] {
        let (slot, verity) = (self.slot, self.verity());
        [("esp", self.esp), ("root-a", slot), ("verity-a", verity), ("root-b", slot), ("verity-b", verity)]
    }
}

/// Writes the disk into an empty file, which stays sparse.
pub(super) fn write(
    mut disk: &File,
    path: &Path,
    inputs: &Inputs<'_>,
    root: &File,
    tree: &Tree,
    volume: &fat::Image<'_>,
) -> Result<(), Error> {
    let table = table(inputs, tree)?;
    let failed = |e| Error::file(path, e);
    disk.set_len(table.disk_bytes()).map_err(failed)?;
    table.write(&mut disk).map_err(failed)?;
    let start = |name: &str| table.by_name(name).map_or(0, |(_, partition)| table.extent(partition).0);
    volume.write(&mut disk, start("esp"))?;
    put(disk, start("root-a"), root, inputs.root)?;
    put(disk, start("verity-a"), &tree.bytes[..], path)
}

/// Copies all of `content` to a byte of the disk: inside the kernel, where it can.
fn put(mut disk: &File, start: u64, mut content: impl Read, path: &Path) -> Result<(), Error> {
    disk.seek(SeekFrom::Start(start))
        .and_then(|_| io::copy(&mut content, &mut disk))
        .map_err(|e| Error::file(path, e))?;
    Ok(())
}

/// The table. The first slot's GUIDs are the halves of its root hash, as the Discoverable Partitions Specification
/// has it, so that foreign tools find the root of a fresh image; we ourselves never look at them.
fn table(inputs: &Inputs<'_>, tree: &Tree) -> Result<gpt::Table, Error> {
    let [root_type, verity_type] = inputs.root_types();
    let root = tree.root.0;
    let half = |at: usize| Uuid(std::array::from_fn(|n| root[at + n]));
    let partitions = inputs.sizes.partitions();
    let bytes = partitions.iter().map(|(_, bytes)| bytes).sum::<u64>() + 2 * gpt::ALIGNMENT;
    let mut table = gpt::Table::new(Uuid::derived("disk", &root), SECTOR, bytes)?;
    let mut first = gpt::ALIGNMENT / SECTOR;
    for (name, bytes) in partitions {
        let type_id = match name {
            "esp" => gpt::types::ESP,
            "root-a" | "root-b" => root_type,
            _ => verity_type,
        };
        let id = match name {
            "root-a" => half(0),
            "verity-a" => half(16),
            _ => Uuid::derived(name, &root),
        };
        let last = first + bytes / SECTOR - 1;
        table.add(gpt::Partition { type_id, id, first, last, attributes: 0, name: name.to_owned() })?;
        first = last + 1;
    }
    Ok(table)
}
