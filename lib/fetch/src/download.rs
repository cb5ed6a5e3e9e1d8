//! A blob into a file: goes on with what the file already holds, by a closed range whose answer is checked
//! exactly, and starts over where the server does not know ranges.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::client::{Answer, Client};
use crate::digest::{Blob, Digest, hash_into};
use crate::error::{Cause, Error};

/// Less than this is not headway: a server that cuts after every few bytes must not keep us for ever.
const HEADWAY: u64 = 64 * 1024;

impl Client {
    /// Completes `file` to the blob. `progress` hears how many bytes of the blob are there; it goes back when
    /// the transfer starts over. On an error the file keeps what arrived, so that a later call goes on.
    ///
    /// # Errors
    /// After the policy's tries without headway, or at once where another try cannot help.
    pub fn download(
        &self,
        url: &str,
        blob: &Blob,
        file: &mut File,
        path: &Path,
        progress: &dyn Fn(u64),
    ) -> Result<(), Error> {
        Part::adopt(file, path, blob, progress)
            .and_then(|mut part| self.complete(url, &mut part))
            .map_err(|cause| Error::new(url, cause))
    }

    fn complete(&self, url: &str, part: &mut Part) -> Result<(), Cause> {
        let mut tries = self.tries();
        let mut best = part.length;
        let mut started_over = false;
        loop {
            let cause = match self.attempt(url, part) {
                Ok(()) => match part.verdict() {
                    Ok(()) => return Ok(()),
                    // What was there before may be the culprit; a fresh copy decides.
                    Err(wrong) if started_over => return Err(wrong),
                    Err(_) => {
                        started_over = true;
                        part.clear()?;
                        continue;
                    }
                },
                Err(cause) => cause,
            };
            if part.length >= best + HEADWAY {
                best = part.length;
                tries.reset();
            }
            tries.after(cause)?;
        }
    }

    fn attempt(&self, url: &str, part: &mut Part) -> Result<(), Cause> {
        let want = part.blob.size;
        if part.length == want {
            return Ok(());
        }
        let range = (part.length > 0).then(|| (part.length, want - 1));
        let mut answer = self.ask(url, range)?;
        match (answer.status, range) {
            (206, Some((first, last))) => check_range(&answer, first, last, want)?,
            (200, _) => {
                check_length(&answer, want)?;
                part.clear()?;
            }
            // The server holds something shorter; only a whole copy can tell what.
            (416, Some(_)) => {
                part.clear()?;
                return self.attempt(url, part);
            }
            (status, _) => return Err(Cause::Status(status)),
        }
        while let Some(chunk) = answer.next_chunk(part.length, want)? {
            part.append(chunk)?;
        }
        if part.length < want { Err(Cause::Cut { got: part.length, want }) } else { Ok(()) }
    }
}

pub(crate) fn check_range(answer: &Answer, first: u64, last: u64, total: u64) -> Result<(), Cause> {
    let want = format!("bytes {first}-{last}/{total}");
    let got = answer.content_range.clone().unwrap_or_default();
    if got == want { Ok(()) } else { Err(Cause::Range { got, want }) }
}

pub(crate) fn check_length(answer: &Answer, want: u64) -> Result<(), Cause> {
    match answer.length {
        Some(got) if got != want => Err(Cause::Size { got, want }),
        _ => Ok(()),
    }
}

/// A file that holds the first `length` bytes of a blob, with the hash of them.
struct Part<'a> {
    file: &'a mut File,
    path: &'a Path,
    blob: &'a Blob,
    hash: Sha256,
    length: u64,
    progress: &'a dyn Fn(u64),
}

impl<'a> Part<'a> {
    fn adopt(file: &'a mut File, path: &'a Path, blob: &'a Blob, progress: &'a dyn Fn(u64)) -> Result<Self, Cause> {
        let mut part = Self { file, path, blob, hash: Sha256::new(), length: 0, progress };
        let read = part.file.seek(SeekFrom::Start(0));
        let read = read.and_then(|_| hash_into(&mut part.hash, part.file));
        part.length = read.map_err(|e| Cause::file(path, e))?;
        if part.length > blob.size {
            part.clear()?;
        }
        progress(part.length);
        Ok(part)
    }

    fn clear(&mut self) -> Result<(), Cause> {
        let cleared = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        cleared.map_err(|e| Cause::file(self.path, e))?;
        self.hash = Sha256::new();
        self.length = 0;
        (self.progress)(0);
        Ok(())
    }

    fn append(&mut self, chunk: &[u8]) -> Result<(), Cause> {
        let limit = self.blob.size;
        if self.length + chunk.len() as u64 > limit {
            return Err(Cause::TooLarge { limit });
        }
        self.file.write_all(chunk).map_err(|e| Cause::file(self.path, e))?;
        self.hash.update(chunk);
        self.length += chunk.len() as u64;
        (self.progress)(self.length);
        Ok(())
    }

    fn verdict(&self) -> Result<(), Cause> {
        let (got, want) = (Digest::finish(self.hash.clone()), self.blob.digest);
        if got == want { Ok(()) } else { Err(Cause::Digest { got, want }) }
    }
}
