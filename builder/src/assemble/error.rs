//! What can go wrong while a release is put together.

use std::io;
use std::path::{Path, PathBuf};

use ashlar_formats::{fat, gpt, pe, verity};

use crate::debian::Arch;

/// A release cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("access {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The version cannot be used.
    #[error("use version {version:?}: it {why}")]
    Version {
        /// The version.
        version: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// os-release does not say the version by which the boot loader sorts.
    #[error("use the os-release: it has no line IMAGE_VERSION={0}, by which the boot loader sorts")]
    OsRelease(String),
    /// A kernel parameter cannot be used.
    #[error("use kernel parameter {0:?}: it sets the root hash or has a control character in it")]
    Parameter(String),
    /// Kernel, stub or loader are not what they should be.
    #[error("use the {what}")]
    Program {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        source: pe::Error,
    },
    /// Boot loader or kernel cannot be signed.
    #[error("sign the {what}")]
    Sign {
        /// Which.
        what: &'static str,
        /// Why not.
        source: pe::Error,
    },
    /// Kernel, stub or loader of another architecture.
    #[error("use the {what}: it is not for {arch}")]
    Machine {
        /// Which.
        what: &'static str,
        /// Architecture of the image.
        arch: Arch,
    },
    /// A partition's size cannot be used.
    #[error("use {partition} size {bytes}: it is not a whole number of MiB, or 0")]
    Size {
        /// Which.
        partition: &'static str,
        /// The size.
        bytes: u64,
    },
    /// Something is larger than its partition.
    #[error(
        "put {what} into the {partition}: it needs {needs} bytes, the {partition} has {has}; set a larger {partition} size in the image, or leave out packages"
    )]
    TooLarge {
        /// What.
        what: &'static str,
        /// Where.
        partition: &'static str,
        /// Bytes needed.
        needs: u64,
        /// Bytes there.
        has: u64,
    },
    /// Further files stand where only boot entries may.
    #[error(
        "fill {0} of the ESP: with an upgrade it would have {1} directory entries, which do not fit its one sector; put other files elsewhere"
    )]
    BootEntries(&'static str, usize),
    /// A module is neither a file of the kernel package nor built in.
    #[error("find kernel module {name}: kernel {kernel} has none of that name{}",
        .nearest.as_deref().map(|name| format!(" ({name} is one)")).unwrap_or_default())]
    Module {
        /// The module.
        name: String,
        /// Kernel release.
        kernel: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// modules.dep names a file that is not there.
    #[error("read kernel module {0}: it is listed in modules.dep, but is not there")]
    ModuleFile(String),
    /// A module or the initramfs cannot be (de)compressed.
    #[error("pack {what} into the initramfs")]
    Pack {
        /// Which.
        what: String,
        /// What is wrong.
        source: io::Error,
    },
    /// The hash tree cannot be made.
    #[error(transparent)]
    Verity(#[from] verity::Error),
    /// The unified kernel image cannot be made.
    #[error(transparent)]
    Uki(#[from] pe::Error),
    /// The EFI system partition cannot be made.
    #[error(transparent)]
    Esp(#[from] fat::Error),
    /// The partition table cannot be made.
    #[error(transparent)]
    Table(#[from] gpt::Error),
}

impl Error {
    pub(super) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}
