//! An image as its author writes it. Unknown keys are refused.

use serde::Deserialize;
use toml::Spanned;

use super::{ArchKernel, Enroll};
use crate::Error;
use crate::quantity::Size;

/// `images/NAME.toml`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ImageFile {
    /// Files that this one continues, relative to its folder.
    pub inherits: Vec<Spanned<String>>,
    /// See [`super::Image`], also for the rest.
    pub name: Option<Spanned<String>>,
    /// Version of the image.
    pub version: Option<Spanned<String>>,
    /// Suites, the image's own first.
    pub suites: Vec<String>,
    /// Components of the suites; `main` if no file names any.
    pub components: Vec<String>,
    /// Packages of the machine's root.
    pub packages: Vec<String>,
    /// Packages that are left out everywhere.
    pub exclude: Vec<String>,
    /// Paths that are left out everywhere.
    pub drop: Vec<Spanned<String>>,
    /// Units by the name of their folder.
    pub units: Vec<Spanned<String>>,
    /// Folders that hold the units' folders, relative to this file's; `../system-containers` if no file names any.
    pub unit_folders: Vec<String>,
    /// The kernel.
    pub kernel: KernelFile,
    /// The disk.
    pub disk: DiskFile,
    /// Updates.
    pub update: UpdateFile,
    /// Secure Boot.
    pub secure_boot: SecureBootFile,
}

/// `[kernel]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KernelFile {
    /// Command line of all architectures.
    pub parameters: Vec<String>,
    /// Modules that the first stage loads.
    pub initramfs_modules: Vec<String>,
    /// Modules to keep.
    pub modules: Vec<String>,
    /// `[kernel.x86_64]`
    #[serde(rename = "x86_64")]
    pub x86_64: ArchKernel,
    /// `[kernel.aarch64]`
    pub aarch64: ArchKernel,
}

/// `[disk]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct DiskFile {
    /// EFI system partition; 512M if no file says.
    pub esp_size: Option<Size>,
    /// Each of the two root partitions; 1G if no file says.
    pub slot_size: Option<Size>,
}

/// `[update]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct UpdateFile {
    /// The publisher's first root, `1.root.json` of `ashlar keys new`, relative to this file's folder; without one the
    /// image takes no updates.
    pub root: Option<Spanned<String>>,
}

/// `[secure-boot]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct SecureBootFile {
    /// Folder of `ashlar keys secure-boot`, relative to this file's; without one nothing is signed.
    pub keys: Option<Spanned<String>>,
    /// Which machines take the keys by themselves; `if-safe` if no file says.
    pub enroll: Option<Enroll>,
}

impl ImageFile {
    /// Reads the text of one image file; `file` is only named in errors.
    ///
    /// # Errors
    /// Unknown keys and values of the wrong form, with their line.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        toml::from_str(text).map_err(|error| Error::toml(file, text, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes() {
        let check = |text: &str, expect: &str| {
            let error = ImageFile::parse("base.toml", text).expect_err(text).to_string();
            assert_eq!(error, expect, "{text}");
        };
        check("\npackges = []", "base.toml:2: unknown key `packges`, did you mean `packages`?");
        check("[kernel]\nparameter = []", "base.toml:2: unknown key `parameter`, did you mean `parameters`?");
        check("[kernel.x86_64]\npackges = 'x'", "base.toml:2: unknown key `packges`, did you mean `package`?");
        check(
            "[disk]\nslot-size = 'big'",
            "base.toml:2: `big` is no size; write it like 4096, 512K, 64M, 2G or infinity",
        );
    }
}
