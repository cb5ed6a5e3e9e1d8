//! Where releases are published: a folder, or a repository of a registry (see `repository`). It keeps files; what they mean is
//! the shop's affair.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ashlar_fetch::Blob;

const METADATA: &str = "metadata";
const LOCK: &str = ".lock";
const SCRATCH: &str = ".patch";

/// A place, ours until the value goes away.
pub trait Place: Debug {
    /// How people call it.
    fn name(&self) -> String;
    /// A file of metadata; `None` where there is none.
    fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>>;
    /// Writes a file of metadata, whole or not at all.
    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()>;
    /// Whether the file of a target is there.
    fn has(&self, target: &str, blob: &Blob) -> anyhow::Result<bool>;
    /// Brings the file of a target there, unless it is.
    fn add(&self, target: &str, blob: &Blob, file: &Path) -> anyhow::Result<()>;
    /// The file of a target, on this machine; `None` where it is not kept any more.
    fn file(&self, target: &str, blob: &Blob) -> anyhow::Result<Option<PathBuf>>;
    /// Has it keep the files of a release, by their names: IMAGE/ARCH/VERSION.
    fn keep(&self, release: &str, files: &[(&str, Blob)]) -> anyhow::Result<()>;
    /// For a file that is made before it is offered.
    fn scratch(&self) -> PathBuf;
}

/// A folder.
#[derive(Debug)]
pub struct Folder {
    folder: PathBuf,
    _lock: File,
}

impl Folder {
    /// Made where it is missing.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let lock = fs::create_dir_all(folder.join(METADATA)).and_then(|()| lock(folder));
        let lock = lock.with_context(|| format!("open published folder {}", folder.display()))?;
        Ok(Self { folder: folder.to_owned(), _lock: lock })
    }

    fn metadata(&self, name: &str) -> PathBuf {
        self.folder.join(METADATA).join(name)
    }

    fn target(&self, target: &str, blob: &Blob) -> anyhow::Result<PathBuf> {
        let (folder, base) = target.rsplit_once('/').with_context(|| format!("{target} is no target's name"))?;
        Ok(self.folder.join("targets").join(folder).join(format!("{}.{base}", blob.digest)))
    }
}

impl Place for Folder {
    fn name(&self) -> String {
        format!("published folder {}", self.folder.display())
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let path = self.metadata(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        put(&self.metadata(name), |fresh| fs::write(fresh, bytes))
    }

    fn has(&self, target: &str, blob: &Blob) -> anyhow::Result<bool> {
        Ok(self.target(target, blob)?.metadata().is_ok_and(|there| there.len() == blob.size))
    }

    fn add(&self, target: &str, blob: &Blob, file: &Path) -> anyhow::Result<()> {
        match self.has(target, blob)? {
            true => Ok(()),
            false => put(&self.target(target, blob)?, |fresh| fs::copy(file, fresh).map(drop)),
        }
    }

    fn file(&self, target: &str, blob: &Blob) -> anyhow::Result<Option<PathBuf>> {
        Ok(Some(self.target(target, blob)?).filter(|path| path.exists()))
    }

    /// Files stay where they are.
    fn keep(&self, _release: &str, _files: &[(&str, Blob)]) -> anyhow::Result<()> {
        Ok(())
    }

    fn scratch(&self) -> PathBuf {
        self.folder.join(SCRATCH)
    }
}

/// Waits until nobody else publishes with this folder.
pub fn lock(folder: &Path) -> io::Result<File> {
    let lock = File::options().write(true).create(true).truncate(false).open(folder.join(LOCK))?;
    lock.lock()?;
    Ok(lock)
}

/// Writes a file whole or not at all.
fn put(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> anyhow::Result<()> {
    let fresh = path.with_added_extension("new");
    let put = || {
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        write(&fresh)?;
        File::open(&fresh)?.sync_all()?;
        fs::rename(&fresh, path)
    };
    put().with_context(|| format!("write {}", path.display()))
}
