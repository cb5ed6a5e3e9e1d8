//! What this machine runs: init/boot's facts of this boot, and the image's own.

use std::fs;
use std::path::{Path, PathBuf};

use ashlar_formats::verity::RootHash;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, at};

const BOOT: &str = "/run/ashlar/boot.json";
const IMAGE: &str = "/usr/share/ashlar/image.json";
const STANDING: &str = "/run/ashlar/trial";

/// This boot.
#[derive(Debug, Clone, Deserialize)]
pub struct Boot {
    /// `a` or `b`.
    pub slot: String,
    /// Root hash that runs, in hexadecimal digits.
    pub root_hash: String,
    /// Version that runs.
    pub version: String,
    /// The disk.
    pub disk: PathBuf,
    /// Its EFI system partition.
    pub esp: Option<PathBuf>,
    /// What the machine was booted with, if it went over to another version since.
    #[serde(default)]
    pub booted: Option<Booted>,
}

/// What the boot loader started.
#[derive(Debug, Clone, Deserialize)]
pub struct Booted {
    /// Version.
    pub version: String,
}

/// The image, as far as releases are told apart by it.
#[derive(Debug, Clone, Deserialize)]
pub struct Image {
    /// Name.
    pub name: String,
}

impl Boot {
    /// Reads it.
    pub fn read() -> Result<Self, Error> {
        read(BOOT)
    }

    /// The root hash that runs.
    pub fn root_hash(&self) -> Result<RootHash, Error> {
        self.root_hash.parse().map_err(|error| Error::Machine(format!("{BOOT}: {error}")))
    }
}

impl Image {
    /// Reads it.
    pub fn read() -> Result<Self, Error> {
        read(IMAGE)
    }
}

/// `committed`, `trial` or `condemned`; empty where nobody has looked.
pub fn standing() -> String {
    fs::read_to_string(STANDING).unwrap_or_default().trim().to_owned()
}

/// Whether the version that runs has yet to show that it is well.
pub fn is_on_trial() -> bool {
    standing() == "trial"
}

/// The architecture by the kernel's name.
pub const ARCH: &str = std::env::consts::ARCH;

fn read<T: DeserializeOwned>(path: &str) -> Result<T, Error> {
    let text = fs::read(Path::new(path)).map_err(at("read", path))?;
    serde_json::from_slice(&text).map_err(|error| Error::Machine(format!("read {path}: {error}")))
}
