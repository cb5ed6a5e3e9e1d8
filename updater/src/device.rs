//! Reading and writing past the page cache, in blocks: what is read back comes from the medium, and a gigabyte that is
//! written once does not push everything else out of memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Error, at};

/// What a request's place, length and memory have to be multiples of.
pub const BLOCK: usize = 4096;
/// Bytes that are moved at a time.
pub const PIECE: usize = 1 << 20;
#[cfg(target_arch = "x86_64")]
const DIRECT: i32 = 0o40000;
#[cfg(target_arch = "aarch64")]
const DIRECT: i32 = 0o200000;
const INVALID: i32 = 22;

/// Memory for direct requests.
#[derive(Debug)]
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    /// Zeros.
    pub fn new(length: usize) -> Self {
        let memory = vec![0; length + BLOCK];
        let start = memory.as_ptr().align_offset(BLOCK);
        Self { memory, start, length }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

/// A partition, or a file in its place.
#[derive(Debug)]
pub struct Device {
    file: File,
    path: PathBuf,
}

impl Device {
    /// For reading.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::with(path, OpenOptions::new().read(true))
    }

    /// For both.
    pub fn open_writable(path: &Path) -> Result<Self, Error> {
        Self::with(path, OpenOptions::new().read(true).write(true))
    }

    fn with(path: &Path, options: &mut OpenOptions) -> Result<Self, Error> {
        let file = match options.custom_flags(DIRECT).open(path) {
            // Some file systems have no such way; partitions do.
            Err(error) if error.raw_os_error() == Some(INVALID) => options.custom_flags(0).open(path),
            other => other,
        };
        Ok(Self { file: file.map_err(at("open", path))?, path: path.to_owned() })
    }

    /// One that somebody else has opened.
    pub fn of(file: File, name: &Path) -> Self {
        Self { file, path: name.to_owned() }
    }

    /// To hand it over.
    pub fn into_file(self) -> File {
        self.file
    }

    /// Fills the buffer. Place and length are whole blocks.
    pub fn read(&self, buffer: &mut [u8], place: u64) -> Result<(), Error> {
        self.file.read_exact_at(buffer, place).map_err(at("read", &self.path))
    }

    /// Reads what there is, up to the buffer's length.
    pub fn read_some(&self, buffer: &mut [u8], place: u64) -> Result<usize, Error> {
        loop {
            match self.file.read_at(buffer, place) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(at("read", &self.path)),
            }
        }
    }

    /// Writes the buffer. Place and length are whole blocks.
    pub fn write(&self, buffer: &[u8], place: u64) -> Result<(), Error> {
        self.file.write_all_at(buffer, place).map_err(at("write", &self.path))
    }

    /// Has the medium keep it.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(at("write", &self.path))
    }
}
