//! Patches: what makes a stream of bytes out of a base that the reader has. A stream comes in pieces, each a zstd frame (RFC
//! 8878) of its own with a part of the base as its prefix, so that both sides hold one piece and one part at a time, and
//! a piece that is not wanted is not fetched. Little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ASHPATCH` |
//! | 4 | version, 1 |
//! | 4 | number of pieces |
//! | 56 each | bytes of the stream (4), of the frame (4), first byte of the base's part (8), its bytes (4), zero (4), SHA-256 of the frame (32) |
//! | the rest | the frames, in order |
//!
//! The stream of a root is those of its 4 KiB blocks that the base has nowhere, in order; that of any other file is the file.
//! Here: the head. Its digest is signed, and so is, by it, each frame: nothing unsigned is ever decompressed.

/// Most bytes of the stream in a piece.
pub const PIECE: usize = 4 << 20;
/// Most bytes of a base's part.
pub const PART: usize = 16 << 20;
/// Most pieces: more than the largest root has.
const PIECES: usize = 4096;
const MAGIC: &[u8; 8] = b"ASHPATCH";
const VERSION: u32 = 1;
const FIXED: usize = 16;
const ENTRY: usize = 56;

/// Why bytes are no head of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no patch of version 1, or its head is damaged")]
pub struct BadPatch;

/// A piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Bytes of the stream.
    pub length: u32,
    /// Bytes of the frame.
    pub frame: u32,
    /// First byte of the base's part.
    pub base: u64,
    /// Bytes of it.
    pub base_length: u32,
    /// SHA-256 of the frame.
    pub sha256: [u8; 32],
}

/// What stands before the frames.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// In the order of the stream.
    pub pieces: Vec<Piece>,
}

impl Head {
    /// Reads one.
    ///
    /// # Errors
    /// It is none, or a piece is larger than pieces may be.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadPatch> {
        let (fixed, entries) = bytes.split_at_checked(FIXED).ok_or(BadPatch)?;
        let is_right = fixed.starts_with(MAGIC) && number(fixed, 8) == VERSION;
        let count = number(fixed, 12) as usize;
        if !is_right || count > PIECES || entries.len() != count * ENTRY {
            return Err(BadPatch);
        }
        let pieces = entries.chunks_exact(ENTRY).map(Piece::parse).collect::<Option<Vec<_>>>().ok_or(BadPatch)?;
        Ok(Self { pieces })
    }

    /// Its bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len());
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.pieces.len() as u32).to_le_bytes());
        for piece in &self.pieces {
            bytes.extend(piece.length.to_le_bytes());
            bytes.extend(piece.frame.to_le_bytes());
            bytes.extend(piece.base.to_le_bytes());
            bytes.extend(piece.base_length.to_le_bytes());
            bytes.extend([0; 4]);
            bytes.extend(piece.sha256);
        }
        bytes
    }

    /// Bytes of the head.
    #[expect(clippy::len_without_is_empty, reason = "a head is never empty")]
    pub fn len(&self) -> usize {
        FIXED + ENTRY * self.pieces.len()
    }

    /// Where each frame begins in the patch, and behind the last one its end.
    pub fn places(&self) -> Vec<u64> {
        let mut place = self.len() as u64;
        let mut places = vec![place];
        for piece in &self.pieces {
            place += u64::from(piece.frame);
            places.push(place);
        }
        places
    }
}

impl Piece {
    fn parse(entry: &[u8]) -> Option<Self> {
        let base = u64::from(number(entry, 8)) | u64::from(number(entry, 12)) << 32;
        let piece = Self {
            length: number(entry, 0),
            frame: number(entry, 4),
            base,
            base_length: number(entry, 16),
            sha256: entry.get(24..)?.try_into().ok()?,
        };
        // A frame is hardly ever larger than its content: zstd stores what it cannot compress.
        let fits = piece.length as usize <= PIECE
            && piece.frame as usize <= PIECE + (64 << 10)
            && piece.base_length as usize <= PART
            && base.checked_add(piece.base_length.into()).is_some();
        (fits && piece.length > 0).then_some(piece)
    }
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        let piece = Piece { length: PIECE as u32, frame: 70, base: 5 << 32, base_length: PART as u32, sha256: [7; 32] };
        Head { pieces: vec![piece, Piece { length: 1, frame: 9, base: 0, base_length: 0, sha256: [1; 32] }] }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = head().bytes();
        assert_eq!(Head::parse(&bytes), Ok(head()));
        assert_eq!(bytes.len(), head().len());
        assert_eq!(head().places(), [128, 198, 207]);
        assert_eq!(Head::parse(&Head::default().bytes()), Ok(Head::default()));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let check = |change: fn(&mut Piece)| {
            let mut head = head();
            change(&mut head.pieces[1]);
            assert_eq!(Head::parse(&head.bytes()), Err(BadPatch));
        };
        check(|piece| piece.length = PIECE as u32 + 1);
        check(|piece| piece.length = 0);
        check(|piece| piece.frame = 2 * PIECE as u32);
        check(|piece| piece.base_length = PART as u32 + 1);
        check(|piece| (piece.base, piece.base_length) = (u64::MAX, 2));
    }

    #[test]
    fn damage_is_noticed() {
        let bytes = head().bytes();
        for length in 0..bytes.len() {
            assert_eq!(Head::parse(&bytes[..length]), Err(BadPatch), "{length}");
        }
        for at in 0..FIXED {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x41;
            assert_eq!(Head::parse(&bytes), Err(BadPatch), "{at}");
        }
    }
}
