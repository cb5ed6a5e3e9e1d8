//! The publisher's keys, for who signs with them. Here: opening them, and signed documents of a role; `folder` has what is where
//! and the next root, `key_file` a single key, `state` what people are told.

mod folder;
mod key_file;
mod state;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use ashlar_formats::date::Date;
use ashlar_formats::tuf::{Document, Metadata, RoleName, Root, Targets};

pub use folder::{Folder, PENDING, Share, add, parse, replace, short};
pub use key_file::KeyFile;
pub use state::describe;

use folder::{Need, Waiting};

const DAY: u64 = 86_400;

/// A folder of keys whose first root is there.
#[derive(Debug)]
pub struct Keyring {
    folder: Folder,
    root: Root,
}

impl Keyring {
    /// Opens a folder.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let folder = Folder::open(path)?;
        let root = folder.newest.clone().with_context(|| {
            format!("open keys {}: the first root waits for signatures; `ashlar keys show` says whose", path.display())
        })?;
        Ok(Self { folder, root })
    }

    /// The newest root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Bytes of all roots, by version.
    pub fn roots(&self) -> &BTreeMap<u64, Vec<u8>> {
        &self.folder.roots
    }

    /// A signed file of a role. Targets may lack keys that are elsewhere: then they wait for signatures, and whoever signs the
    /// same ones again finds those.
    pub fn signed<M: Metadata>(&self, role: RoleName, content: &M) -> anyhow::Result<Vec<u8>> {
        let mut document = Document::new(content)?;
        let path = self.folder.pending(role, content.common().version);
        if path.exists() {
            let waiting = parse(&path)?;
            document = if waiting.message()? == document.message()? { waiting } else { document };
        }
        let needs = vec![Need::of(&self.root, role)];
        let failed = self.folder.sign(&mut document, &needs)?;
        if document.verify(self.root.roles.get(role), &self.root.keys).is_ok() {
            return Ok(document.to_bytes());
        }
        let failed: String = failed.iter().map(|why| format!("\n  {why}")).collect();
        if role != RoleName::Targets {
            let lack = self.folder.lack(&needs[0], &document)?;
            bail!("sign for {role}: {lack}, which {} has not, or cannot use{failed}", self.folder.path.display());
        }
        replace(&path, &document.to_bytes())?;
        let lacks = self.folder.lacks(&Waiting { path, document, needs })?;
        bail!(
            "{}\n  then publish again, which finishes it; until then readers see what was there before{failed}",
            lacks.trim_end()
        )
    }

    /// Targets of a version that wait for signatures.
    pub fn waiting(&self, version: u64) -> anyhow::Result<Option<Targets>> {
        let path = self.folder.pending(RoleName::Targets, version);
        if !path.exists() {
            return Ok(None);
        }
        let targets = parse(&path)?.content().with_context(|| format!("read {}", path.display()))?;
        Ok(Some(targets))
    }

    /// Targets of a version, and those before, wait no more.
    pub fn published(&self, version: u64) -> anyhow::Result<()> {
        for waiting in self.folder.waiting()? {
            if waiting.document.content::<Targets>().is_ok_and(|targets| targets.common.version <= version) {
                fs::remove_file(&waiting.path).with_context(|| format!("remove {}", waiting.path.display()))?;
            }
        }
        let _ = fs::remove_dir(self.folder.path.join(PENDING));
        Ok(())
    }
}

/// A point of time, so many days from now.
pub fn in_days(days: u64) -> Date {
    Date::from_seconds(Date::now().seconds() + days * DAY)
}

#[cfg(test)]
mod tests;
