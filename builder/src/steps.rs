//! Steps that were done before: their results, in folders named by the digest of all that went in.
//!
//! A folder is there whole or not at all. The newest few are kept, and those that any build still reads.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use ashlar_fetch::Digest;

/// Results that are kept; one of a root is some 150 MB.
const KEPT: usize = 8;
/// No build takes so long: what is half done since then was left by one that was killed.
const LEFT: Duration = Duration::from_hours(24);
const PART: &str = "part.";

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
    pub fn result(&self, key: &Key, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<Kept> {
        let path = self.folder.join(key.digest().to_string());
        if let Ok(kept) = Kept::open(&path) {
            return Ok(kept);
        }
        let part = Scratch::new(&self.folder)?;
        make(part.path())?;
        let write = || match Kept::open(part.path()).and_then(|made| fs::rename(part.path(), &path).map(|()| made)) {
            Ok(made) => Ok(Kept { path: path.clone(), ..made }),
            // Another build was faster.
            Err(error) => Kept::open(&path).map_err(|_| error),
        };
        let kept = write().with_context(|| format!("write {}", path.display()))?;
        self.prune().with_context(|| format!("clean up {}", self.folder.display()))?;
        Ok(kept)
    }

    /// A folder for the time being.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn scratch(&self) -> anyhow::Result<Scratch> {
        Scratch::new(&self.folder)
    }

    /// Takes away what is old and read by nobody. Other builds may be doing the same.
    fn prune(&self) -> io::Result<()> {
        let mut results = Vec::new();
        let mut left = Vec::new();
        for entry in fs::read_dir(&self.folder)?.flatten() {
            let Ok(modified) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.parse::<Digest>().is_ok() {
                results.push((modified, entry.path()));
            } else if name.starts_with(PART) && modified.elapsed().is_ok_and(|age| age > LEFT) {
                left.push((modified, entry.path()));
            }
        }
        results.sort_by(|a, b| b.cmp(a));
        for (_, path) in results.into_iter().skip(KEPT).chain(left) {
            if File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok()) {
                // Not there any more at once, and then bit by bit.
                let away = Scratch::named(&self.folder);
                let _ = fs::rename(&path, away.path());
            }
        }
        Ok(())
    }
}

/// The results of a step, which stay as long as this is held.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    /// With a lock on it.
    _folder: File,
}

impl Kept {
    fn open(path: &Path) -> io::Result<Self> {
        let folder = File::open(path)?;
        folder.lock_shared()?;
        // It may have been taken away in between.
        if fs::metadata(path)?.ino() != folder.metadata()?.ino() {
            return Err(io::ErrorKind::NotFound.into());
        }
        // Used now: among the newest again.
        let _ = folder.set_modified(SystemTime::now());
        Ok(Self { path: path.to_owned(), _folder: folder })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A folder that goes away with the value.
pub struct Scratch(PathBuf);

impl Scratch {
    fn new(beside: &Path) -> anyhow::Result<Self> {
        let scratch = Self::named(beside);
        let path = scratch.path();
        let _ = fs::remove_dir_all(path);
        fs::create_dir_all(path).with_context(|| format!("make {}", path.display()))?;
        Ok(scratch)
    }

    /// Not made yet.
    fn named(beside: &Path) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self(beside.join(format!("{PART}{}.{number}", std::process::id())))
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

    fn key(number: usize) -> Key {
        Key::new("s", Digest::of(&number.to_le_bytes()))
    }

    #[test]
    fn makes_once_and_leaves_no_ruins() {
        let folder = tempfile::tempdir().unwrap();
        let steps = Steps::open(folder.path().join("steps")).unwrap();
        let key = Key::new("s", Digest::of(b"")).with("a", b"1");
        let names = || fs::read_dir(folder.path().join("steps")).unwrap().count();
        assert!(steps.result(&key, |_| anyhow::bail!("no")).is_err());
        assert_eq!(names(), 0);
        let made = steps.result(&key, |path| Ok(fs::write(path.join("x"), "1")?)).unwrap();
        assert_eq!(fs::read(made.path().join("x")).unwrap(), b"1");
        assert_eq!(steps.result(&key, |_| anyhow::bail!("no")).unwrap().path(), made.path());
        let other = key.with("b", b"");
        assert!(steps.result(&other, |_| anyhow::bail!("no")).is_err());
    }

    #[test]
    fn the_newest_are_kept_and_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let steps = Steps::open(folder.path().to_owned()).unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().count();
        let make = |number| steps.result(&key(number), |_| Ok(())).unwrap();
        let old = folder.path().join("part.1.0");
        fs::create_dir(&old).unwrap();
        File::open(&old).unwrap().set_modified(SystemTime::now() - LEFT * 2).unwrap();
        let read = make(0);
        (1..20).for_each(|number| drop(make(number)));
        assert!(read.path().is_dir());
        assert_eq!(names(), KEPT + 1);
        drop(read);
        make(20);
        assert_eq!(names(), KEPT);
    }

    #[test]
    fn builds_beside_each_other_keep_what_they_read() {
        let folder = tempfile::tempdir().unwrap();
        let build = |first: usize| {
            let steps = Steps::open(folder.path().to_owned()).unwrap();
            for number in 0..200 {
                let kept =
                    steps.result(&key((first + number) % 30), |path| Ok(fs::write(path.join("x"), "1")?)).unwrap();
                assert_eq!(fs::read(kept.path().join("x")).unwrap(), b"1");
            }
        };
        std::thread::scope(|scope| {
            for first in [0, 1, 7, 15] {
                scope.spawn(move || build(first));
            }
        });
    }

    #[test]
    fn keys_tell_pieces_apart() {
        let key = || Key::new("s", Digest::of(b""));
        assert_ne!(key().with("a", b"12").digest(), key().with("a", b"1").with("a", b"2").digest());
        assert_ne!(key().with("a", b"").digest(), key().with("b", b"").digest());
        assert_eq!(key().with("a", b"1").digest(), key().with("a", b"1").digest());
    }
}
