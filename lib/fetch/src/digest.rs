//! SHA-256 as a value: parsed, printed, computed. The only digest that this project pins things by.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// What a blob must be: its digest, and its size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256 of the content.
    pub digest: Digest,
    /// Length of the content in bytes.
    pub size: u64,
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read a SHA-256: {0:?} is not 64 lower-case hexadecimal digits")]
pub struct BadDigest(String);

impl Digest {
    /// Its bytes.
    pub fn bytes(self) -> [u8; 32] {
        self.0
    }

    /// The digest of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest of all that a reader gives.
    ///
    /// # Errors
    /// Those of the reader.
    pub fn of_reader(reader: &mut impl Read) -> io::Result<Self> {
        let mut hash = Sha256::new();
        hash_into(&mut hash, reader)?;
        Ok(Self::finish(hash))
    }

    pub(crate) fn finish(hash: Sha256) -> Self {
        Self(hash.finalize().into())
    }
}

/// Feeds a hash with all that a reader gives; returns how many bytes that were.
pub(crate) fn hash_into(hash: &mut Sha256, reader: &mut impl Read) -> io::Result<u64> {
    let mut buffer = vec![0; 128 * 1024];
    let mut total = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(n) => {
                hash.update(&buffer[..n]);
                total += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

impl FromStr for Digest {
    type Err = BadDigest;

    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let bad = || BadDigest(text.chars().take(80).collect());
        let nibble = |c: u8| match c {
            b'0'..=b'9' => Ok(c - b'0'),
            b'a'..=b'f' => Ok(c - b'a' + 10),
            _ => Err(bad()),
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return Err(bad());
        };
        let bytes = pairs
            .iter()
            .map(|&[high, low]| Ok(nibble(high)? << 4 | nibble(low)?))
            .collect::<Result<Vec<u8>, BadDigest>>()?;
        Ok(Self(bytes.try_into().map_err(|_| bad())?))
    }
}

impl From<[u8; 32]> for Digest {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<String> for Digest {
    type Error = BadDigest;

    fn try_from(text: String) -> Result<Self, BadDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn reads_only_what_it_writes() {
        fn check(text: &str, expect: bool) {
            let read = text.parse::<Digest>().map(|digest| digest.to_string());
            assert_eq!(read.as_deref() == Ok(text), expect, "{text}");
        }
        check(EMPTY, true);
        check(&EMPTY[1..], false);
        check(&format!("{EMPTY}00"), false);
        check(&EMPTY.to_uppercase(), false);
        check(&EMPTY.replace('e', "g"), false);
        check(&EMPTY.replacen("e3", "é", 1), false);
        check("", false);
    }

    #[test]
    fn computes() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(Digest::of_reader(&mut &b"abc"[..]).unwrap(), Digest::of(b"abc"));
    }
}
