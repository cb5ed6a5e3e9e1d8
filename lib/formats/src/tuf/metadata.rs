//! What each role's file says, as far as we act on it. Fields that are not known are signed all the same: verification is
//! over the file, see `document`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, Key, KeyId};
use crate::date::Date;

/// The only specification that is written.
const SPECIFICATION: &str = "1.0.34";

/// What all roles' files have.
pub trait Metadata: Serialize + serde::de::DeserializeOwned {
    /// `_type`.
    const KIND: &'static str;
    /// The longest file.
    const LIMIT: u64;
    /// The fields that all have.
    fn common(&self) -> &Common;
}

/// Fields that all have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Common {
    #[serde(rename = "_type")]
    kind: String,
    spec_version: String,
    /// Rises by one with each change.
    pub version: u64,
    /// From then on nobody believes it.
    pub expires: Date,
}

impl Common {
    /// For a role's first or next file.
    pub fn new<M: Metadata>(version: u64, expires: Date) -> Self {
        Self { kind: M::KIND.to_owned(), spec_version: SPECIFICATION.to_owned(), version, expires }
    }

    pub(super) fn check<M: Metadata>(&self) -> Result<(), Error> {
        if self.kind != M::KIND {
            return Err(Error::Kind { expected: M::KIND, found: self.kind.clone() });
        }
        if self.spec_version.split('.').next() != Some("1") {
            return Err(Error::Specification(self.spec_version.clone()));
        }
        Ok(())
    }
}

/// Which keys sign for a role, and how many of them have to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Ids of keys.
    pub keyids: Vec<KeyId>,
    /// How many.
    pub threshold: NonZeroU32,
}

/// Who signs what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Fields that all have.
    #[serde(flatten)]
    pub common: Common,
    /// Whether files but the timestamp have their version or digest in their name.
    #[serde(default)]
    pub consistent_snapshot: bool,
    /// All keys.
    pub keys: BTreeMap<KeyId, Key>,
    /// By role.
    pub roles: Roles,
}

/// The four top-level roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roles {
    /// May replace all keys.
    pub root: Role,
    /// Says that nothing is held back.
    pub timestamp: Role,
    /// Says which files go together.
    pub snapshot: Role,
    /// Says what is offered.
    pub targets: Role,
}

/// A file of another role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaFile {
    /// Its version.
    pub version: u64,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Digests by their algorithm.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hashes: BTreeMap<String, String>,
}

/// The newest snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    /// Fields that all have.
    #[serde(flatten)]
    pub common: Common,
    /// `snapshot.json`.
    pub meta: BTreeMap<String, MetaFile>,
}

/// Which files go together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Fields that all have.
    #[serde(flatten)]
    pub common: Common,
    /// By file name.
    pub meta: BTreeMap<String, MetaFile>,
}

/// What is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Targets {
    /// Fields that all have.
    #[serde(flatten)]
    pub common: Common,
    /// By name.
    pub targets: BTreeMap<String, Target>,
}

/// A file that is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Bytes.
    pub length: u64,
    /// Digests by their algorithm.
    pub hashes: BTreeMap<String, String>,
    /// What the publisher says about it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub custom: Value,
}

impl Target {
    /// Its SHA-256, which every target of ours has.
    pub fn sha256(&self) -> Option<&str> {
        self.hashes.get("sha256").map(String::as_str)
    }
}

macro_rules! metadata {
    ($type:ident, $kind:literal, $limit:ident) => {
        impl Metadata for $type {
            const KIND: &'static str = $kind;
            const LIMIT: u64 = super::limit::$limit;
            fn common(&self) -> &Common {
                &self.common
            }
        }
    };
}

metadata!(Root, "root", ROOT);
metadata!(Timestamp, "timestamp", TIMESTAMP);
metadata!(Snapshot, "snapshot", SNAPSHOT);
metadata!(Targets, "targets", TARGETS);
