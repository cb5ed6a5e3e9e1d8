//! Debian as the builder's input: which packages, from where, with what in them.
//!
//! The way of a package: `mirror` (where) → `release` (signed by whom, how fresh) → `index` (what there is) →
//! `resolve` (what is needed) → `lock` (pinned, committed) → `store` (fetched, checked) → `deb` (unpacked).
//! Each step's output is all that the next one sees. Trust ends at the lock: a build from a committed lock asks
//! no keyring and no clock.
//!
//! Not here: what becomes of a package's files in the image. No maintainer script is ever run.

pub mod compression;
mod control;
mod date;
mod deb;
mod index;
mod keyring;
mod lock;
mod mirror;
mod progress;
mod relation;
mod release;
mod resolve;
mod store;
#[cfg(test)]
mod tests;
mod version;
pub mod workers;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use date::Date;
pub use deb::{Entry, Kind, Limits, untar};
pub use lock::{Lock, Package, Request, resolve};
pub use mirror::Mirror;
pub use release::{Freshness, Trust};
pub use store::{Error as StoreError, Store, Unpacked};

/// A processor architecture, by the kernel's name in our files and by Debian's in theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// amd64.
    X86_64,
    /// arm64.
    Aarch64,
}

impl Arch {
    /// Debian's name.
    pub fn debian(self) -> &'static str {
        match self {
            Arch::X86_64 => "amd64",
            Arch::Aarch64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        })
    }
}

impl FromStr for Arch {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "x86_64" => Ok(Arch::X86_64),
            "aarch64" => Ok(Arch::Aarch64),
            other => Err(format!("find architecture {other:?}: there are x86_64 and aarch64")),
        }
    }
}

/// What can go wrong on the way of a package.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No mirror is configured, or it cannot be used.
    #[error(transparent)]
    Mirror(#[from] mirror::Error),
    /// The suite's signed index is not to be trusted.
    #[error(transparent)]
    Release(#[from] release::Error),
    /// An index does not read.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The packages do not go together.
    #[error(transparent)]
    Resolve(#[from] resolve::Error),
    /// The lock file is missing, damaged or too old for the request.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// A package could not be fetched.
    #[error(transparent)]
    Store(#[from] store::Error),
}
