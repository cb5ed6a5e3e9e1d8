//! The Update Framework's metadata (TUF specification 1.0.34): which files a publisher offers, and proof of it that
//! survives the loss of single keys, of a mirror, and of an attacker's patience.
//!
//! Here: the four roles' files as types, canonical JSON, keys and thresholds, for the publisher who signs and
//! for the device that verifies. Not here: the order in which a client fetches and believes them (the updater), and
//! where private keys are kept (the builder).

mod document;
mod json;
mod key;
mod metadata;
mod release;

pub use document::{Document, Signature};
pub use json::canonical;
pub use key::{Key, KeyId, SigningKey, random_seed};
pub use metadata::*;
pub use release::{CONTENTS, Contents, FILES, Patch, Release, Wave, patch_name, target_name};

/// Longest files that are read, in bytes, and how many roots in a row.
pub mod limit {
    /// A root.
    pub const ROOT: u64 = 512_000;
    /// A timestamp.
    pub const TIMESTAMP: u64 = 16_384;
    /// A snapshot.
    pub const SNAPSHOT: u64 = 2_000_000;
    /// Targets.
    pub const TARGETS: u64 = 5_000_000;
    /// Roots that are followed in one go.
    pub const ROOTS: u64 = 256;
    /// Delegated roles that are asked for one name.
    pub const DELEGATIONS: usize = 32;
    /// Signatures of one file: each one costs.
    pub const SIGNATURES: usize = 64;
}

/// Metadata that is not believed.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It is no metadata at all.
    #[error("it does not read: {0}")]
    Form(String),
    /// It is that of another role.
    #[error("it is a `{found}`, not a `{expected}`")]
    Kind {
        /// Which role's it has to be.
        expected: &'static str,
        /// Which it says that it is.
        found: String,
    },
    /// A newer specification.
    #[error("it follows specification {0:?}, and 1 is the one that is known")]
    Specification(String),
    /// A key is not the one that its id names.
    #[error("key {0} is another one than its id says")]
    KeyId(String),
    /// The same key signed twice.
    #[error("key {0} signed it more than once")]
    Repeated(String),
    /// What a key is said to have signed.
    #[error("that is no signature of key {0}")]
    Signature(KeyId),
    /// More signatures than anybody needs.
    #[error("it has {0} signatures")]
    Signatures(usize),
    /// Not enough of the keys that have to sign did so.
    #[error("{valid} of the {threshold} keys that have to sign it did so")]
    Threshold {
        /// Keys with a valid signature.
        valid: u32,
        /// How many there must be.
        threshold: u32,
    },
}
