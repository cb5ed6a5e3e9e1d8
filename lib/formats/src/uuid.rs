//! UUIDs (RFC 9562) as values: parsed, printed, derived from content. Never random: two builds of the same thing
//! give the same bytes.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// A UUID in the order in which it is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

/// The text is no UUID.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read a UUID: {0:?} is not 32 hexadecimal digits in the groups 8-4-4-4-12")]
pub struct BadUuid(String);

impl Uuid {
    /// By its number; for constants.
    pub const fn from_u128(number: u128) -> Self {
        Self(number.to_be_bytes())
    }

    /// Version 8 (custom): the beginning of SHA-256 over what it is of and the content it stands for.
    pub fn derived(of: &str, content: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(of).chain_update([0]).chain_update(content).finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        bytes[6] = 0x80 | bytes[6] & 0x0f;
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        Self(bytes)
    }

    /// As a GPT holds it: the first three groups little-endian (UEFI specification, appendix A). The same step
    /// leads back.
    pub(crate) fn swapped(self) -> Self {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.0;
        let [i, j, k, l, m, n, o, p] = rest;
        Self([d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p])
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, byte) in self.0.iter().enumerate() {
            if [4, 6, 8, 10].contains(&n) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for Uuid {
    type Err = BadUuid;

    fn from_str(text: &str) -> Result<Self, BadUuid> {
        let bad = || BadUuid(text.chars().take(80).collect());
        let digits: String = text.split('-').collect();
        let groups: Vec<usize> = text.split('-').map(str::len).collect();
        if groups != [8, 4, 4, 4, 12] || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Err(bad());
        }
        u128::from_str_radix(&digits, 16).map(Self::from_u128).map_err(|_| bad())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        fn check(text: &str, expect: bool) {
            let read = text.parse::<Uuid>().map(|uuid| uuid.to_string());
            assert_eq!(read.as_deref() == Ok(text), expect, "{text}");
        }
        check("c12a7328-f81f-11d2-ba4b-00a0c93ec93b", true);
        check("c12a7328f81f11d2ba4b00a0c93ec93b", false);
        check("c12a7328-f81f-11d2-ba4b-00a0c93ec93", false);
        check("c12a7328-f81f-11d2-ba4b-00a0c93ec93g", false);
        check("+12a7328-f81f-11d2-ba4b-00a0c93ec93b", false);
        check("", false);
    }

    #[test]
    fn derives() {
        let uuid = Uuid::derived("disk", b"content");
        assert_eq!(uuid, Uuid::derived("disk", b"content"));
        assert_ne!(uuid, Uuid::derived("disk", b"contents"));
        assert_ne!(uuid, Uuid::derived("root", b"content"));
        assert_eq!(&uuid.to_string()[14..15], "8");
    }

    #[test]
    fn swaps_back() {
        let uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        assert_eq!(uuid.swapped().to_string(), "33221100-5544-7766-8899-aabbccddeeff");
        assert_eq!(uuid.swapped().swapped(), uuid);
    }
}
