//! The ways to a file of a release other than its root: from a machine of the site, by a patch out of the one that this
//! machine runs, or whole.

use std::cell::OnceCell;

use ashlar_fetch::Digest;

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
    /// A patch that makes it, and what it is a patch of.
    offered: Option<(Offered, Vec<u8>)>,
    /// Its head is fetched when it is asked for: what comes from near needs none.
    patch: OnceCell<Option<Patch>>,
}

impl<'a> Road<'a> {
    /// Finds a patch, if this machine has its base; `old` is what runs in the file's place.
    pub fn find(
        source: &'a dyn Source,
        offer: &Offer,
        (name, file): (&str, &'a Piece),
        old: impl FnOnce() -> Result<Option<Vec<u8>>, Error>,
    ) -> Result<Self, Error> {
        let offered = old()?.and_then(|old| {
            let offered = offer.patch(name, &Digest::of(&old).to_string())?;
            Some((offered.clone(), old))
        });
        Ok(Self { offered, ..Self::whole(source, file) })
    }

    /// Without any patch.
    pub fn whole(source: &'a dyn Source, file: &'a Piece) -> Self {
        Self { source, file, peers: None, offered: None, patch: OnceCell::new() }
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
        match self.peers {
            Some(_) => 0,
            None => self.patch().map_or(self.file.size, |(patch, _)| patch.size()),
        }
    }

    fn patch(&self) -> Option<(&Patch, &[u8])> {
        let (offered, old) = self.offered.as_ref()?;
        let patch = self.patch.get_or_init(|| Patch::try_open(self.source, offered));
        Some((patch.as_ref()?, old))
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
        if let Some((patch, old)) = self.patch() {
            let wanted = vec![true; patch.head.pieces.len()];
            let mut base = |first: u64, buffer: &mut [u8]| {
                let part = old.get(first as usize..).and_then(|rest| rest.get(..buffer.len()));
                buffer.copy_from_slice(part.ok_or_else(|| Error::Trust("the patch is for a longer base".into()))?);
                Ok(())
            };
            let mut fill = |take: Take<'_>| {
                let take = &mut self.limited(take);
                patch.apply(self.source, &wanted, &mut base, &mut |_, bytes| take(bytes))
            };
            match taken(&mut fill) {
                Err(error) if error.is_of_road() => eprintln!("{}: fetching it whole", error.line()),
                other => return other,
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

    /// What is taken of a file, and after how many tries.
    fn check(made: &[u8], has: &[u8], tries: usize) {
        let (old, new) = ([5; 9000], [6; 10_000]);
        let (folder, offer) = offer(&old, &new, made);
        let source = Folder::new(File::open(folder.path()).unwrap().into());
        let road = Road::find(&source, &offer, ("ashlar.efi", &offer.uki), || Ok(Some(has.to_vec()))).unwrap();
        let is_patch = has == old;
        assert_eq!(road.fetch_bytes() < 1000, is_patch);
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
        assert_eq!((taken.unwrap(), tried), (new.to_vec(), tries));
    }

    #[test]
    fn whatever_the_patch_makes_the_file_is_taken() {
        check(&[6; 10_000], &[5; 9000], 1);
        check(&[6; 10_000], &[4; 9000], 1);
        check(&[7; 10_000], &[5; 9000], 2);
        check(&[6; 10_001], &[5; 9000], 2);
        check(&[6; 9999], &[5; 9000], 2);
    }
}
