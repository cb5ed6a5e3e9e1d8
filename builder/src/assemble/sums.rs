//! SHA256SUMS: what `sha256sum --check` reads.

use std::fs::File;
use std::path::Path;
use std::thread;

use ashlar_fetch::Digest;

use super::Error;
use super::output::Pending;
use super::sparse::Sparse;

/// A line of the file: digest and name.
///
/// # Errors
/// The file cannot be read.
pub fn line(folder: &Path, name: &str) -> Result<String, Error> {
    let path = folder.join(name);
    let digest = File::open(&path).and_then(|file| Digest::of_reader(&mut Sparse::new(file)?));
    digest.map(|digest| format!("{digest}  {name}\n")).map_err(|e| Error::file(&path, e))
}

/// Writes the file: `lines`, then one for each of further files, each hashed by a thread of its own, in that order.
///
/// # Errors
/// A file cannot be read, or SHA256SUMS not be written.
pub fn write(folder: &Path, lines: &str, names: &[&str]) -> Result<(), Error> {
    let more: Result<String, Error> = thread::scope(|scope| {
        let workers: Vec<_> = names.iter().map(|name| scope.spawn(|| line(folder, name))).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|fault| std::panic::resume_unwind(fault)))
            .collect()
    });
    Pending::with(folder, "SHA256SUMS", (lines.to_owned() + &more?).as_bytes())?.keep()
}
