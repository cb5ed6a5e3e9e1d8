//! What is published at a place, and the next state of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ashlar_fetch::{Blob, Digest};
use ashlar_formats::date::Date;
use ashlar_formats::tuf::{
    Common, Document, MetaFile, Metadata, Release, Role, RoleName, Roles, Root, Snapshot, Target, Targets, Timestamp,
};

use super::keyring::{Keyring, in_days};
use super::place::Place;

/// The file that says what is the newest.
pub const TIMESTAMP: &str = "timestamp.json";
/// The two that are replaced with each release may be good for long: the timestamp is not.
const DAYS: u64 = 365;

/// Keys, and what they have signed there.
#[derive(Debug)]
pub struct Shop {
    place: Box<dyn Place>,
    keys: Keyring,
    targets: Targets,
    /// As published; nothing before the first time.
    before: Option<Before>,
    fresh: Date,
}

#[derive(Debug)]
struct Before {
    /// The bytes of the timestamp, which say it all.
    stamp: Vec<u8>,
    version: u64,
    targets: BTreeMap<String, Target>,
    snapshot: u64,
    timestamp: u64,
}

impl Shop {
    /// Reads what is there. It has to be signed by these keys.
    pub fn open(place: Box<dyn Place>, keys: Keyring, fresh_days: u32) -> anyhow::Result<Self> {
        let read = read(place.as_ref(), &keys).with_context(|| format!("open {}", place.name()))?;
        let (targets, before) = match read {
            Some((targets, before)) => (targets, Some(before)),
            None => (Targets::new(0, in_days(DAYS)), None),
        };
        let targets = resume(targets, &keys).with_context(|| format!("open {}", place.name()))?;
        Ok(Self { place, keys, targets, before, fresh: in_days(fresh_days.into()) })
    }

    /// Everything that is offered.
    pub fn targets_mut(&mut self) -> impl Iterator<Item = (&String, &mut Target)> {
        self.targets.targets.iter_mut()
    }

    /// What is said about each release.
    pub fn releases(&self) -> impl Iterator<Item = Release> + '_ {
        let told = self.targets.targets.values().filter_map(|target| target.custom.get("release"));
        told.filter_map(|release| serde_json::from_value(release.clone()).ok())
    }

    /// Whether a target of this name is offered.
    pub fn has(&self, name: &str) -> bool {
        self.targets.targets.contains_key(name)
    }

    /// The file of a target; `None` where it is not kept any more.
    pub fn file(&self, name: &str) -> anyhow::Result<Option<PathBuf>> {
        let target = self.targets.targets.get(name).with_context(|| format!("{name} is not published"))?;
        self.place.file(name, &blob(target)?)
    }

    /// For a file that is made before it is offered.
    pub fn scratch(&self) -> PathBuf {
        self.place.scratch()
    }

    /// Until when devices believe it.
    pub fn fresh_until(&self) -> Date {
        self.fresh
    }

    /// Offers a file. One of this name that is offered already has to be the same: what a device took under that name once
    /// is what it expects.
    pub fn add(&mut self, name: &str, mut target: Target, file: &Path) -> anyhow::Result<()> {
        if let Some(there) = self.targets.targets.get(name) {
            if there.hashes != target.hashes {
                bail!("{name} is published with other content: give the release another version");
            }
            // When it was published first, and that it was withdrawn, stays.
            for field in ["date", "withdrawn"] {
                if let (Some(told), Some(was)) = (target.custom.get_mut("release"), there.custom.get("release"))
                    && let Some(value) = was.get(field)
                {
                    told[field] = value.clone();
                }
            }
        }
        self.place.add(name, &blob(&target)?, file)?;
        self.targets.targets.insert(name.to_owned(), target);
        Ok(())
    }

    /// Signs the new state and puts it out: what the timestamp points to first, the timestamp last. While targets wait for
    /// signatures, what is out is renewed, if it can be, and the error says what they wait for.
    pub fn put_out(&mut self) -> anyhow::Result<()> {
        // Not every place has a lock.
        if self.place.read(TIMESTAMP)? != self.before.as_ref().map(|before| before.stamp.clone()) {
            bail!("publish to {}: somebody else has published there meanwhile; try again", self.place.name());
        }
        let (list, waits) = match self.list() {
            Err(waits) if self.before.is_some() && !self.is_signed_by_others()? => (self.published()?, Some(waits)),
            list => (list?, None),
        };
        let (version, targets) = list;
        let (snapshot, timestamp) = self.before.as_ref().map_or((0, 0), |before| (before.snapshot, before.timestamp));
        let together = Snapshot {
            common: Common::new::<Snapshot>(snapshot + 1, in_days(DAYS)),
            meta: [("targets.json".to_owned(), about(version, &targets))].into(),
        };
        let together = self.keys.signed(RoleName::Snapshot, &together)?;
        let stamp = Timestamp {
            common: Common::new::<Timestamp>(timestamp + 1, self.fresh),
            meta: [("snapshot.json".to_owned(), about(snapshot + 1, &together))].into(),
        };
        let stamp = self.keys.signed(RoleName::Timestamp, &stamp)?;
        self.keep()?;
        for (version, bytes) in self.keys.roots() {
            self.place.write(&format!("{version}.root.json"), bytes)?;
        }
        if self.before.as_ref().is_none_or(|before| before.version != version) {
            self.place.write(&format!("{version}.targets.json"), &targets)?;
        }
        self.place.write(&format!("{}.snapshot.json", snapshot + 1), &together)?;
        self.place.write(TIMESTAMP, &stamp)?;
        self.keys.published(version)?;
        waits.map_or(Ok(()), Err)
    }

    /// The targets to put out, and their version. One that is out stays as it is: somebody may be reading it.
    fn list(&mut self) -> anyhow::Result<(u64, Vec<u8>)> {
        let before = self.before.as_ref();
        let is_new = before.is_none_or(|before| before.targets != self.targets.targets);
        let version = before.map_or(0, |before| before.version) + 1;
        let waiting = self.keys.waiting(version)?.filter(|waiting| waiting.targets == self.targets.targets);
        // A role's new key signs anew what the old one did, and so does who finds that its time will be up.
        let is_old = || anyhow::Ok(self.targets.common.expires <= self.fresh || self.is_signed_by_others()?);
        if !is_new && waiting.is_none() && !is_old()? {
            return self.published();
        }
        self.targets.common =
            waiting.map_or_else(|| Common::new::<Targets>(version, in_days(DAYS)), |waiting| waiting.common);
        Ok((version, self.keys.signed(RoleName::Targets, &self.targets)?))
    }

    fn published(&self) -> anyhow::Result<(u64, Vec<u8>)> {
        let version = self.before.as_ref().map_or(0, |before| before.version);
        let name = format!("{version}.targets.json");
        Ok((version, self.place.read(&name)?.with_context(|| format!("read {name}: it is gone"))?))
    }

    /// Has the place keep the releases that are new, or have new files.
    fn keep(&self) -> anyhow::Result<()> {
        let none = BTreeMap::new();
        let before = releases(self.before.as_ref().map_or(&none, |before| &before.targets))?;
        for (release, files) in releases(&self.targets.targets)? {
            if before.get(release) != Some(&files) {
                self.place.keep(release, &files)?;
            }
        }
        Ok(())
    }

    /// Whether the published targets are signed by a key that is not in use any more.
    fn is_signed_by_others(&self) -> anyhow::Result<bool> {
        let Ok((_, bytes)) = self.published() else { return Ok(true) };
        let root = self.keys.root();
        Ok(Document::parse(&bytes)?.verify(&root.roles.targets, &root.keys).is_err())
    }
}

fn blob(target: &Target) -> anyhow::Result<Blob> {
    let digest = target.sha256().context("a target without a SHA-256")?.parse()?;
    Ok(Blob { digest, size: target.length })
}

/// The files of each release, by their names.
pub type Releases<'a> = BTreeMap<&'a str, Vec<(&'a str, Blob)>>;

/// Those of these targets.
pub fn releases(targets: &BTreeMap<String, Target>) -> anyhow::Result<Releases<'_>> {
    let mut releases = Releases::new();
    for (name, target) in targets {
        let (release, file) = name.rsplit_once('/').with_context(|| format!("{name} is no target's name"))?;
        releases.entry(release).or_default().push((file, blob(target)?));
    }
    Ok(releases)
}

/// The targets that wait for signatures, if any do: what is added is added to those.
fn resume(targets: Targets, keys: &Keyring) -> anyhow::Result<Targets> {
    let Some(waiting) = keys.waiting(targets.common.version + 1)? else { return Ok(targets) };
    let is_in =
        |(name, target): (&String, &Target)| waiting.targets.get(name).is_some_and(|new| new.hashes == target.hashes);
    if !targets.targets.iter().all(is_in) {
        let version = waiting.common.version;
        bail!("{version}.targets.json, which waits for signatures, is another folder's: publish there, or remove it");
    }
    Ok(waiting)
}

fn about(version: u64, bytes: &[u8]) -> MetaFile {
    let hashes = [("sha256".to_owned(), Digest::of(bytes).to_string())].into();
    MetaFile { version, length: Some(bytes.len() as u64), hashes }
}

/// The published state, if there is one. Its signatures are those of the keys that were in use then, so of any root of ours.
fn read(place: &dyn Place, keys: &Keyring) -> anyhow::Result<Option<(Targets, Before)>> {
    let Some(stamp) = place.read(TIMESTAMP)? else { return Ok(None) };
    let timestamp: Timestamp = one(TIMESTAMP, &stamp, keys, |roles| &roles.timestamp)?;
    let version = |meta: &BTreeMap<String, MetaFile>, name: &str| meta.get(name).map_or(0, |file| file.version);
    let file = |name: &str| place.read(name)?.with_context(|| format!("{name} is not there"));
    let name = format!("{}.snapshot.json", version(&timestamp.meta, "snapshot.json"));
    let snapshot: Snapshot = one(&name, &file(&name)?, keys, |roles| &roles.snapshot)?;
    let name = format!("{}.targets.json", version(&snapshot.meta, "targets.json"));
    let targets: Targets = one(&name, &file(&name)?, keys, |roles| &roles.targets)?;
    let before = Before {
        stamp,
        version: targets.common.version,
        targets: targets.targets.clone(),
        snapshot: snapshot.common.version,
        timestamp: timestamp.common.version,
    };
    Ok(Some((targets, before)))
}

fn one<M: Metadata>(name: &str, bytes: &[u8], keys: &Keyring, role: fn(&Roles) -> &Role) -> anyhow::Result<M> {
    let read = || format!("read {name}");
    let document = Document::parse(bytes).with_context(read)?;
    let mut roots = keys.roots().values().filter_map(|bytes| Root::trusted(bytes).ok());
    if !roots.any(|root| document.verify(role(&root.roles), &root.keys).is_ok()) {
        bail!("{name}: it was signed by other keys: does another publisher publish here?");
    }
    document.content().with_context(read)
}

#[cfg(test)]
mod tests {
    use super::super::place::Folder;
    use super::*;
    use crate::cli::KeysCommand;
    use crate::publish::keys;
    use serde_json::json;
    use std::fs;
    use std::num::NonZeroU32;

    struct Publisher(tempfile::TempDir);

    impl Publisher {
        fn new() -> Self {
            let publisher = Self(tempfile::tempdir().unwrap());
            let folder = publisher.0.path().join("keys");
            keys::run(&KeysCommand::New { folder, threshold: Vec::new(), key: Vec::new() }).unwrap();
            publisher
        }

        fn keys(&self) -> Keyring {
            Keyring::open(&self.0.path().join("keys")).unwrap()
        }

        fn shop(&self) -> anyhow::Result<Shop> {
            Shop::open(Box::new(self.place()), self.keys(), 7)
        }

        fn place(&self) -> Folder {
            Folder::open(&self.0.path().join("shop")).unwrap()
        }

        /// Offers a file of this content as the root of a version, and puts it out.
        fn publish(&self, version: &str, content: &str, date: &str) -> anyhow::Result<[u64; 3]> {
            let mut shop = self.shop()?;
            let file = self.0.path().join("file");
            fs::write(&file, content).unwrap();
            let hashes = [("sha256".to_owned(), Digest::of(content.as_bytes()).to_string())].into();
            let custom = json!({ "release": { "version": version, "date": date } });
            let target = Target { length: content.len() as u64, hashes, custom };
            shop.add(&format!("base/x86_64/{version}/root.erofs"), target, &file)?;
            shop.put_out()?;
            drop(shop);
            Ok(self.versions())
        }

        /// Of timestamp, snapshot and targets.
        fn versions(&self) -> [u64; 3] {
            let (_, before) = read(&self.place(), &self.keys()).unwrap().unwrap();
            [before.timestamp, before.snapshot, before.version]
        }
    }

    #[test]
    fn what_is_out_stays() {
        let publisher = Publisher::new();
        assert_eq!(publisher.publish("1", "one", "then").unwrap(), [1, 1, 1]);
        assert_eq!(publisher.publish("2", "two", "then").unwrap(), [2, 2, 2]);
        // The same once more: only the signatures are renewed.
        assert_eq!(publisher.publish("2", "two", "now").unwrap(), [3, 3, 2]);
        let error = publisher.publish("1", "another", "now").unwrap_err().to_string();
        assert!(error.contains("base/x86_64/1/root.erofs is published with other content"), "{error}");
        assert_eq!(publisher.versions(), [3, 3, 2]);
        let digest = Digest::of(b"one");
        let file = publisher.0.path().join(format!("shop/targets/base/x86_64/1/{digest}.root.erofs"));
        assert_eq!(fs::read_to_string(file).unwrap(), "one");
        let mut shop = publisher.shop().unwrap();
        assert_eq!(shop.targets_mut().count(), 2);
    }

    #[test]
    fn a_new_key_signs_anew() {
        let publisher = Publisher::new();
        publisher.publish("1", "one", "then").unwrap();
        let folder = publisher.0.path().join("keys");
        keys::run(&KeysCommand::Rotate { folder, role: RoleName::Targets, key: None, with: None }).unwrap();
        publisher.shop().unwrap().put_out().unwrap();
        assert_eq!(publisher.versions(), [2, 2, 2]);
        assert!(publisher.0.path().join("shop/metadata/2.root.json").exists());
    }

    #[test]
    fn readers_see_nothing_that_waits() {
        let publisher = Publisher::new();
        publisher.publish("1", "one", "then").unwrap();
        let path = |name: &str| publisher.0.path().join(name);
        // A second key has to sign from now on, which is not here.
        keys::run(&KeysCommand::Make { file: path("alice.pem") }).unwrap();
        let (folder, role) = (path("keys"), RoleName::Targets);
        keys::run(&KeysCommand::Add { folder, role, file: Some(path("alice.pub")) }).unwrap();
        keys::run(&KeysCommand::Threshold { folder: path("keys"), role, count: NonZeroU32::new(2).unwrap() }).unwrap();
        let waits = |result: anyhow::Result<[u64; 3]>, version: u64| {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(&format!("{version}.targets.json: waits for signatures")), "{error}");
        };
        let sign = |version: u64| {
            let documents = vec![path(&format!("keys/pending/{version}.targets.json"))];
            keys::run(&KeysCommand::Sign { documents, key: vec![path("alice.pem")] }).unwrap();
        };
        // What is out is not signed by two: the new root waits with it.
        waits(publisher.publish("2", "two", "then"), 2);
        assert_eq!(publisher.versions(), [1, 1, 1]);
        assert!(!path("shop/metadata/2.root.json").exists());
        sign(2);
        assert_eq!(publisher.publish("2", "two", "later").unwrap(), [2, 2, 2]);
        assert!(path("shop/metadata/3.root.json").exists());
        // What is out is renewed while the next one waits; one more is added to that, which has to be signed anew.
        waits(publisher.publish("3", "three", "then"), 3);
        assert_eq!(publisher.versions(), [3, 3, 2]);
        sign(3);
        waits(publisher.publish("4", "four", "then"), 3);
        assert_eq!(publisher.versions(), [4, 4, 2]);
        assert_eq!(publisher.shop().unwrap().targets_mut().count(), 4);
        sign(3);
        publisher.shop().unwrap().put_out().unwrap();
        assert_eq!(publisher.versions(), [5, 5, 3]);
        // And then there is nothing new.
        publisher.shop().unwrap().put_out().unwrap();
        assert_eq!(publisher.versions(), [6, 6, 3]);
        // Until its time would be up before the timestamp's: then both sign the same once more.
        let mut shop = Shop::open(Box::new(publisher.place()), publisher.keys(), DAYS as u32 + 1).unwrap();
        waits(shop.put_out().map(|()| [0; 3]), 4);
        drop(shop);
        sign(4);
        publisher.shop().unwrap().put_out().unwrap();
        assert_eq!(publisher.versions(), [8, 8, 4]);
    }

    #[test]
    fn anothers_folder_is_left_alone() {
        let (one, other) = (Publisher::new(), Publisher::new());
        one.publish("1", "one", "then").unwrap();
        let error = Shop::open(Box::new(one.place()), other.keys(), 7).unwrap_err();
        assert!(format!("{error:#}").contains("signed by other keys"), "{error:#}");
    }

    #[test]
    fn two_at_once_do_not_mix() {
        let publisher = Publisher::new();
        publisher.publish("1", "one", "then").unwrap();
        let mut shop = publisher.shop().unwrap();
        fs::write(publisher.0.path().join("shop/metadata/timestamp.json"), "another").unwrap();
        let error = shop.put_out().unwrap_err().to_string();
        assert!(error.contains("somebody else has published there meanwhile"), "{error}");
    }
}
