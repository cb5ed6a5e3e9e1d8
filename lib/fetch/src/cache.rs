//! A folder of blobs named by their digest, shared by any number of processes.
//!
//! `DIGEST` is complete, `DIGEST.part` is on its way. Who downloads holds a lock on the part file; the rename
//! to `DIGEST` is the only way in, so a complete name never holds half a blob. A lock goes with its process.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::client::Client;
use crate::digest::{Blob, Digest};
use crate::error::{Cause, Error};

/// A content-addressed cache.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens the cache in a folder, which is made where it is missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// Path of a blob that is here with the right size. Costs one stat; [`Cache::read`] also checks the digest.
    pub fn get(&self, blob: &Blob) -> Option<PathBuf> {
        let path = self.path(blob.digest);
        let found = fs::metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() == blob.size);
        found.then_some(path)
    }

    /// Content of a blob, with its digest checked. A damaged entry is removed and counts as absent.
    ///
    /// # Errors
    /// The file cannot be read or removed.
    pub fn read(&self, blob: &Blob) -> io::Result<Option<Vec<u8>>> {
        let path = self.path(blob.digest);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        if bytes.len() as u64 == blob.size && Digest::of(&bytes) == blob.digest {
            return Ok(Some(bytes));
        }
        remove_if_there(&path)?;
        Ok(None)
    }

    /// Path of a blob, fetched when it is not here. Another process that fetches the same blob is waited for.
    ///
    /// # Errors
    /// Those of [`Client::download`], and of the folder.
    pub fn fetch(&self, client: &Client, url: &str, blob: &Blob, progress: &dyn Fn(u64)) -> Result<PathBuf, Error> {
        if let Some(path) = self.get(blob) {
            progress(blob.size);
            return Ok(path);
        }
        let part_path = self.folder.join(format!("{}.part", blob.digest));
        let local = |e| Error::new(url, Cause::file(&part_path, e));
        let mut part = lock_part(&part_path).map_err(local)?;
        let path = self.path(blob.digest);
        if self.get(blob).is_some() {
            // Somebody else was faster; the part is ours alone now, and empty.
            remove_if_there(&part_path).map_err(local)?;
            progress(blob.size);
            return Ok(path);
        }
        let outcome = client.download(url, blob, &mut part, &part_path, progress);
        if matches!(&outcome, Err(Error { cause: Cause::Digest { .. } | Cause::TooLarge { .. }, .. })) {
            remove_if_there(&part_path).map_err(local)?;
        }
        outcome?;
        fs::rename(&part_path, &path).map_err(local)?;
        Ok(path)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }
}

/// Opens and locks the part file. Between open and lock its name may have gone to another file, then again.
fn lock_part(path: &Path) -> io::Result<File> {
    loop {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.lock()?;
        if fs::metadata(path).is_ok_and(|named| is_same(&named, &file)) {
            return Ok(file);
        }
    }
}

fn is_same(named: &fs::Metadata, file: &File) -> bool {
    file.metadata().is_ok_and(|open| (open.dev(), open.ino()) == (named.dev(), named.ino()))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}
