//! Steps that were done before: their results, in folders named by the digest of all that went in.
//!
//! A folder is there whole or not at all. The newest few are kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context as _;
use ashlar_fetch::Digest;

/// Results that are kept; one of a root is some 150 MB.
const KEPT: usize = 8;

/// A folder of results.
pub struct Steps {
    folder: PathBuf,
}

/// What goes into a step, told piece by piece.
#[derive(Clone, Debug)]
pub struct Key(Vec<u8>);

impl Key {
    /// A step by its name. This program is part of every step's input.
    pub fn new(step: &str, ourselves: Digest) -> Self {
        Self(Vec::new()).with("step", step.as_bytes()).with("by", ourselves.to_string().as_bytes())
    }

    /// One more thing that goes in.
    pub fn with(mut self, name: &str, content: &[u8]) -> Self {
        let line = format!("{name}={}:{}\n", content.len(), Digest::of(content));
        self.0.extend_from_slice(line.as_bytes());
        self
    }

    /// The digest of all.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

/// The digest of this program.
///
/// # Errors
/// Its file cannot be read.
pub fn ourselves() -> anyhow::Result<Digest> {
    let read = || Digest::of_reader(&mut fs::File::open(std::env::current_exe()?)?);
    read().context("read this program's own file")
}

impl Steps {
    /// Opens a folder, which is made where it is missing.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn open(folder: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// The folder with a step's results; `make` writes them into an empty one where they are missing.
    ///
    /// # Errors
    /// Those of `make`, and of the folder. Nothing is left behind then.
    pub fn result(&self, key: &Key, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(key.digest().to_string());
        if path.is_dir() {
            // Used now: among the newest again.
            let _ = fs::File::open(&path).and_then(|folder| folder.set_modified(SystemTime::now()));
            return Ok(path);
        }
        let part = Scratch::new(&self.folder)?;
        make(part.path())?;
        match fs::rename(part.path(), &path) {
            // Another build was faster.
            Err(_) if path.is_dir() => {}
            outcome => outcome.with_context(|| format!("write {}", path.display()))?,
        }
        self.prune(&path).with_context(|| format!("clean up {}", self.folder.display()))?;
        Ok(path)
    }

    /// A folder for the time being.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn scratch(&self) -> anyhow::Result<Scratch> {
        Scratch::new(&self.folder)
    }

    fn prune(&self, newest: &Path) -> io::Result<()> {
        let mut results = Vec::new();
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let is_result = entry.file_name().to_string_lossy().parse::<Digest>().is_ok();
            if is_result && entry.path() != newest {
                results.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        results.sort_by(|a, b| b.cmp(a));
        for (_, path) in results.into_iter().skip(KEPT) {
            fs::remove_dir_all(path)?;
        }
        Ok(())
    }
}

/// A folder that goes away with the value.
pub struct Scratch(PathBuf);

impl Scratch {
    fn new(beside: &Path) -> anyhow::Result<Self> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = beside.join(format!("part.{}.{number}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).with_context(|| format!("make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_once_and_leaves_no_ruins() {
        let folder = tempfile::tempdir().unwrap();
        let steps = Steps::open(folder.path().join("steps")).unwrap();
        let key = Key::new("s", Digest::of(b"")).with("a", b"1");
        let names = || fs::read_dir(folder.path().join("steps")).unwrap().count();
        assert!(steps.result(&key, |_| anyhow::bail!("no")).is_err());
        assert_eq!(names(), 0);
        let made = steps.result(&key, |path| Ok(fs::write(path.join("x"), "1")?)).unwrap();
        assert_eq!(fs::read(made.join("x")).unwrap(), b"1");
        assert_eq!(steps.result(&key, |_| anyhow::bail!("no")).unwrap(), made);
        let other = key.with("b", b"");
        assert!(steps.result(&other, |_| anyhow::bail!("no")).is_err());
        for number in 0..20u8 {
            let key = Key::new("s", Digest::of(&[number]));
            steps.result(&key, |_| Ok(())).unwrap();
        }
        assert_eq!(names(), KEPT + 1);
    }

    #[test]
    fn keys_tell_pieces_apart() {
        let key = || Key::new("s", Digest::of(b""));
        assert_ne!(key().with("a", b"12").digest(), key().with("a", b"1").with("a", b"2").digest());
        assert_ne!(key().with("a", b"").digest(), key().with("b", b"").digest());
        assert_eq!(key().with("a", b"1").digest(), key().with("a", b"1").digest());
    }
}
