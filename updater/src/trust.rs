//! The client of TUF (specification 1.0.34, 5): from the root that the image brought to the list of what is offered, in
//! the specification's order. Each file is kept as soon as it was verified, so that no later visit believes an older one.
//!
//! The clock is read once. What is kept is read like what comes from outside: a power cut may have left anything.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use ashlar_formats::date::Date;
use ashlar_formats::tuf::{Document, MetaFile, Metadata, Role, Root, Snapshot, Targets, Timestamp, limit};
use sha2::{Digest, Sha256};

use crate::error::{Error, at};
use crate::source::Source;

const METADATA: &str = "metadata";

/// A refresh.
struct Client<'a> {
    kept: &'a Path,
    source: &'a dyn Source,
    now: Date,
}

/// Brings what is kept in a folder up to date, and says what is offered. `anchor` is the root that the image brought.
pub fn refresh(kept: &Path, anchor: &[u8], source: &dyn Source, now: Date) -> Result<Targets, Error> {
    fs::create_dir_all(kept).map_err(at("make", kept))?;
    let client = Client { kept, source, now };
    let root = client.root(anchor)?;
    let timestamp = client.timestamp(&root)?;
    let about = timestamp.meta.get("snapshot.json").ok_or_else(|| distrust("timestamp", "it names no snapshot"))?;
    let snapshot = client.snapshot(&root, about)?;
    let about = snapshot.meta.get("targets.json").ok_or_else(|| distrust("snapshot", "it names no targets"))?;
    client.targets(&root, about)
}

impl Client<'_> {
    /// 5.2 and 5.3: from a root that is trusted to the last one, each signed by the one before.
    fn root(&self, anchor: &[u8]) -> Result<Root, Error> {
        let built_in = Root::trusted(anchor).map_err(|error| distrust("the root of this image", error))?;
        let kept = self.read::<Root>().and_then(|bytes| Root::trusted(&bytes).ok());
        // An image may bring a newer one than was ever fetched.
        let first = kept.filter(|root| root.common.version >= built_in.common.version).unwrap_or(built_in);
        let mut root = first.clone();
        for _ in 0..limit::ROOTS {
            let version = root.common.version + 1;
            let Some(bytes) = self.fetch::<Root>(&format!("{version}.root.json"))? else { break };
            root = root.next(&bytes).map_err(|error| distrust(&format!("root {version}"), error))?;
            self.keep::<Root>(&bytes)?;
        }
        self.is_fresh(&root)?;
        // 5.3.11: whoever had those keys may have signed a version that can never be passed.
        let (old, new) = (&first.roles, &root.roles);
        if old.timestamp.keyids != new.timestamp.keyids || old.snapshot.keyids != new.snapshot.keyids {
            self.forget::<Timestamp>()?;
            self.forget::<Snapshot>()?;
        }
        Ok(root)
    }

    /// 5.4. One of the same version is the one that is kept; others may sign it anew, which changes nothing.
    fn timestamp(&self, root: &Root) -> Result<Timestamp, Error> {
        let role = &root.roles.timestamp;
        let kept: Option<Timestamp> = self.kept(root, role);
        let bytes = self.fetch::<Timestamp>("timestamp.json")?;
        let bytes = bytes.ok_or_else(|| {
            Error::Source(format!("{METADATA}/timestamp.json is not there: is that a published folder?"))
        })?;
        let new: Timestamp = verified(&bytes, root, role)?;
        let Some(old) = kept else { return self.accept(new, &bytes) };
        if new.common.version < old.common.version {
            return Err(older::<Timestamp>(new.common.version, old.common.version));
        }
        if new.common.version == old.common.version {
            self.is_fresh(&old)?;
            return Ok(old);
        }
        let snapshot = |timestamp: &Timestamp| timestamp.meta.get("snapshot.json").map(|file| file.version);
        if snapshot(&new) < snapshot(&old) {
            let (new, old) = (snapshot(&new).unwrap_or_default(), snapshot(&old).unwrap_or_default());
            return Err(older::<Snapshot>(new, old));
        }
        self.accept(new, &bytes)
    }

    /// 5.5.
    fn snapshot(&self, root: &Root, about: &MetaFile) -> Result<Snapshot, Error> {
        let role = &root.roles.snapshot;
        let old: Option<Snapshot> = self.kept(root, role);
        let (new, bytes): (Snapshot, _) = self.current(root, role, about)?;
        for (name, before) in old.iter().flat_map(|old| &old.meta) {
            let version = new.meta.get(name).map(|file| file.version);
            if version.is_none_or(|version| version < before.version) {
                let now = version.map_or("gone".to_owned(), |version| format!("version {version}"));
                return Err(distrust("snapshot", format!("{name} was version {} and is {now}", before.version)));
            }
        }
        self.accept(new, &bytes)
    }

    /// 5.6.
    fn targets(&self, root: &Root, about: &MetaFile) -> Result<Targets, Error> {
        let (new, bytes) = self.current(root, &root.roles.targets, about)?;
        self.accept(new, &bytes)
    }

    /// A role's file as another one describes it: what is kept, if it is that one, or else the source's.
    fn current<M: Metadata>(&self, root: &Root, role: &Role, about: &MetaFile) -> Result<(M, Vec<u8>), Error> {
        let check = |bytes: &[u8]| {
            described(bytes, about).map_err(|error| distrust(M::KIND, error))?;
            let content: M = verified(bytes, root, role)?;
            if content.common().version != about.version {
                let (found, wanted) = (content.common().version, about.version);
                return Err(distrust(M::KIND, format!("it is version {found}, and {wanted} was announced")));
            }
            Ok(content)
        };
        if let Some(bytes) = self.read::<M>()
            && let Ok(content) = check(&bytes)
        {
            return Ok((content, bytes));
        }
        let prefix = if root.consistent_snapshot { format!("{}.", about.version) } else { String::new() };
        let name = format!("{prefix}{}.json", M::KIND);
        let bytes = self.fetch::<M>(&name)?;
        let bytes = bytes.ok_or_else(|| Error::Source(format!("{METADATA}/{name} is not there, and was announced")))?;
        Ok((check(&bytes)?, bytes))
    }

    fn fetch<M: Metadata>(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.source.whole(&format!("{METADATA}/{name}"), M::LIMIT)
    }

    fn accept<M: Metadata>(&self, content: M, bytes: &[u8]) -> Result<M, Error> {
        self.is_fresh(&content)?;
        self.keep::<M>(bytes)?;
        Ok(content)
    }

    fn is_fresh(&self, content: &impl Metadata) -> Result<(), Error> {
        fn check<M: Metadata>(content: &M, now: Date) -> Result<(), Error> {
            let expires = content.common().expires;
            let late = || format!("it was good until {expires}, and this machine's clock says {now}");
            if expires <= now { Err(distrust(M::KIND, late())) } else { Ok(()) }
        }
        check(content, self.now)
    }

    fn path<M: Metadata>(&self) -> PathBuf {
        self.kept.join(format!("{}.json", M::KIND))
    }

    fn read<M: Metadata>(&self) -> Option<Vec<u8>> {
        fs::read(self.path::<M>()).ok().filter(|bytes| bytes.len() as u64 <= M::LIMIT)
    }

    /// What is kept of a role, if it still can be believed: as a lower bound also when its time is over.
    fn kept<M: Metadata>(&self, root: &Root, role: &Role) -> Option<M> {
        verified(&self.read::<M>()?, root, role).ok()
    }

    fn keep<M: Metadata>(&self, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path::<M>();
        let fresh = path.with_extension("new");
        let write = || {
            let mut file = File::create(&fresh)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(at("write", &path))
    }

    fn forget<M: Metadata>(&self) -> Result<(), Error> {
        let path = self.path::<M>();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at("remove", path)(error)),
            _ => Ok(()),
        }
    }
}

fn distrust(what: &str, why: impl std::fmt::Display) -> Error {
    Error::Trust(format!("{what}: {why}"))
}

fn older<M: Metadata>(new: u64, old: u64) -> Error {
    distrust(M::KIND, format!("it is version {new}, and {old} was there before: somebody serves old files"))
}

fn verified<M: Metadata>(bytes: &[u8], root: &Root, role: &Role) -> Result<M, Error> {
    let read = || {
        let document = Document::parse(bytes)?;
        document.verify(role, &root.keys)?;
        document.content::<M>()
    };
    read().map_err(|error| distrust(M::KIND, error))
}

fn described(bytes: &[u8], about: &MetaFile) -> Result<(), String> {
    let length = bytes.len() as u64;
    if about.length.is_some_and(|wanted| wanted != length) {
        return Err(format!("it has {length} bytes, and {} were announced", about.length.unwrap_or_default()));
    }
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    match about.hashes.get("sha256") {
        Some(wanted) if *wanted != digest => Err("it is another file than was announced".to_owned()),
        None if !about.hashes.is_empty() => Err("its announcement has no SHA-256".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
