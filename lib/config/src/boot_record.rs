//! How many boots in a row began and never became ready: `ashlar/boots` on the EFI system partition. A boot entry that is
//! blessed has no counter of its own, so without this a version that rots would be started for ever.
//!
//! The first stage counts up before anything of the root is read; once the machine is ready the count goes back to zero.
//! The file always has the same length and is written in place: one sector, whole or not at all.

/// Its path on the partition.
pub const FILE: &str = "ashlar/boots";
/// Bytes of it.
pub const LENGTH: usize = 64;
/// So many boots in a row are no accident: the boot loader shall count again.
pub const LIMIT: u32 = 3;

/// The record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BootRecord {
    /// Whose boots.
    pub version: String,
    /// How many of them never became ready; the one that runs is one of them until it is.
    pub unready: u32,
}

impl BootRecord {
    /// Reads it; what cannot be read counts nothing.
    pub fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes.get(..LENGTH).unwrap_or_default()).unwrap_or_default();
        let mut words = text.split_ascii_whitespace();
        let (Some(version), Some(Ok(unready))) = (words.next(), words.next().map(str::parse)) else {
            return Self::default();
        };
        Self { version: version.to_owned(), unready }
    }

    /// Its bytes.
    pub fn bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [b' '; LENGTH];
        let text = format!("{} {}", self.version, self.unready);
        let length = text.len().min(LENGTH - 1);
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        bytes[LENGTH - 1] = b'\n';
        bytes
    }

    /// A boot of this version begins. Another version's boots say nothing about it.
    pub fn begun(&self, version: &str) -> Self {
        let before = if self.version == version { self.unready } else { 0 };
        Self { version: version.to_owned(), unready: before.saturating_add(1) }
    }

    /// Whether the boots before the one that has begun were too many.
    pub fn is_too_many(&self) -> bool {
        self.unready > LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_one_versions_boots() {
        let mut record = BootRecord::parse(b"");
        for (version, unready, too_many) in
            [("1", 1, false), ("1", 2, false), ("1", 3, false), ("1", 4, true), ("2", 1, false), ("1", 1, false)]
        {
            record = BootRecord::parse(&record.begun(version).bytes());
            assert_eq!((record.version.as_str(), record.unready), (version, unready));
            assert_eq!(record.is_too_many(), too_many, "{record:?}");
        }
    }

    #[test]
    fn damage_counts_nothing() {
        for bytes in [&b"1"[..], b"1 x", &[0xff; LENGTH], &[b'1'; LENGTH], b"1 3"] {
            assert_eq!(BootRecord::parse(bytes), BootRecord::default(), "{bytes:?}");
        }
        let long = BootRecord { version: "9".repeat(99), unready: 1 };
        assert_eq!(BootRecord::parse(&long.bytes()), BootRecord::default());
    }
}
