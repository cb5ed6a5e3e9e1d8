//! The folder that an image is built into: one build at a time, new files beside the old ones until all are done, and
//! a note of what they were made of.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ashlar_fetch::Digest;

const LOCK: &str = ".lock";
const NEW: &str = ".new";
const NOTE: &str = ".made-of";

/// An output folder that is ours until the value goes away.
pub struct Output {
    folder: PathBuf,
    new: PathBuf,
    _lock: File,
}

impl Output {
    /// Opens a folder, made where it is missing, and waits for another build in it.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let open = || format!("open output folder {}", folder.display());
        fs::create_dir_all(folder).with_context(open)?;
        let path = folder.join(LOCK);
        let mut lock =
            File::options().read(true).write(true).create(true).truncate(false).open(&path).with_context(open)?;
        if lock.try_lock().is_err() {
            let mut who = String::new();
            let _ = lock.read_to_string(&mut who);
            eprintln!("wait for process {} that builds in {}", who.trim(), folder.display());
            lock.lock().with_context(open)?;
        }
        let note = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            writeln!(lock, "{}", std::process::id())
        };
        note(&mut lock).with_context(open)?;
        let new = folder.join(NEW);
        let output = Self { folder: folder.to_owned(), new, _lock: lock };
        output.clear();
        Ok(output)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Where new files are written.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new_files(&self) -> anyhow::Result<&Path> {
        fs::create_dir_all(&self.new).with_context(|| format!("make {}", self.new.display()))?;
        Ok(&self.new)
    }

    /// Whether the folder holds what would be made of the same, untouched since.
    pub fn is_made_of(&self, digest: Digest) -> bool {
        let note = fs::read_to_string(self.folder.join(NOTE)).unwrap_or_default();
        let mut lines = note.lines();
        let same = lines.next() == Some(digest.to_string().as_str());
        let mut files = lines.filter_map(|line| line.split_once(' ')).peekable();
        same && files.peek().is_some()
            && files.all(|(mark, name)| mark_of(&self.folder.join(name)).is_some_and(|found| found == mark))
    }

    /// Gives new files their place, and notes what they were made of.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn finish(&self, digest: Digest) -> anyhow::Result<()> {
        let note = self.folder.join(NOTE);
        let before = fs::read_to_string(&note).unwrap_or_default();
        let _ = fs::remove_file(&note);
        let mut text = format!("{digest}\n");
        let mut names: Vec<_> = fs::read_dir(&self.new)
            .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>())
            .with_context(|| format!("read {}", self.new.display()))?;
        names.sort();
        // Of an earlier build, and no part of this one: they would not belong together.
        for (_, name) in before.lines().filter_map(|line| line.split_once(' ')) {
            if !names.iter().any(|new| new == name) {
                let _ = fs::remove_file(self.folder.join(name));
            }
        }
        for name in names {
            let place = self.folder.join(&name);
            fs::rename(self.new.join(&name), &place).with_context(|| format!("write {}", place.display()))?;
            let mark = mark_of(&place).with_context(|| format!("look at {}", place.display()))?;
            text += &format!("{mark} {}\n", name.to_string_lossy());
        }
        fs::write(&note, text).with_context(|| format!("write {}", note.display()))
    }

    fn clear(&self) {
        let _ = fs::remove_dir_all(&self.new);
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Changes when a file does.
fn mark_of(path: &Path) -> Option<String> {
    let meta = fs::metadata(path).ok()?;
    Some(format!("{}:{}.{:09}:{}", meta.size(), meta.mtime(), meta.mtime_nsec(), meta.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"1");
        let output = Output::open(folder.path()).unwrap();
        assert!(!output.is_made_of(digest));
        fs::write(output.new_files().unwrap().join("a"), "x").unwrap();
        output.finish(digest).unwrap();
        assert!(output.is_made_of(digest));
        assert!(!output.is_made_of(Digest::of(b"2")));
        fs::write(output.new_files().unwrap().join("b"), "x").unwrap();
        output.finish(digest).unwrap();
        assert!(output.is_made_of(digest) && !folder.path().join("a").exists());
        fs::write(folder.path().join("b"), "changed").unwrap();
        assert!(!output.is_made_of(digest));
    }

    #[test]
    fn a_build_that_fails_leaves_the_old_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "old").unwrap();
        let output = Output::open(folder.path()).unwrap();
        fs::write(output.new_files().unwrap().join("a"), "half").unwrap();
        drop(output);
        assert_eq!(fs::read_to_string(folder.path().join("a")).unwrap(), "old");
        assert!(!folder.path().join(NEW).exists());
    }
}
