//! `release.json`: what a release is, for updaters, for `ashlar inspect`, for people.

use std::collections::BTreeMap;

use ashlar_fetch::Digest;
use ashlar_formats::tuf::Contents;
use ashlar_formats::verity::Tree;
use serde::{Deserialize, Serialize};

use super::{Inputs, Sizes};
use crate::debian::{Arch, Date};

/// The format of the file.
const FORMAT: u32 = 1;

/// A release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    format: u32,
    /// Name of the image.
    pub image: String,
    /// Version.
    pub version: String,
    /// Architecture.
    pub arch: Arch,
    /// Time of the packages that it is made of.
    pub date: Date,
    /// Kernel release.
    pub kernel: String,
    /// Root hash of the hash tree: it pins every byte of the root.
    pub root_hash: Digest,
    /// Salt of the hash tree, in hexadecimal digits.
    pub verity_salt: String,
    /// Sizes of the partitions that it was made for.
    pub sizes: Sizes,
    /// What it is made of, for machines that go from one to another while they run.
    #[serde(default)]
    pub contents: Contents,
    /// The three files that a release consists of.
    pub files: BTreeMap<String, Piece>,
}

/// One file of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Bytes.
    pub size: u64,
    /// Digest.
    pub sha256: Digest,
}

impl Piece {
    fn of(content: &[u8]) -> Self {
        Self { size: content.len() as u64, sha256: Digest::of(content) }
    }
}

/// The file does not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No JSON, or not of the known form.
    #[error("read release.json")]
    Form(#[from] serde_json::Error),
    /// Made by another version of this program.
    #[error("read release.json: its format is {0}, not {FORMAT}")]
    Format(u32),
}

impl Release {
    pub(super) fn of(inputs: &Inputs<'_>, tree: &Tree, root: Piece, uki: &[u8]) -> Self {
        let files = [("root.erofs", root), ("root.verity", Piece::of(&tree.bytes)), ("ashlar.efi", Piece::of(uki))];
        Self {
            format: FORMAT,
            image: inputs.image.to_owned(),
            version: inputs.version.to_owned(),
            arch: inputs.arch,
            date: inputs.date,
            kernel: inputs.kernel_release.to_owned(),
            root_hash: Digest::from(tree.root.0),
            verity_salt: inputs.salt.iter().map(|byte| format!("{byte:02x}")).collect(),
            sizes: inputs.sizes,
            contents: inputs.contents.clone(),
            files: files.into_iter().map(|(name, piece)| (name.to_owned(), piece)).collect(),
        }
    }

    /// Reads a release.
    ///
    /// # Errors
    /// The text is no release of the known format.
    pub fn from_json(text: &str) -> Result<Self, Error> {
        let release: Self = serde_json::from_str(text)?;
        if release.format == FORMAT { Ok(release) } else { Err(Error::Format(release.format)) }
    }

    /// The file's text.
    pub fn to_json(&self) -> String {
        // Strings, numbers and maps with strings as keys: nothing that JSON cannot hold.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}
