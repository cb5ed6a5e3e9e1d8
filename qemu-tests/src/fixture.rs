//! What stories start from: the built images, and machine configurations by name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::IMAGE_VARIABLE;
use crate::arch::Arch;

/// The folder that an image for an architecture was built in.
pub fn image(arch: Arch) -> Result<PathBuf> {
    let variable = format!("{IMAGE_VARIABLE}{}", arch.name().to_uppercase());
    let Some(folder) = std::env::var_os(&variable).map(PathBuf::from) else {
        bail!("{variable} does not name an image: `cargo xtask test` builds the images and runs the stories");
    };
    let disk = folder.join("disk.raw");
    disk.metadata().with_context(|| format!("no image: {}", disk.display()))?;
    Ok(folder)
}

/// The checkout that the stories are of.
pub fn checkout() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no checkout")?.to_owned())
}

/// A path that `cargo xtask test` hands to the stories.
pub fn variable(name: &str) -> Result<PathBuf> {
    let value = std::env::var_os(name).map(PathBuf::from);
    value.with_context(|| format!("{name} is not set: `cargo xtask test` runs the stories"))
}

/// The smallest useful configuration: a name, and a user who manages the machine.
pub fn smallest(hostname: &str, key: &str) -> String {
    format!("hostname = \"{hostname}\"\n\n[[users]]\nname = \"core\"\nssh-keys = [\"{key}\"]\ngroups = [\"os\"]\n")
}

/// As [`smallest`], and the serial console logs the user in.
pub fn with_console(hostname: &str, key: &str) -> String {
    format!("{}\n[console]\nautologin = \"core\"\n", smallest(hostname, key))
}
