//! The count of boots that never became ready ends: see `ashlar_config::boot_record`. The first stage has made the file.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use ashlar_config::boot_record::{BootRecord, FILE};
use ashlar_sys::filesystem as fsys;

use crate::disk;
use crate::error::Error;

const MOUNT: &str = "/run/ashlar/ready";

/// Notes it on the partition that this machine was started from, if there is one.
pub fn note() -> Result<(), Error> {
    let Some(esp) = disk::esp_of_this_boot()? else { return Ok(()) };
    let mount = Path::new(MOUNT);
    fs::create_dir_all(mount).map_err(Error::at("make", MOUNT))?;
    let flags = fsys::NO_SUID | fsys::NO_DEVICES | fsys::NO_EXEC;
    fsys::mount(&esp, mount, "vfat", flags, "umask=0077").map_err(Error::at("mount", &esp))?;
    let written = write(&mount.join(FILE));
    fsys::unmount(mount, false).map_err(Error::at("unmount", MOUNT))?;
    written.map_err(Error::at("write", FILE))
}

fn write(path: &Path) -> std::io::Result<()> {
    let record = BootRecord::parse(&fs::read(path)?);
    if record.unready == 0 {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).open(path)?;
    file.write_all_at(&BootRecord { unready: 0, ..record }.bytes(), 0)?;
    file.sync_all()
}
