//! The verity device: from here on the kernel checks every block of the root against the root hash, and restarts the
//! machine where one does not fit.

use std::os::unix::fs::symlink;

use ashlar_formats::verity::{BLOCK, FIRST_HASH_BLOCK, RootHash, Superblock};
use ashlar_sys::device_mapper::{Control, Target};

use crate::error::Error;
use crate::slot::Slot;

/// Name of the mapped device.
const NAME: &str = "root";
const LINK: &str = "/dev/mapper/root";
/// From what is wanted to what the oldest kernel takes: a corrupt root must never go on running, and one that cannot be
/// read is no better.
const OPTIONS: [&str; 3] = ["2 panic_on_corruption panic_on_error", "1 panic_on_corruption", "1 restart_on_corruption"];
/// Bytes of what device-mapper calls a sector.
const SECTOR: u64 = 512;
/// errno(3): an option that this kernel does not know.
const EINVAL: i32 = 22;

/// Opens a slot; returns the device to mount.
pub fn open(slot: &Slot) -> Result<String, Error> {
    let mapper = |what| move |source| Error::Mapper { what, source };
    let control = Control::open().map_err(mapper("be opened"))?;
    let number = control.create(NAME, &uuid(slot.root_hash)).map_err(mapper("make the device `root`"))?;
    load(&control, slot).map_err(mapper("load the verity table"))?;
    control.resume_read_only(NAME).map_err(mapper("start the device `root`"))?;
    let minor = minor(number);
    // Only a name for people and for udev's rules.
    let _ = symlink(format!("../dm-{minor}"), LINK);
    Ok(format!("/dev/dm-{minor}"))
}

/// What cryptsetup calls a verity device, so that its tools know ours.
fn uuid(root_hash: RootHash) -> String {
    format!("CRYPT-VERITY-{}-{NAME}", &root_hash.to_string()[..32])
}

fn load(control: &Control, slot: &Slot) -> std::io::Result<()> {
    let mut result = Ok(());
    for options in OPTIONS {
        let parameters = parameters(&slot.superblock, (&slot.data, &slot.tree), slot.root_hash, options);
        let length = slot.superblock.data_bytes() / SECTOR;
        let target = Target { start: 0, length, kind: "verity", parameters: &parameters };
        result = control.load_read_only(NAME, &target);
        if !matches!(&result, Err(error) if error.raw_os_error() == Some(EINVAL)) {
            break;
        }
    }
    result
}

/// The table's line (kernel documentation, device-mapper/verity).
fn parameters(superblock: &Superblock, (data, tree): (&str, &str), root_hash: RootHash, options: &str) -> String {
    let salt: String = superblock.salt.iter().map(|byte| format!("{byte:02x}")).collect();
    let salt = if salt.is_empty() { "-" } else { &salt };
    let blocks = superblock.data_blocks;
    format!("1 {data} {tree} {BLOCK} {BLOCK} {blocks} {FIRST_HASH_BLOCK} sha256 {root_hash} {salt} {options}")
}

/// Minor number of a device as device-mapper writes it: 12 bits of it above the 8 of the lower half.
fn minor(number: u64) -> u64 {
    number & 0xff | number >> 12 & 0xf_ff00
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_formats::uuid::Uuid;

    #[test]
    fn tables() {
        let check = |salt: &[u8], expect: &str| {
            let superblock = Superblock { uuid: Uuid::default(), salt: salt.to_vec(), data_blocks: 7 };
            let line = parameters(&superblock, ("/dev/vda2", "/dev/vda3"), RootHash([0xab; 32]), OPTIONS[1]);
            let root = "ab".repeat(32);
            let head = "1 /dev/vda2 /dev/vda3 4096 4096 7 1 sha256";
            assert_eq!(line, format!("{head} {root} {expect} 1 panic_on_corruption"));
        };
        check(&[0, 255], "00ff");
        check(&[], "-");
    }

    #[test]
    fn minors() {
        let check = |number, expect| assert_eq!(minor(number), expect, "{number:x}");
        check(254 << 8, 0);
        check(254 << 8 | 3, 3);
        check(1 << 20 | 254 << 8 | 3, 259);
    }
}
