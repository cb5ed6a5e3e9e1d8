//! Our own programs for the image, built beforehand and handed over in a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::debian::Arch;
use crate::libraries::machine_of;

/// The program of the first stage.
pub const BOOT: &str = "boot";
/// Those that the machine's root holds, and where.
pub const IN_ROOT: [(&str, &str); 6] = [
    ("ashlar-runtime", "usr/bin/ashlar-runtime"),
    ("init", "usr/lib/ashlar/init"),
    ("login", "usr/lib/ashlar/login"),
    ("os", "usr/bin/os"),
    ("provision", "usr/lib/ashlar/provision"),
    ("state", "usr/lib/ashlar/state"),
];

/// Programs by name.
pub type Programs = BTreeMap<String, Arc<Vec<u8>>>;

/// The folder that is taken when none is named: `programs/ARCH` beside this program, or, as in a checkout whose images were
/// built once, beside its folder.
///
/// # Errors
/// This program's own file is not to be found.
pub fn default_folder(arch: Arch) -> anyhow::Result<PathBuf> {
    let ourselves = std::env::current_exe().context("find this program's own file")?;
    let folders: Vec<PathBuf> =
        ourselves.ancestors().skip(1).take(2).map(|folder| folder.join("programs").join(arch.to_string())).collect();
    let found = folders.iter().find(|folder| folder.is_dir()).or(folders.first());
    Ok(found.cloned().unwrap_or_default())
}

/// Reads all programs of a folder.
///
/// # Errors
/// The folder cannot be read, one that every image needs is not in it, or one is for another architecture.
pub fn load(folder: &Path, arch: Arch) -> anyhow::Result<Programs> {
    let mut programs = Programs::new();
    for name in IN_ROOT.iter().map(|(name, _)| *name).chain([BOOT]) {
        let path = folder.join(name);
        if !path.is_file() {
            bail!(
                "find program `{name}` for {arch}: there is no {}; name the programs' folder with --programs, or, in a \
                 checkout, make them with `cargo xtask image`",
                path.display()
            );
        }
    }
    let entries = fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("read {}", folder.display()))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| path.is_file()) else { continue };
        let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        match machine_of(&content) {
            Some(machine) if machine == arch => {}
            Some(machine) => bail!("use program {}: it is for {machine}, the image is for {arch}", path.display()),
            None if IN_ROOT.iter().any(|(wanted, _)| *wanted == name) || name == BOOT => {
                bail!("use program {}: it is no program for {arch}", path.display())
            }
            None => continue,
        }
        programs.insert(name.to_owned(), Arc::new(content));
    }
    Ok(programs)
}
