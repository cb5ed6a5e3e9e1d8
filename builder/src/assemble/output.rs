//! Files that are there whole, or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use super::Error;

/// A file under a temporary name. Dropped, it is gone; kept, it has its own name.
pub struct Pending {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
}

impl Pending {
    /// An empty file.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(folder: &Path, name: &str) -> Result<Self, Error> {
        let (path, temporary) = (folder.join(name), folder.join(format!("{name}.new")));
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&temporary);
        let file = file.map_err(|e| Error::file(&temporary, e))?;
        Ok(Self { file, temporary, path })
    }

    /// A file with a content.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn with(folder: &Path, name: &str, content: &[u8]) -> Result<Self, Error> {
        let mut pending = Self::create(folder, name)?;
        pending.file.write_all(content).map_err(|e| Error::file(&pending.temporary, e))?;
        Ok(pending)
    }

    /// The file, to write to.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name that it will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its own name.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub fn keep(self) -> Result<(), Error> {
        fs::rename(&self.temporary, &self.path).map_err(|e| Error::file(&self.path, e))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After `keep` there is none of that name.
        let _ = fs::remove_file(&self.temporary);
    }
}
