//! What is in an image: read back from the files that were built, or from a disk alone, and shown as text or JSON.
//!
//! `disk` reads a disk, `stored` what the builder leaves beside it, `render` makes text. Nothing here is taken from
//! the build itself: what is shown is what a machine would find.

pub mod disk;
pub mod render;
pub mod stored;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::assemble::release::{self, Release};
pub use disk::Disk;
pub use stored::{PackageRow, UnitRow, Units};

/// Everything that could be found; what has no file is left out.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// From release.json.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// From the disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<Disk>,
    /// From packages.json.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<PackageRow>,
    /// From units.json.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<Units>,
}

/// An image cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A file that the builder wrote does not read.
    #[error("read {path}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The release does not read.
    #[error("read {path}")]
    Release {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: release::Error,
    },
    /// The disk has no partition table that reads.
    #[error("read disk {path}")]
    Disk {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ashlar_formats::gpt::Error,
    },
    /// Nothing that this program knows.
    #[error(
        "inspect {0}: there is neither disk.raw nor release.json; name a folder that `ashlar build` made, or a disk"
    )]
    Nothing(PathBuf),
}

/// Reads a folder of `ashlar build`, one of its files, or any disk.
///
/// # Errors
/// A file cannot be read, or there is nothing to read.
pub fn read(path: &Path) -> Result<Report, Error> {
    let is_folder = fs::metadata(path).map_err(|source| Error::File { path: path.to_owned(), source })?.is_dir();
    let folder = if is_folder { path } else { path.parent().unwrap_or(Path::new("")) };
    let is_described = is_folder || path.extension().is_some_and(|extension| extension == "json");
    let disk = if is_described { folder.join("disk.raw") } else { path.to_owned() };
    let report = Report {
        release: release(&folder.join("release.json"))?,
        disk: disk.exists().then(|| open(&disk)).transpose()?,
        packages: json(&folder.join("packages.json"))?.unwrap_or_default(),
        units: json(&folder.join("units.json"))?,
    };
    match (&report.release, &report.disk) {
        (None, None) => Err(Error::Nothing(path.to_owned())),
        _ => Ok(report),
    }
}

impl Report {
    /// As JSON, expanded units and all.
    pub fn to_json(&self) -> String {
        // Nothing in it that JSON cannot hold.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

fn open(path: &Path) -> Result<Disk, Error> {
    let disk = File::open(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    Disk::read(&disk).map_err(|source| Error::Disk { path: path.to_owned(), source })
}

fn release(path: &Path) -> Result<Option<Release>, Error> {
    let text = text(path)?;
    let release = text.map(|text| Release::from_json(&text)).transpose();
    release.map_err(|source| Error::Release { path: path.to_owned(), source })
}

fn json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    let value = text(path)?.map(|text| serde_json::from_str(&text)).transpose();
    value.map_err(|source| Error::Json { path: path.to_owned(), source })
}

/// None where there is no such file.
fn text(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { path: path.to_owned(), source }),
    }
}
