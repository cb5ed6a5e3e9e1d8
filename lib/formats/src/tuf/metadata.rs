//! What each role's file says, as far as we act on it. Fields that are not known are signed all the same: verification is
//! over the file, see `document`.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256, Sha512};

use super::key::hex;
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

impl Roles {
    /// The one of a name.
    pub fn get(&self, name: RoleName) -> &Role {
        match name {
            RoleName::Root => &self.root,
            RoleName::Timestamp => &self.timestamp,
            RoleName::Snapshot => &self.snapshot,
            RoleName::Targets => &self.targets,
        }
    }

    /// As [`Self::get`], to change it.
    pub fn get_mut(&mut self, name: RoleName) -> &mut Role {
        match name {
            RoleName::Root => &mut self.root,
            RoleName::Timestamp => &mut self.timestamp,
            RoleName::Snapshot => &mut self.snapshot,
            RoleName::Targets => &mut self.targets,
        }
    }
}

/// One of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoleName {
    /// May replace all keys.
    Root,
    /// Says that nothing is held back.
    Timestamp,
    /// Says which files go together.
    Snapshot,
    /// Says what is offered.
    Targets,
}

impl RoleName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Timestamp, Self::Snapshot, Self::Targets];
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets => "targets",
        })
    }
}

impl FromStr for RoleName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.to_string() == text);
        role.ok_or_else(|| "there are root, timestamp, snapshot and targets".to_owned())
    }
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
    /// Who else offers something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegations: Option<Delegations>,
}

impl Targets {
    /// An empty list.
    pub fn new(version: u64, expires: Date) -> Self {
        Self { common: Common::new::<Self>(version, expires), targets: BTreeMap::new(), delegations: None }
    }
}

/// Roles that a role trusts with some of its names (TUF specification, 4.5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegations {
    /// Their keys.
    pub keys: BTreeMap<KeyId, Key>,
    /// In the order in which they are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<Delegated>>,
    /// Many roles of one form, each for the names with the same first bits of their digest (TAP 15).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub succinct_roles: Option<Succinct>,
}

/// A role that is trusted with some names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegated {
    /// Name.
    pub name: String,
    /// Who signs for it.
    #[serde(flatten)]
    pub role: Role,
    /// Nobody is asked after it.
    #[serde(default)]
    pub terminating: bool,
    /// With names of these shell patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Vec<String>>,
    /// Or with names whose SHA-256 begins so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hash_prefixes: Option<Vec<String>>,
}

/// Roles `PREFIX-0` to `PREFIX-fff…`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succinct {
    /// Who signs for all of them.
    #[serde(flatten)]
    pub role: Role,
    /// How many bits of a name's digest tell them apart.
    pub bit_length: u32,
    /// What their names begin with.
    pub name_prefix: String,
}

impl Delegations {
    /// Those that are trusted with a name, in order.
    pub fn of(&self, target: &str) -> Vec<Delegated> {
        let listed = self.roles.iter().flatten().filter(|delegated| delegated.has(target)).cloned();
        listed.chain(self.succinct_roles.iter().filter_map(|succinct| succinct.of(target))).collect()
    }
}

impl Delegated {
    fn has(&self, target: &str) -> bool {
        let begins = |prefixes: &Vec<String>| {
            let digest = hex(&Sha256::digest(target));
            prefixes.iter().any(|prefix| digest.starts_with(prefix.as_str()))
        };
        match (&self.paths, &self.path_hash_prefixes) {
            (Some(patterns), None) => patterns.iter().any(|pattern| matches(pattern, target)),
            (None, Some(prefixes)) => begins(prefixes),
            // One of them there has to be, and not both.
            _ => false,
        }
    }
}

impl Succinct {
    fn of(&self, target: &str) -> Option<Delegated> {
        let bits = self.bit_length;
        if !(1..=32).contains(&bits) {
            return None;
        }
        let digest = Sha256::digest(target);
        let number = u32::from_be_bytes(digest.get(..4)?.try_into().ok()?) >> (32 - bits);
        let name = format!("{}-{number:0width$x}", self.name_prefix, width = bits.div_ceil(4) as usize);
        let (paths, path_hash_prefixes) = (None, None);
        Some(Delegated { name, role: self.role.clone(), terminating: true, paths, path_hash_prefixes })
    }
}

/// Shell patterns of `*` and `?`, neither of which is a slash.
fn matches(pattern: &str, name: &str) -> bool {
    let part = |(pattern, name): (&str, &str)| glob(pattern.as_bytes(), name.as_bytes());
    pattern.split('/').count() == name.split('/').count() && pattern.split('/').zip(name.split('/')).all(part)
}

/// Remembers the last star only: a later one can take whatever an earlier one could.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut place, mut star) = (0, 0, None);
    while place < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, place));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[place] => (at, place) = (at + 1, place + 1),
            _ => {
                let Some((before, from)) = star else { return false };
                star = Some((before, from + 1));
                (at, place) = (before + 1, from + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
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

/// Whether bytes have these digests: all of those that are known, and there has to be one.
pub fn has_hashes(bytes: &[u8], hashes: &BTreeMap<String, String>) -> bool {
    let digest = |algorithm: &str| match algorithm {
        "sha256" => Some(hex(&Sha256::digest(bytes))),
        "sha512" => Some(hex(&Sha512::digest(bytes))),
        _ => None,
    };
    let mut known = hashes.iter().filter_map(|(algorithm, wanted)| Some(digest(algorithm)? == *wanted)).peekable();
    known.peek().is_some() && known.all(|is_right| is_right)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern, name, expect| assert_eq!(matches(pattern, name), expect, "{pattern} {name}");
        check("a", "a", true);
        check("a", "A", false);
        check("*", "abc", true);
        check("*", "a/b", false);
        check("*/*", "a/b", true);
        check("a/*.tgz", "a/b.c.tgz", true);
        check("a/?", "a/", false);
        check("*a*b", "xaxaxb", true);
        check("*a*b", "xaxaxbx", false);
        check("", "", true);
    }

    #[test]
    fn digests() {
        let check = |hashes: &[(&str, &str)], expect| {
            let hashes = hashes.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect();
            assert_eq!(has_hashes(b"abc", &hashes), expect);
        };
        let right = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        check(&[("sha256", right)], true);
        check(&[("sha256", right), ("blake3", "0")], true);
        check(&[("sha256", right), ("sha512", right)], false);
        check(&[("blake3", "0")], false);
        check(&[], false);
    }

    #[test]
    fn names_are_shared_out_by_their_digests() {
        let role = Role { keyids: Vec::new(), threshold: NonZeroU32::MIN };
        let of = |bit_length: u32, target: &str| {
            let succinct = Succinct { role: role.clone(), bit_length, name_prefix: "bin".into() };
            succinct.of(target).map(|delegated| delegated.name)
        };
        // SHA-256 of "abc" begins with ba7816bf.
        assert_eq!(of(1, "abc").as_deref(), Some("bin-1"));
        assert_eq!(of(5, "abc").as_deref(), Some("bin-17"));
        assert_eq!(of(32, "abc").as_deref(), Some("bin-ba7816bf"));
        assert_eq!((of(0, "abc"), of(33, "abc")), (None, None));
        let mut delegated =
            Delegated { name: "d".into(), role, terminating: false, paths: None, path_hash_prefixes: None };
        assert!(!delegated.has("abc"));
        delegated.path_hash_prefixes = Some(vec!["bb".into(), "ba7".into()]);
        assert!(delegated.has("abc"));
        delegated.paths = Some(vec!["abc".into()]);
        assert!(!delegated.has("abc"));
    }
}
