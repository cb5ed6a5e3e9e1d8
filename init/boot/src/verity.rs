//! The verity device: from here on the kernel checks every block of the root against the root hash, and restarts the
//! machine where one does not fit.

use std::os::unix::fs::symlink;

use ashlar_formats::verity::mapping::{KIND, Mapping};
use ashlar_sys::device_mapper::Control;

use crate::error::Error;
use crate::slot::Slot;

/// Name of the mapped device.
const NAME: &str = "root";
const LINK: &str = "/dev/mapper/root";

/// Opens a slot; returns the device to mount.
pub fn open(slot: &Slot) -> Result<String, Error> {
    let mapper = |what| move |source| Error::Mapper { what, source };
    let control = Control::open().map_err(mapper("be opened"))?;
    let Mapping { uuid, length, forms } =
        Mapping::new(NAME, &slot.superblock, (&slot.data, &slot.tree), slot.root_hash);
    let minor = control.start_read_only(NAME, &uuid, length, KIND, &forms).map_err(mapper("make the device `root`"))?;
    // Only a name for people and for udev's rules.
    let _ = symlink(format!("../dm-{minor}"), LINK);
    Ok(format!("/dev/dm-{minor}"))
}
