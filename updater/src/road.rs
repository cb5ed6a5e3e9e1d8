//! The ways to a file of a release other than its root: from a machine of the site, by a patch out of the one that this
//! machine runs, out of that one without a patch as far as the two are alike, or whole.

use std::cell::OnceCell;

use ashlar_fetch::Digest;
use ashlar_formats::alike::{self, Kind, Part};

use crate::error::Error;
use crate::offer::{Offer, Offered, Piece};
use crate::patch::Patch;
use crate::peers::Peers;
use crate::source::{Source, Take};

/// Gives all bytes of a file, in order and no more than were signed for.
pub type Fill<'a> = &'a mut dyn FnMut(Take<'_>) -> Result<(), Error>;

/// The ways to one file.
pub struct Road<'a> {
    source: &'a dyn Source,
    file: &'a Piece,
    /// Those that have it, if there are any.
    peers: Option<&'a Peers>,
    /// What runs in the file's place.
    ours: Option<(Kind, Vec<u8>)>,
    /// A patch that makes it of that.
    offered: Option<Offered>,
    /// Its head is fetched when it is asked for: what comes from near needs none.
    patch: OnceCell<Option<Patch>>,
    /// What the two have in common, looked for where there is no patch.
    parts: OnceCell<Option<Vec<Part>>>,
}

impl<'a> Road<'a> {
    /// With what runs in the file's place, if anything does.
    pub fn find(
        source: &'a dyn Source,
        offer: &Offer,
        (name, file): (&str, &'a Piece),
        ours: Option<(Kind, Vec<u8>)>,
    ) -> Self {
        let patch = |(_, ours): &(Kind, Vec<u8>)| offer.patch(name, &Digest::of(ours).to_string()).cloned();
        Self { offered: ours.as_ref().and_then(patch), ours, ..Self::whole(source, file) }
    }

    /// Whole, or from near.
    pub fn whole(source: &'a dyn Source, file: &'a Piece) -> Self {
        let (patch, parts) = (OnceCell::new(), OnceCell::new());
        Self { source, file, peers: None, ours: None, offered: None, patch, parts }
    }

    /// With those that may have it.
    pub fn near(self, peers: &'a Peers) -> Self {
        Self { peers: Some(peers).filter(|peers| peers.have(self.file)), ..self }
    }

    /// Bytes that machines of the site are to give.
    pub fn near_bytes(&self) -> u64 {
        if self.peers.is_some() { self.file.size } else { 0 }
    }

    /// Bytes that the source has to give.
    pub fn fetch_bytes(&self) -> u64 {
        let patched = || self.patch().map(|(patch, _)| patch.size());
        let alike = || self.parts().map(|(parts, _)| alike::cost(parts));
        match self.peers {
            Some(_) => 0,
            None => patched().or_else(alike).unwrap_or(self.file.size),
        }
    }

    fn patch(&self) -> Option<(&Patch, &[u8])> {
        let ((_, ours), offered) = self.ours.as_ref().zip(self.offered.as_ref())?;
        let patch = self.patch.get_or_init(|| Patch::try_open(self.source, offered));
        Some((patch.as_ref()?, ours))
    }

    fn parts(&self) -> Option<(&[Part], &[u8])> {
        let (kind, ours) = self.ours.as_ref()?;
        let Piece { path, size, .. } = self.file;
        let find = || {
            kind.parts(ours, *size, &mut |range| {
                let mut bytes = Vec::new();
                self.source.part(path, *size, range.start, range.end - range.start, &mut |part| {
                    bytes.extend_from_slice(part);
                    Ok(())
                })?;
                Ok::<_, Error>(bytes)
            })
        };
        let parts = self.parts.get_or_init(|| {
            find().unwrap_or_else(|error| {
                eprintln!("{}: fetching it whole", error.line());
                None
            })
        });
        Some((parts.as_ref()?, ours))
    }

    /// Has the file taken: once more, from its beginning, if what came the one way is not what was signed.
    pub fn take<T>(&self, taken: &mut dyn FnMut(Fill<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let Piece { path, size, .. } = self.file;
        let mut whole =
            |from: &dyn Source| taken(&mut |take| from.part(path, *size, 0, *size, &mut self.limited(take)));
        if let Some(peers) = self.peers
            && let Some(done) = peers.bring(self.file, &mut whole)?
        {
            return Ok(done);
        }
        let mut try_road = |fill: &mut dyn FnMut(Take<'_>) -> Result<(), Error>, next: &str| match taken(fill) {
            Err(error) if error.is_of_road() => {
                eprintln!("{}: {next}", error.line());
                Ok(None)
            }
            other => other.map(Some),
        };
        if let Some((patch, ours)) = self.patch() {
            let wanted = vec![true; patch.head.pieces.len()];
            let mut base = |first: u64, buffer: &mut [u8]| {
                let part = ours.get(first as usize..).and_then(|rest| rest.get(..buffer.len()));
                buffer.copy_from_slice(part.ok_or_else(|| Error::Trust("the patch is for a longer base".into()))?);
                Ok(())
            };
            let mut fill = |take: Take<'_>| {
                let take = &mut self.limited(take);
                patch.apply(self.source, &wanted, &mut base, &mut |_, bytes| take(bytes))
            };
            if let Some(done) = try_road(&mut fill, "doing without the patch")? {
                return Ok(done);
            }
        }
        if let Some((parts, ours)) = self.parts() {
            let mut fill = |take: Take<'_>| {
                let take = &mut self.limited(take);
                parts.iter().try_for_each(|part| match part {
                    Part::Read(bytes) => take(bytes),
                    Part::Ours(range) => take(&ours[range.start as usize..range.end as usize]),
                    Part::New(range) => self.source.part(path, *size, range.start, range.end - range.start, take),
                })
            };
            if let Some(done) = try_road(&mut fill, "fetching it whole")? {
                return Ok(done);
            }
        }
        taken(&mut |take| self.source.part(path, *size, 0, *size, &mut self.limited(take)))
    }

    /// The file, in memory.
    pub fn content(&self) -> Result<Vec<u8>, Error> {
        let Piece { path, sha256, .. } = self.file;
        self.take(&mut |fill| {
            let mut bytes = Vec::new();
            fill(&mut |part| {
                bytes.extend_from_slice(part);
                Ok(())
            })?;
            let is_signed = Digest::of(&bytes).to_string() == *sha256;
            if is_signed { Ok(bytes) } else { Err(Error::Trust(format!("{path} is not the file that was signed"))) }
        })
    }

    fn limited<'t>(&self, take: Take<'t>) -> impl FnMut(&[u8]) -> Result<(), Error> + 't {
        let mut left = self.file.size;
        move |bytes| {
            let longer = || Error::Trust("the file is longer than what was signed".into());
            left = left.checked_sub(bytes.len() as u64).ok_or_else(longer)?;
            take(bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Folder;
    use ashlar_formats::date::Date;
    use ashlar_formats::pe;
    use ashlar_formats::tuf::Release;
    use ashlar_formats::verity::RootHash;
    use std::fs::{self, File};

    /// An offer of one file and a patch that makes it, in a folder.
    fn offer(old: &[u8], new: &[u8], made: &[u8]) -> (tempfile::TempDir, Offer) {
        let (folder, mut patch) = crate::patch::tests::make(old, &[made.to_vec()]);
        fs::write(folder.path().join("file"), new).unwrap();
        let file = Piece { path: "file".into(), size: new.len() as u64, sha256: Digest::of(new).to_string() };
        (patch.makes, patch.base) = ("base/x86_64/2/ashlar.efi".into(), Digest::of(old).to_string());
        let release = Release {
            image: "base".into(),
            arch: "x86_64".into(),
            version: "2".into(),
            date: Date::from_seconds(0),
            root_hash: String::new(),
            channels: Vec::new(),
            minimum: None,
            notes: String::new(),
            rollout: Vec::new(),
            withdrawn: None,
            contents: None,
        };
        let (root, tree) = (file.clone(), file.clone());
        let root_hash = RootHash([0; 32]);
        (folder, Offer { release, root_hash, root, tree, uki: file, patches: vec![patch] })
    }

    /// What is taken of a file that has these ways, and after how many tries.
    fn take(road: &Road<'_>, new: &[u8]) -> usize {
        let mut tried = 0;
        let taken = road.take(&mut |fill| {
            tried += 1;
            let mut bytes = Vec::new();
            fill(&mut |part| {
                bytes.extend_from_slice(part);
                Ok(())
            })?;
            if bytes == new { Ok(bytes) } else { Err(Error::Trust("no".into())) }
        });
        assert!(taken.unwrap() == new);
        tried
    }

    #[test]
    fn whatever_the_patch_makes_the_file_is_taken() {
        let check = |made: &[u8], has: &[u8], tries: usize| {
            let (old, new) = ([5; 9000], [6; 10_000]);
            let (folder, offer) = offer(&old, &new, made);
            let source = Folder::new(File::open(folder.path()).unwrap().into());
            let ours = Some((Kind::Uki, has.to_vec()));
            let road = Road::find(&source, &offer, ("ashlar.efi", &offer.uki), ours);
            assert_eq!(road.fetch_bytes() < 1000, has == old);
            assert_eq!(take(&road, &new), tries);
        };
        check(&[6; 10_000], &[5; 9000], 1);
        check(&[6; 10_000], &[4; 9000], 1);
        check(&[7; 10_000], &[5; 9000], 2);
        check(&[6; 10_001], &[5; 9000], 2);
        check(&[6; 9999], &[5; 9000], 2);
    }

    /// The least that is a PE file, with room for more sections.
    fn program() -> Vec<u8> {
        let mut bytes = vec![7; 9216];
        bytes[..1024].fill(0);
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(0, b"MZ");
        put(60, &[64]);
        put(64, b"PE\0\0");
        // Sections; length and kind of the optional header; alignments and length of all headers; directories.
        for (at, value) in [(70, 1), (84, 240), (88, 0x020b)] {
            put(at, &u16::to_le_bytes(value));
        }
        for (at, value) in [(88 + 32, 4096), (88 + 36, 512), (88 + 60, 1024), (88 + 108, 16)] {
            put(at, &u32::to_le_bytes(value));
        }
        put(328, b".text");
        for (at, value) in [(8, 8192), (12, 4096), (16, 8192), (20, 1024)] {
            put(328 + at, &u32::to_le_bytes(value));
        }
        bytes
    }

    #[test]
    fn without_a_patch_what_is_alike_is_not_fetched() {
        let kernel = program();
        let image = |version: &str, initramfs: u8| {
            let [release, initramfs] = [format!("IMAGE_VERSION={version}"), format!("{initramfs}").repeat(100_000)];
            let parts = pe::Uki {
                os_release: &release,
                command_line: "roothash=00",
                kernel_release: None,
                kernel: &kernel,
                initramfs: initramfs.as_bytes(),
            };
            pe::write(&kernel, &parts).unwrap()
        };
        let ours = image("1", 1);
        let check = |new: Vec<u8>, most: u64, tries: usize| {
            let (folder, offer) = offer(&[5; 9000], &new, &[]);
            let source = Folder::new(File::open(folder.path()).unwrap().into());
            let road = Road::find(&source, &offer, ("ashlar.efi", &offer.uki), Some((Kind::Uki, ours.clone())));
            assert!(road.fetch_bytes() <= most, "{}", road.fetch_bytes());
            assert_eq!(take(&road, &new), tries);
        };
        check(image("2", 1), 20_000, 1);
        // As long, and something else.
        check(image("2", 3), 20_000, 2);
        check(image("2", 10), 220_000, 1);
    }
}
