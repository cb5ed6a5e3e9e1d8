//! What our own targets are called, and what is said about a release beside them. It stands in the targets' file itself, so
//! that a device decides without fetching anything more.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::date::Date;

/// The files of a release.
pub const FILES: [&str; 3] = ["root.erofs", "root.verity", "ashlar.efi"];

/// A target's name: `base/x86_64/0.2.0/root.erofs`.
pub fn target_name(image: &str, arch: &str, version: &str, file: &str) -> String {
    format!("{image}/{arch}/{version}/{file}")
}

/// `custom.release` of the target `root.verity`: the tree pins the root, and the UKI names its root hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Name of the image.
    pub image: String,
    /// Architecture by the kernel's name.
    pub arch: String,
    /// Version.
    pub version: String,
    /// When it was published.
    pub date: Date,
    /// Root hash in hexadecimal digits.
    pub root_hash: String,
    /// Who gets it.
    pub channels: Vec<String>,
    /// The oldest version that can be left for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// How it spreads over machines that take it by themselves; at once to all of them if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rollout: Vec<Wave>,
    /// Why nobody should install it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
    /// What it is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
}

/// What a release is made of, as far as it matters to a machine that goes from one to another while it runs. Digests are
/// the first 16 hexadecimal digits of a SHA-256. A root has its own in [`CONTENTS`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Contents {
    /// Digest of the kernel.
    pub kernel: String,
    /// Digest of the accounts and names that a machine starts with.
    pub accounts: String,
    /// Digest of each unit: of its settings, and of what its container has in it.
    pub units: BTreeMap<String, String>,
    /// Those of them whose state goes back with a version.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub versioned: BTreeSet<String>,
}

/// Where a root has its [`Contents`], as JSON.
pub const CONTENTS: &str = "usr/share/ashlar/contents.json";

/// A part of all machines, from some time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wave {
    /// Of 100, with those of the waves before.
    pub percent: u32,
    /// Seconds after it was published.
    pub after: u64,
}

/// `custom.patch` of a target that makes a file of a release of what a device has already (see [`crate::patch`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Which file: its target's name.
    pub makes: String,
    /// What the base is: its root hash if it is a root, or else its SHA-256; in hexadecimal digits.
    pub base: String,
    /// Bytes of the patch's head.
    pub head_length: u64,
    /// SHA-256 of the head.
    pub head_sha256: String,
}

/// The name of a patch for a file of a release, from another version.
pub fn patch_name(name: &str, from: &str) -> String {
    format!("{name}.from-{from}")
}
