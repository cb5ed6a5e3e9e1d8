//! Patches: a file of a release out of what is on this machine (see `ashlar_formats::patch`). The head is what was signed,
//! each frame is what the head says, and what comes out is checked again by whoever takes it.

use std::io::Read;
use std::ops::Range;

use ashlar_fetch::Digest;
use ashlar_formats::patch::Head;

use crate::error::Error;
use crate::offer::{Offered, Piece};
use crate::source::Source;

/// A single-segment frame needs no more than its content; others may not ask for more than that.
const WINDOW: u32 = 23;

/// Reads bytes of the base.
pub type Base<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> Result<(), Error>;

/// Takes a piece: its number and its bytes.
pub type Give<'a> = &'a mut dyn FnMut(usize, &[u8]) -> Result<(), Error>;

/// A patch whose head was read.
#[derive(Debug)]
pub struct Patch {
    /// What each of its pieces makes.
    pub head: Head,
    file: Piece,
}

impl Patch {
    /// Fetches the head.
    pub fn open(source: &dyn Source, offered: &Offered) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        let file = &offered.file;
        if offered.head_length > file.size.min(1 << 20) {
            return Err(bad("its head would be larger than heads are"));
        }
        source.part(&file.path, file.size, 0, offered.head_length, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        if Digest::of(&bytes).to_string() != offered.head_sha256 {
            return Err(bad("its head is not what was signed"));
        }
        let head = Head::parse(&bytes).map_err(|error| bad(&error.to_string()))?;
        if head.places().last() != Some(&file.size) {
            return Err(bad("it is not as long as its pieces"));
        }
        Ok(Self { head, file: file.clone() })
    }

    /// As [`Self::open`], where there are other ways.
    pub fn try_open(source: &dyn Source, offered: &Offered) -> Option<Self> {
        Self::open(source, offered).map_err(|error| eprintln!("{}: doing without it", error.line())).ok()
    }

    /// Bytes of all of it.
    pub fn size(&self) -> u64 {
        self.file.size
    }

    /// Makes the wanted pieces, in order; `give` gets the number of each and its bytes.
    pub fn apply(&self, source: &dyn Source, wanted: &[bool], base: Base<'_>, give: Give<'_>) -> Result<(), Error> {
        let places = self.head.places();
        for run in runs(wanted) {
            let (first, end) = (places[run.start], places[run.end]);
            let (mut number, mut frame) = (run.start, Vec::new());
            source.part(&self.file.path, self.file.size, first, end - first, &mut |mut bytes| {
                while !bytes.is_empty() {
                    let length = self.head.pieces[number].frame as usize;
                    let take = bytes.len().min(length - frame.len());
                    frame.extend_from_slice(&bytes[..take]);
                    bytes = &bytes[take..];
                    if frame.len() == length {
                        give(number, &self.unpacked(number, &frame, base)?)?;
                        frame.clear();
                        number += 1;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn unpacked(&self, number: usize, frame: &[u8], base: Base<'_>) -> Result<Vec<u8>, Error> {
        let piece = &self.head.pieces[number];
        if Digest::of(frame).bytes() != piece.sha256 {
            return Err(bad("a piece of it is not what was signed"));
        }
        let mut prefix = crate::device::Buffer::new(piece.base_length as usize);
        base(piece.base, &mut prefix)?;
        let mut bytes = Vec::with_capacity(piece.length as usize);
        let unpack = |bytes: &mut Vec<u8>| {
            let mut decoder = zstd::Decoder::with_ref_prefix(frame, &prefix[..])?.single_frame();
            decoder.window_log_max(WINDOW)?;
            decoder.take(u64::from(piece.length) + 1).read_to_end(bytes)
        };
        unpack(&mut bytes).map_err(|error| bad(&error.to_string()))?;
        if bytes.len() != piece.length as usize {
            return Err(bad("a piece of it makes something of another length"));
        }
        Ok(bytes)
    }
}

/// What follows each other.
fn runs(wanted: &[bool]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for number in (0..wanted.len()).filter(|number| wanted[*number]) {
        match runs.last_mut().filter(|run| run.end == number) {
            Some(run) => run.end += 1,
            None => runs.push(number..number + 1),
        }
    }
    runs
}

fn bad(why: &str) -> Error {
    Error::Trust(format!("the patch: {why}"))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::source::Folder;
    use ashlar_formats::patch;
    use std::fs::{self, File};
    use std::io::Write;

    /// A patch that makes these pieces of a base's first bytes, in a folder.
    pub fn make(base: &[u8], pieces: &[Vec<u8>]) -> (tempfile::TempDir, Offered) {
        let part = base.len().min(patch::PART);
        let frames: Vec<Vec<u8>> = pieces
            .iter()
            .map(|content| {
                let mut encoder = zstd::Encoder::with_ref_prefix(Vec::new(), 3, &base[..part]).unwrap();
                encoder.long_distance_matching(true).unwrap();
                encoder.set_pledged_src_size(Some(content.len() as u64)).unwrap();
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            })
            .collect();
        let piece = |(content, frame): (&Vec<u8>, &Vec<u8>)| patch::Piece {
            length: content.len() as u32,
            frame: frame.len() as u32,
            base: 0,
            base_length: part as u32,
            sha256: Digest::of(frame).bytes(),
        };
        let head = Head { pieces: pieces.iter().zip(&frames).map(piece).collect() };
        let bytes = [head.bytes(), frames.concat()].concat();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("patch"), &bytes).unwrap();
        let file = Piece { path: "patch".into(), size: bytes.len() as u64, sha256: Digest::of(&bytes).to_string() };
        let (head_length, head_sha256) = (head.len() as u64, Digest::of(&head.bytes()).to_string());
        (folder, Offered { makes: String::new(), base: String::new(), file, head_length, head_sha256 })
    }

    fn content() -> (Vec<u8>, Vec<Vec<u8>>) {
        let base: Vec<u8> = (0..40_960_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let pieces = vec![base[100..9000].to_vec(), vec![7; 5000], base[20_000..].to_vec()];
        (base, pieces)
    }

    fn apply(folder: &tempfile::TempDir, offered: &Offered, wanted: &[bool]) -> Result<Vec<(usize, Vec<u8>)>, Error> {
        let source = Folder::new(File::open(folder.path()).unwrap().into());
        let base = content().0;
        let mut got = Vec::new();
        Patch::open(&source, offered)?.apply(
            &source,
            wanted,
            &mut |first, buffer| {
                buffer.copy_from_slice(&base[first as usize..][..buffer.len()]);
                Ok(())
            },
            &mut |number, bytes| {
                got.push((number, bytes.to_vec()));
                Ok(())
            },
        )?;
        Ok(got)
    }

    #[test]
    fn only_wanted_pieces_are_made() {
        let (base, pieces) = content();
        let (folder, offered) = make(&base, &pieces);
        assert!(offered.file.size < 600, "{}", offered.file.size);
        for wanted in [[true; 3], [true, false, true], [false, true, true], [false; 3]] {
            let got = apply(&folder, &offered, &wanted).unwrap();
            let expect: Vec<(usize, Vec<u8>)> =
                (0..3).filter(|number| wanted[*number]).map(|number| (number, pieces[number].clone())).collect();
            assert_eq!(got, expect);
        }
    }

    #[test]
    fn nothing_unsigned_is_unpacked() {
        let (base, pieces) = content();
        let (folder, offered) = make(&base, &pieces);
        let path = folder.path().join("patch");
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, bytes).unwrap();
            assert!(matches!(apply(&folder, &offered, &[true; 3]), Err(Error::Trust(_))), "{at}");
        }
        fs::write(&path, &whole).unwrap();
        let longer = Offered { head_length: 2 << 20, ..offered.clone() };
        assert!(apply(&folder, &longer, &[true; 3]).is_err());
        // Signed, and not what it says it is.
        let mut head = Head::parse(&whole[..offered.head_length as usize]).unwrap();
        head.pieces[1].length -= 1;
        let bytes = [head.bytes(), whole[head.len()..].to_vec()].concat();
        fs::write(&path, &bytes).unwrap();
        let wrong = Offered { head_sha256: Digest::of(&head.bytes()).to_string(), ..offered };
        let error = apply(&folder, &wrong, &[true; 3]).unwrap_err().to_string();
        assert!(error.contains("another length"), "{error}");
    }
}
