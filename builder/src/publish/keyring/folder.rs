//! The folder of keys: all roots so far, `N.root.json`, the files of keys, and in `pending` what lacks signatures.
//!
//! Which key counts for what is said by the newest root and nowhere else: the names of files are for people. So nothing has to be
//! renamed when a root takes effect, and that is one rename: a next root is written to `pending`, signed by all keys that are here, and moves up
//! as soon as there are enough signatures, of the keys of the root before it and of its own.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::num::NonZeroU32;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ashlar_formats::tuf::{Common, Document, Error, Key, KeyId, Role, RoleName, Roles, Root};

use super::in_days;
use super::key_file::KeyFile;

/// Where documents wait for signatures.
pub const PENDING: &str = "pending";
/// A root is replaced before that.
const ROOT_DAYS: u64 = 10 * 365;
/// Digits of a key's id that people are shown, and have to give at least.
const DIGITS: usize = 12;

/// The folder, as it is now.
#[derive(Debug)]
pub struct Folder {
    pub path: PathBuf,
    /// Bytes of all roots, by version.
    pub roots: BTreeMap<u64, Vec<u8>>,
    /// None while the first root waits for signatures.
    pub newest: Option<Root>,
    pub keys: Vec<KeyFile>,
    /// Keys that are here, and could not sign the root that waits: why.
    pub refused: Vec<String>,
}

/// What a role of a new folder gets.
#[derive(Debug)]
pub struct Share {
    /// How many have to sign.
    pub threshold: NonZeroU32,
    /// Keys to make.
    pub made: usize,
    /// Keys that there are.
    pub taken: Vec<KeyFile>,
}

/// Whose signatures a document needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Need {
    /// For people: `root 3`, or a role's name.
    pub whose: String,
    pub role: Role,
    pub keys: BTreeMap<KeyId, Key>,
}

/// A document in [`PENDING`].
#[derive(Debug)]
pub struct Waiting {
    pub path: PathBuf,
    pub document: Document,
    pub needs: Vec<Need>,
}

impl Folder {
    /// Makes a folder with keys for each role, and the first root.
    pub fn make(path: &Path, shares: BTreeMap<RoleName, Share>) -> anyhow::Result<Self> {
        let make = || format!("make {}", path.display());
        if fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{}: there is something in it already; name a new folder", make());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(make)?;
        let mut folder = Self::empty(path);
        // Half a folder would be in the way of the next try.
        folder.fill(shares).inspect_err(|_| drop(fs::remove_dir_all(path)))?;
        Ok(folder)
    }

    fn empty(path: &Path) -> Self {
        Self { path: path.to_owned(), roots: BTreeMap::new(), newest: None, keys: Vec::new(), refused: Vec::new() }
    }

    fn fill(&mut self, shares: BTreeMap<RoleName, Share>) -> anyhow::Result<()> {
        let nobody = || Role { keyids: Vec::new(), threshold: NonZeroU32::MIN };
        let roles = Roles { root: nobody(), timestamp: nobody(), snapshot: nobody(), targets: nobody() };
        let common = Common::new::<Root>(1, in_days(ROOT_DAYS));
        let mut root = Root { common, consistent_snapshot: true, keys: BTreeMap::new(), roles };
        for (role, share) in shares {
            root.roles.get_mut(role).threshold = share.threshold;
            let is_only = share.made == 1 && share.taken.is_empty();
            for file in &share.taken {
                let key = self.take(role, file)?;
                add(&mut root, role, key)?;
            }
            for _ in 0..share.made {
                let name = if is_only { format!("{role}.pem") } else { self.free_name(role) };
                let key = self.make_key(&name)?;
                add(&mut root, role, key)?;
            }
        }
        self.issue(root)
    }

    /// Opens a folder. Its roots are checked, one after the other; one that has got enough signatures since is the newest.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let mut folder = Self { keys: read_keys(path)?, ..Self::empty(path) };
        for version in 1.. {
            let path = folder.root_path(version);
            let Ok(bytes) = fs::read(&path) else { break };
            let root = folder.follow(&bytes).with_context(|| format!("read {}", path.display()))?;
            folder.newest = Some(root);
            folder.roots.insert(version, bytes);
        }
        folder.move_up()?;
        if folder.newest.is_none() && !folder.pending_root().exists() {
            bail!("open keys {}: there is no 1.root.json; `ashlar keys new` makes such a folder", path.display());
        }
        Ok(folder)
    }

    /// The next root, which differs from the newest one, or from the one that waits already, by one thing.
    pub fn change(&mut self, alter: impl FnOnce(&mut Self, &mut Root) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let waiting = self.waiting_root()?.map(|waiting| waiting.document.content::<Root>());
        let mut root = waiting.transpose()?.or_else(|| self.newest.clone()).context("there is no root")?;
        alter(self, &mut root)?;
        self.issue(root)
    }

    /// What lacks signatures.
    pub fn waiting(&self) -> anyhow::Result<Vec<Waiting>> {
        let mut waiting: Vec<Waiting> = self.waiting_root()?.into_iter().collect();
        let targets = self.newest.as_ref().map(|root| Need::of(root, RoleName::Targets));
        for path in files(&self.path.join(PENDING), &["json"])? {
            if let (Some(need), true) = (&targets, path.to_string_lossy().ends_with(".targets.json")) {
                waiting.push(Waiting { document: parse(&path)?, path, needs: vec![need.clone()] });
            }
        }
        Ok(waiting)
    }

    /// Adds the signatures of a copy that was signed elsewhere.
    pub fn collect(&mut self, path: &Path) -> anyhow::Result<()> {
        let theirs = parse(path)?;
        let message = theirs.message()?;
        let ours = self.waiting()?.into_iter().find(|waiting| waiting.document.message().as_ref() == Ok(&message));
        let mut ours = ours.with_context(|| {
            format!(
                "collect {}: nothing in {} says the same: it has enough signatures already, or was changed since and \
                 has to be signed anew",
                path.display(),
                self.path.join(PENDING).display()
            )
        })?;
        for need in &ours.needs {
            for signature in theirs.signers(&need.role, &need.keys)? {
                ours.document.add(&need.keys[&signature.keyid], signature.sig.clone())?;
            }
        }
        replace(&ours.path, &ours.document.to_bytes())?;
        self.move_up()
    }

    /// Signs with the keys that are here until there are enough, and says which ones could not, and why.
    pub fn sign(&self, document: &mut Document, needs: &[Need]) -> anyhow::Result<Vec<String>> {
        let mut failed = Vec::new();
        for need in needs {
            for key in self.keys.iter().filter(|key| key.can_sign() && need.role.keyids.contains(&key.id)) {
                let signers = document.signers(&need.role, &need.keys)?;
                if signers.len() >= need.role.threshold.get() as usize {
                    break;
                }
                if !signers.iter().any(|signature| signature.keyid == key.id)
                    && let Err(error) = key.sign(document)
                {
                    failed.push(format!("{error:#}"));
                }
            }
        }
        Ok(failed)
    }

    /// Makes a key.
    pub fn make_key(&mut self, name: &str) -> anyhow::Result<Key> {
        Ok(self.hold(KeyFile::make(&self.path.join(name))?))
    }

    /// Copies a key's file into the folder, if it is not there.
    pub fn take(&mut self, role: RoleName, file: &KeyFile) -> anyhow::Result<Key> {
        let name = file.name();
        let name = if name.starts_with(&role.to_string()) { name } else { format!("{role}-{name}") };
        let place = self.path.join(name);
        if let Some(here) = self.keys.iter().find(|key| key.id == file.id && key.cost() <= file.cost()) {
            here.try_out()?;
            return Ok(here.public.clone());
        }
        let copy = || format!("copy {} to {}", file.path.display(), place.display());
        if place.exists() {
            bail!("{}: there is another key of that name", copy());
        }
        fs::copy(&file.path, &place).with_context(copy)?;
        let file = KeyFile::read(&place)?;
        file.try_out().inspect_err(|_| drop(fs::remove_file(&place)))?;
        Ok(self.hold(file))
    }

    fn hold(&mut self, file: KeyFile) -> Key {
        let public = file.public.clone();
        self.keys.push(file);
        public
    }

    /// For one more key of a role.
    pub fn free_name(&self, role: RoleName) -> String {
        let name = |number| format!("{role}-{number}.pem");
        (1..).map(name).find(|name| !self.path.join(name).exists()).unwrap_or_default()
    }

    /// A key as people call it: its file, or the beginning of its id.
    pub fn name(&self, id: &KeyId) -> String {
        self.keys.iter().find(|key| key.id == *id).map_or_else(|| format!("key {}", short(id)), KeyFile::name)
    }

    /// The key of a role that people mean by a file's name, with or without the role and the ending, or by the first digits of its id.
    pub fn find(&self, root: &Root, role: RoleName, text: &str) -> anyhow::Result<KeyId> {
        let is_meant = |id: &&KeyId| {
            let name = self.name(id);
            let stem = name.rsplit_once('.').map_or(name.as_str(), |(stem, _)| stem);
            let of_role = stem.strip_prefix(&role.to_string()).and_then(|rest| rest.strip_prefix('-'));
            name == text || stem == text || of_role == Some(text) || (text.len() >= DIGITS && id.starts_with(text))
        };
        let keyids = &root.roles.get(role).keyids;
        keyids.iter().find(is_meant).cloned().with_context(|| {
            let names: Vec<String> = keyids.iter().map(|id| self.name(id)).collect();
            format!("{text} is no key of {role}; its keys are {}", names.join(", "))
        })
    }

    pub fn root_path(&self, version: u64) -> PathBuf {
        self.path.join(format!("{version}.root.json"))
    }

    pub fn pending(&self, role: RoleName, version: u64) -> PathBuf {
        self.path.join(PENDING).join(format!("{version}.{role}.json"))
    }

    fn next(&self) -> u64 {
        self.newest.as_ref().map_or(1, |root| root.common.version + 1)
    }

    fn pending_root(&self) -> PathBuf {
        self.pending(RoleName::Root, self.next())
    }

    fn waiting_root(&self) -> anyhow::Result<Option<Waiting>> {
        let path = self.pending_root();
        if !path.exists() {
            return Ok(None);
        }
        let document = parse(&path)?;
        let root: Root = document.content().with_context(|| format!("read {}", path.display()))?;
        Ok(Some(Waiting { path, needs: self.root_needs(&root), document }))
    }

    /// Signs a next root as far as the keys here go.
    fn issue(&mut self, mut root: Root) -> anyhow::Result<()> {
        for name in RoleName::ALL {
            let role = root.roles.get(name);
            let (count, threshold) = (role.keyids.len(), role.threshold.get());
            if (count as u32) < threshold {
                bail!(
                    "{name} would have {count} keys, and {threshold} have to sign: add a key first (`ashlar keys add`), \
                     exchange it (`ashlar keys rotate`) or ask for fewer (`ashlar keys threshold`)"
                );
            }
        }
        let roles = root.roles.clone();
        root.keys.retain(|id, _| RoleName::ALL.iter().any(|name| roles.get(*name).keyids.contains(id)));
        root.common = Common::new::<Root>(self.next(), in_days(ROOT_DAYS));
        let mut document = Document::new(&root)?;
        self.refused = self.sign(&mut document, &self.root_needs(&root))?;
        replace(&self.pending_root(), &document.to_bytes())?;
        self.move_up()
    }

    /// The keys of the root before it, and its own.
    fn root_needs(&self, root: &Root) -> Vec<Need> {
        let mut needs: Vec<Need> = self.newest.iter().map(|old| Need::of(old, RoleName::Root)).collect();
        needs.push(Need::of(root, RoleName::Root));
        needs.dedup_by(|new, old| new.role == old.role);
        needs
    }

    /// Makes the root that waits the newest one, if enough keys have signed it.
    fn move_up(&mut self) -> anyhow::Result<()> {
        let (version, path) = (self.next(), self.pending_root());
        let Ok(bytes) = fs::read(&path) else { return Ok(()) };
        match self.follow(&bytes) {
            Ok(root) => {
                let place = self.root_path(version);
                fs::rename(&path, &place).with_context(|| format!("write {}", place.display()))?;
                let _ = fs::remove_dir(self.path.join(PENDING));
                self.newest = Some(root);
                self.roots.insert(version, bytes);
                Ok(())
            }
            Err(Error::Threshold { .. }) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    fn follow(&self, bytes: &[u8]) -> Result<Root, Error> {
        self.newest.as_ref().map_or_else(|| Root::trusted(bytes), |newest| newest.next(bytes))
    }
}

impl Need {
    /// Of a role, as a root has it.
    pub fn of(root: &Root, name: RoleName) -> Self {
        let whose = match name {
            RoleName::Root => format!("root {}", root.common.version),
            _ => name.to_string(),
        };
        Self { whose, role: root.roles.get(name).clone(), keys: root.keys.clone() }
    }
}

/// Lets a key sign for a role.
pub fn add(root: &mut Root, role: RoleName, key: Key) -> anyhow::Result<()> {
    let id = key.id()?;
    let keyids = &mut root.roles.get_mut(role).keyids;
    if keyids.contains(&id) {
        bail!("key {} is one of {role} already", short(&id));
    }
    keyids.push(id.clone());
    root.keys.insert(id, key);
    Ok(())
}

/// As much of an id as people compare.
pub fn short(id: &KeyId) -> &str {
    id.get(..DIGITS).unwrap_or(id)
}

/// Reads a document.
pub fn parse(path: &Path) -> anyhow::Result<Document> {
    let read = || format!("read {}", path.display());
    Document::parse(&fs::read(path).with_context(read)?).with_context(read)
}

/// Writes a file whole or not at all.
pub fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let fresh = path.with_added_extension("new");
    let write = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&fresh, bytes)?;
        File::open(&fresh)?.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Those of a folder with such an ending, by name; none if it is missing.
fn files(folder: &Path, endings: &[&str]) -> anyhow::Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    let mut paths = paths.with_context(|| format!("read {}", folder.display()))?;
    paths.retain(|path| path.extension().is_some_and(|found| endings.iter().any(|ending| found == *ending)));
    paths.sort();
    Ok(paths)
}

/// Those that sign first; of one that is there twice, what can sign is the one.
fn read_keys(folder: &Path) -> anyhow::Result<Vec<KeyFile>> {
    let read = files(folder, &["pem", "pub", "toml"])?.into_iter().map(|path| KeyFile::read(&path));
    let mut keys = read.collect::<anyhow::Result<Vec<KeyFile>>>()?;
    keys.sort_by_key(KeyFile::cost);
    let mut seen = std::collections::BTreeSet::new();
    keys.retain(|key| seen.insert(key.id.clone()));
    Ok(keys)
}
