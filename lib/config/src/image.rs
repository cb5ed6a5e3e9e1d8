//! Images: `images/NAME.toml` as written ([`ImageFile`]) and as the builder works with it ([`Image`]).
//!
//! A file inherits from a list of files, each of which may inherit in turn: lists are appended in that order (the
//! inherited first), single values of the later file win. Not here: what packages and units hold, and reading files.

mod file;
mod inherit;

pub use file::*;
pub use inherit::resolve;

use serde::{Deserialize, Serialize};

use crate::quantity::Size;

/// An image with everything that it inherited; ships inside the image as `/usr/share/ashlar/image.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Image {
    /// Name of the image and of its output folder.
    pub name: String,
    /// Version: letters, digits and `.-~^`, short enough for a boot entry's name.
    pub version: String,
    /// Suites, the image's own first.
    pub suites: Vec<String>,
    /// Components of the suites.
    pub components: Vec<String>,
    /// Packages of the machine's root.
    pub packages: Vec<String>,
    /// Packages that are left out everywhere, though others depend on them.
    pub exclude: Vec<String>,
    /// Paths that are left out everywhere: `*` matches within a component, `**` over several.
    pub drop: Vec<String>,
    /// Folder names of the units, in order.
    pub units: Vec<Named>,
    /// Folders that hold the units' folders; the first that has one wins. Of the machine that builds, so it does not ship.
    #[serde(skip)]
    pub unit_folders: Vec<String>,
    /// The kernel.
    pub kernel: Kernel,
    /// The disk.
    pub disk: Disk,
    /// File of the publisher's root, whose releases the image takes. Of the machine that builds, so it does not ship: what
    /// it holds does.
    #[serde(skip)]
    pub update_root: Option<Named>,
    /// Folder of the keys that sign boot loader and kernel. Of the machine that builds, so it does not ship: their public
    /// halves do.
    #[serde(skip)]
    pub secure_boot: Option<Named>,
    /// Which machines take those keys by themselves.
    #[serde(skip)]
    pub enroll: Enroll,
}

/// Which machines take the image's keys into their firmware at the first boot, if it has none yet: `secure-boot-enroll` of
/// loader.conf(5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enroll {
    /// None: somebody chooses them in the boot menu or in the firmware's own.
    Manual,
    /// Virtual ones, which no wrong key can brick.
    #[default]
    IfSafe,
    /// All. A machine whose firmware runs option ROMs of others has to trust those, too.
    Force,
}

impl Enroll {
    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::IfSafe => "if-safe",
            Self::Force => "force",
        }
    }
}

/// A name and where it was written, for errors: only the name ships.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// File.
    #[serde(skip)]
    pub file: String,
    /// Line in it, counted from 1.
    #[serde(skip)]
    pub line: usize,
}

/// The kernel of an image, for all architectures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Kernel {
    /// Command line, after what the build says in it.
    pub parameters: Vec<String>,
    /// Modules, by name, that the first stage loads before it looks for the disk.
    pub initramfs_modules: Vec<String>,
    /// Modules to keep in the root, as globs on their path below `kernel/`; all if empty.
    pub modules: Vec<String>,
    /// On x86-64.
    #[serde(rename = "x86_64")]
    pub x86_64: ArchKernel,
    /// On arm64.
    pub aarch64: ArchKernel,
}

/// What differs between architectures; lists come after the common ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ArchKernel {
    /// Package of the kernel: the one with the image, or one that depends on it.
    pub package: Option<String>,
    /// See [`Kernel::parameters`].
    pub parameters: Vec<String>,
    /// See [`Kernel::initramfs_modules`].
    pub initramfs_modules: Vec<String>,
}

/// Sizes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Disk {
    /// EFI system partition.
    pub esp_size: Size,
    /// Each of the two root partitions; the hash tree's is 1/64 of it.
    pub slot_size: Size,
}

impl Kernel {
    /// The part for an architecture, by the kernel's name of it.
    pub fn of(&self, arch: &str) -> &ArchKernel {
        if arch == "aarch64" { &self.aarch64 } else { &self.x86_64 }
    }

    /// The command line's words for an architecture.
    pub fn parameters_of(&self, arch: &str) -> Vec<&str> {
        both(&self.parameters, &self.of(arch).parameters)
    }

    /// The first stage's modules for an architecture.
    pub fn initramfs_modules_of(&self, arch: &str) -> Vec<&str> {
        both(&self.initramfs_modules, &self.of(arch).initramfs_modules)
    }
}

fn both<'a>(common: &'a [String], own: &'a [String]) -> Vec<&'a str> {
    common.iter().chain(own).map(String::as_str).collect()
}
