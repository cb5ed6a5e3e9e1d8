//! Home folders: /var/home/NAME, which the console container sees as /home/NAME.
//!
//! People write inside their own, and root of the console container beside them: nothing here follows a link.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
use std::path::Path;

use anyhow::{Context, Result, bail};

const HOMES: &str = "/var/home";

/// Who owns which folder.
pub fn owners() -> BTreeMap<String, u32> {
    let entries = fs::read_dir(HOMES).into_iter().flatten().flatten();
    let owner = |entry: fs::DirEntry| Some((entry.file_name().into_string().ok()?, entry.metadata().ok()?.uid()));
    entries.filter_map(owner).collect()
}

/// Makes somebody's folder; one that is there is left alone, but for its owner.
pub fn make(name: &str, id: u32) -> Result<()> {
    let path = Path::new(HOMES).join(name);
    let said = || format!("make {}", path.display());
    match fs::symlink_metadata(&path) {
        Ok(metadata) if !metadata.is_dir() => bail!("{} is not a folder", path.display()),
        Ok(metadata) if metadata.uid() == id => Ok(()),
        Ok(_) => lchown(&path, Some(id), Some(id)).with_context(said),
        Err(_) => {
            DirBuilder::new().mode(0o700).create(&path).with_context(said)?;
            lchown(&path, Some(id), Some(id)).with_context(said)
        }
    }
}
