//! The client of TUF (specification 1.0.34, 5): from the root that the image brought to the list of what is offered, in
//! the specification's order. Each file is kept as soon as it was verified, so that no later visit believes an older one.
//!
//! The clock is read once. What is kept is read like what comes from outside: a power cut may have left anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use ashlar_formats::date::Date;
use ashlar_formats::tuf::{
    Document, Key, KeyId, MetaFile, Metadata, Role, Root, Snapshot, Target, Targets, Timestamp, has_hashes, limit,
};

use crate::error::{Error, at};
use crate::record::replace;
use crate::source::Source;

const METADATA: &str = "metadata";
const TOP_LEVEL: [&str; 4] = ["root", "timestamp", "snapshot", "targets"];

/// A refresh.
struct Client<'a> {
    kept: &'a Path,
    source: &'a dyn Source,
    now: Date,
}

/// What a refresh has brought.
pub struct Trusted<'a> {
    client: Client<'a>,
    snapshot: Snapshot,
    /// Whether the names of files have their digests in them.
    pub consistent_snapshot: bool,
    /// What the publisher itself offers.
    pub targets: Targets,
}

/// Brings what is kept in a folder up to date, and says what is offered. `anchor` is the root that the image brought.
pub fn refresh<'a>(kept: &'a Path, anchor: &[u8], source: &'a dyn Source, now: Date) -> Result<Trusted<'a>, Error> {
    fs::create_dir_all(kept).map_err(at("make", kept))?;
    let client = Client { kept, source, now };
    let root = client.root(anchor)?;
    let timestamp = client.timestamp(&root)?;
    let about = timestamp.meta.get("snapshot.json").ok_or_else(|| distrust("timestamp", "it names no snapshot"))?;
    let snapshot = client.snapshot(&root, about)?;
    let about = snapshot.meta.get("targets.json").ok_or_else(|| distrust("snapshot", "it names no targets"))?;
    let targets =
        client.list(&Signers::new(&root, &root.roles.targets), Targets::KIND, about, root.consistent_snapshot)?;
    Ok(Trusted { client, snapshot, consistent_snapshot: root.consistent_snapshot, targets })
}

/// What was offered when this machine has looked last, whatever time that was. It is good for the names of what is here.
pub fn kept(folder: &Path) -> Option<Targets> {
    let bytes = fs::read(folder.join(format!("{}.json", Targets::KIND))).ok()?;
    (bytes.len() as u64 <= Targets::LIMIT).then(|| Document::parse(&bytes).ok()?.content().ok())?
}

/// How a search has ended.
enum Search {
    Found(Target),
    /// Nobody else is to be asked.
    Ended,
    Absent,
}

impl Trusted<'_> {
    /// 5.6.7: a target by its name, whoever offers it: the publisher, or a role that it trusts with that name.
    pub fn find(&self, name: &str) -> Result<Option<Target>, Error> {
        match self.search(&self.targets, name, &mut BTreeSet::new())? {
            Search::Found(target) => Ok(Some(target)),
            Search::Ended | Search::Absent => Ok(None),
        }
    }

    /// In the order of appearance, each role and those that it trusts before the next one.
    fn search(&self, list: &Targets, name: &str, seen: &mut BTreeSet<String>) -> Result<Search, Error> {
        if let Some(target) = list.targets.get(name) {
            return Ok(Search::Found(target.clone()));
        }
        let Some(delegations) = &list.delegations else { return Ok(Search::Absent) };
        for delegated in delegations.of(name) {
            if seen.len() == limit::DELEGATIONS {
                return Ok(Search::Ended);
            }
            let role = &delegated.name;
            let about = self.snapshot.meta.get(&format!("{role}.json"));
            // One that was asked is not asked again, also where roles trust each other in a circle.
            let Some(about) = about.filter(|_| seen.insert(role.clone())) else { continue };
            if TOP_LEVEL.contains(&role.as_str()) {
                return Err(distrust("targets", format!("it delegates to `{role}`, which is no role for that")));
            }
            let signers = Signers { keys: &delegations.keys, role: &delegated.role };
            let list = self.client.list(&signers, &encoded(role), about, self.consistent_snapshot)?;
            match self.search(&list, name, seen)? {
                Search::Absent if delegated.terminating => return Ok(Search::Ended),
                Search::Absent => {}
                other => return Ok(other),
            }
        }
        Ok(Search::Absent)
    }
}

/// Who signs a file.
struct Signers<'a> {
    keys: &'a BTreeMap<KeyId, Key>,
    role: &'a Role,
}

impl<'a> Signers<'a> {
    fn new(root: &'a Root, role: &'a Role) -> Self {
        Self { keys: &root.keys, role }
    }
}

impl Client<'_> {
    /// 5.2 and 5.3: from a root that is trusted to the last one, each signed by the one before.
    fn root(&self, anchor: &[u8]) -> Result<Root, Error> {
        let built_in = Root::trusted(anchor).map_err(|error| distrust("the root of this image", error))?;
        let kept = self.read::<Root>(Root::KIND).and_then(|bytes| Root::trusted(&bytes).ok());
        // An image may bring a newer one than was ever fetched.
        let first = kept.filter(|root| root.common.version >= built_in.common.version).unwrap_or(built_in);
        let mut root = first.clone();
        for _ in 0..limit::ROOTS {
            let version = root.common.version + 1;
            let Some(bytes) = self.fetch::<Root>(&format!("{version}.root.json"))? else { break };
            root = root.next(&bytes).map_err(|error| distrust(&format!("root {version}"), error))?;
            self.keep(Root::KIND, &bytes)?;
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
        let signers = Signers::new(root, &root.roles.timestamp);
        let kept: Option<Timestamp> = self.kept(&signers);
        let bytes = self.fetch::<Timestamp>("timestamp.json")?;
        let bytes = bytes.ok_or_else(|| {
            Error::Source(format!("{METADATA}/timestamp.json is not there: is that a published folder?"))
        })?;
        let new: Timestamp = verified(&bytes, &signers)?;
        let Some(old) = kept else { return self.accept(Timestamp::KIND, new, &bytes) };
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
        self.accept(Timestamp::KIND, new, &bytes)
    }

    /// 5.5.
    fn snapshot(&self, root: &Root, about: &MetaFile) -> Result<Snapshot, Error> {
        let signers = Signers::new(root, &root.roles.snapshot);
        let old: Option<Snapshot> = self.kept(&signers);
        let (new, bytes): (Snapshot, _) = self.current(&signers, Snapshot::KIND, about, root.consistent_snapshot)?;
        for (name, before) in old.iter().flat_map(|old| &old.meta) {
            let version = new.meta.get(name).map(|file| file.version);
            if version.is_none_or(|version| version < before.version) {
                let now = version.map_or("gone".to_owned(), |version| format!("version {version}"));
                return Err(distrust("snapshot", format!("{name} was version {} and is {now}", before.version)));
            }
        }
        self.accept(Snapshot::KIND, new, &bytes)
    }

    /// 5.6: a list of targets, the publisher's own or a role's that it trusts.
    fn list(&self, signers: &Signers<'_>, name: &str, about: &MetaFile, consistent: bool) -> Result<Targets, Error> {
        let (new, bytes): (Targets, _) = self.current(signers, name, about, consistent)?;
        new.check_delegations().map_err(|error| distrust(name, error))?;
        self.accept(name, new, &bytes)
    }

    /// A role's file as another one describes it: what is kept, if it is that one, or else the source's.
    fn current<M: Metadata>(
        &self,
        signers: &Signers<'_>,
        name: &str,
        about: &MetaFile,
        consistent: bool,
    ) -> Result<(M, Vec<u8>), Error> {
        let check = |bytes: &[u8]| {
            described(bytes, about).map_err(|error| distrust(name, error))?;
            let content: M = verified(bytes, signers)?;
            if content.common().version != about.version {
                let (found, wanted) = (content.common().version, about.version);
                return Err(distrust(name, format!("it is version {found}, and {wanted} was announced")));
            }
            Ok(content)
        };
        if let Some(bytes) = self.read::<M>(name)
            && let Ok(content) = check(&bytes)
        {
            return Ok((content, bytes));
        }
        let prefix = if consistent { format!("{}.", about.version) } else { String::new() };
        let file = format!("{prefix}{name}.json");
        let bytes = self.fetch::<M>(&file)?;
        let bytes = bytes.ok_or_else(|| Error::Source(format!("{METADATA}/{file} is not there, and was announced")))?;
        Ok((check(&bytes)?, bytes))
    }

    fn fetch<M: Metadata>(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.source.whole(&format!("{METADATA}/{name}"), M::LIMIT)
    }

    fn accept<M: Metadata>(&self, name: &str, content: M, bytes: &[u8]) -> Result<M, Error> {
        self.is_fresh(&content)?;
        self.keep(name, bytes)?;
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

    fn path(&self, name: &str) -> PathBuf {
        self.kept.join(format!("{name}.json"))
    }

    fn read<M: Metadata>(&self, name: &str) -> Option<Vec<u8>> {
        fs::read(self.path(name)).ok().filter(|bytes| bytes.len() as u64 <= M::LIMIT)
    }

    /// What is kept of a role, if it still can be believed: as a lower bound also when its time is over.
    fn kept<M: Metadata>(&self, signers: &Signers<'_>) -> Option<M> {
        verified(&self.read::<M>(M::KIND)?, signers).ok()
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        replace(&self.path(name), bytes)
    }

    fn forget<M: Metadata>(&self) -> Result<(), Error> {
        let path = self.path(M::KIND);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at("remove", path)(error)),
            _ => Ok(()),
        }
    }
}

/// A role's name as that of a file: everything but letters, digits and `-._~` in per cent, so that it can lead nowhere else.
fn encoded(role: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    role.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn distrust(what: &str, why: impl std::fmt::Display) -> Error {
    Error::Trust(format!("{what}: {why}"))
}

fn older<M: Metadata>(new: u64, old: u64) -> Error {
    distrust(M::KIND, format!("it is version {new}, and {old} was there before: somebody serves old files"))
}

fn verified<M: Metadata>(bytes: &[u8], signers: &Signers<'_>) -> Result<M, Error> {
    let read = || {
        let document = Document::parse(bytes)?;
        document.verify(signers.role, signers.keys)?;
        document.content::<M>()
    };
    read().map_err(|error| distrust(M::KIND, error))
}

fn described(bytes: &[u8], about: &MetaFile) -> Result<(), String> {
    let length = bytes.len() as u64;
    if about.length.is_some_and(|wanted| wanted != length) {
        return Err(format!("it has {length} bytes, and {} were announced", about.length.unwrap_or_default()));
    }
    match about.hashes.is_empty() || has_hashes(bytes, &about.hashes) {
        true => Ok(()),
        false => Err("it is another file than was announced".to_owned()),
    }
}

#[cfg(test)]
mod tests;
