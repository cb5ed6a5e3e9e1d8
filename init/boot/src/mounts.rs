//! The kernel's file systems, mounted as PID 1 wants them and moved into the root later.

use std::fs;
use std::path::Path;

use ashlar_sys::filesystem as fsys;

use crate::error::Error;

/// Type, target, flags, options.
type Mount = (&'static str, &'static str, u64, &'static str);

const STRICT: u64 = fsys::NO_SUID | fsys::NO_DEVICES | fsys::NO_EXEC;

const MOUNTS: [Mount; 4] = [
    ("devtmpfs", "/dev", fsys::NO_SUID, "mode=0755"),
    ("proc", "/proc", STRICT, ""),
    ("sysfs", "/sys", STRICT, ""),
    ("tmpfs", "/run", fsys::NO_SUID | fsys::NO_DEVICES, "mode=0755,size=20%"),
];

/// Mounts them, /dev first: without it nobody hears of a failure.
pub fn mount_all() -> Result<(), Error> {
    for (kind, target, flags, options) in MOUNTS {
        let target = Path::new(target);
        let _ = fs::create_dir(target);
        fsys::mount(kind, target, kind, flags, options).map_err(Error::at(target))?;
    }
    Ok(())
}

/// Moves them below the new root.
pub fn move_all(root: &Path) -> Result<(), Error> {
    for (_, source, _, _) in MOUNTS {
        let target = root.join(source.trim_start_matches('/'));
        fsys::mount(source, &target, "", fsys::MOVE, "").map_err(Error::at(target))?;
    }
    Ok(())
}
