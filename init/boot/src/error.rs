//! What can keep a machine from booting. Each message says what was looked for and what was found.

use std::io;
use std::path::PathBuf;

/// A failed step's reason.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line does not name a root.
    #[error("the kernel command line has no roothash=, which names the root to boot")]
    NoRootHash,
    /// It names something else.
    #[error("roothash={0} on the kernel command line is not 64 hexadecimal digits")]
    NotAHash(String),
    /// A call on a path failed.
    #[error("{path}: {source}")]
    Path {
        /// The file, device or mount point.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A listed module is not in the initramfs.
    #[error("{0} is listed in /modules/load, but is not there")]
    ModuleMissing(PathBuf),
    /// The kernel does not take a module.
    #[error("the kernel refuses {path}: {source}; was it made for this kernel?")]
    ModuleRefused {
        /// The module's file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// No disk has the root that the command line names.
    #[error("looked for {seconds} s for root hash {wanted}…, found {found}")]
    NoRoot {
        /// How long.
        seconds: u64,
        /// The beginning of the hash.
        wanted: String,
        /// Each disk and what is on it.
        found: String,
    },
    /// The mapped device cannot be made.
    #[error("device-mapper cannot {what}: {source}")]
    Mapper {
        /// The refused step.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The root has no PID 1.
    #[error("{0} is not in the root")]
    NoInit(PathBuf),
}

impl Error {
    /// Makes an error of a path, for `map_err`.
    pub fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Path { path: path.into(), source }
    }
}
