//! FAT32 (Microsoft's "FAT File System Specification" 1.03) as EFI system partitions have it: made from a tree that
//! is known before, so that every file lies in one piece and the same tree gives the same bytes; and read, from
//! whatever the medium holds.
//!
//! Here: the tree. `name` knows what directory entries look like, `write` lays out and writes, `read` reads.
//! Changing a volume that is in use is the kernel's.

mod name;
mod read;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::io;

pub use read::{Entry, Volume};
pub use write::Image;

/// Bytes of a sector that is made here, and of the unit in which a medium writes all or nothing.
pub const SECTOR: usize = 512;
/// Bytes of a directory entry; a name longer than 8.3 takes one for every 13 characters, and one more.
pub const ENTRY: usize = 32;
const READ_ONLY: u8 = 0x01;
const HIDDEN: u8 = 0x02;
const SYSTEM: u8 = 0x04;
const VOLUME_LABEL: u8 = 0x08;
const DIRECTORY: u8 = 0x10;
const ARCHIVE: u8 = 0x20;
/// The attributes of the entries that hold parts of a long name.
const LONG_NAME: u8 = READ_ONLY | HIDDEN | SYSTEM | VOLUME_LABEL;
const END_OF_CHAIN: u32 = 0x0fff_fff8;
const CLUSTER_MASK: u32 = 0x0fff_ffff;

/// A directory, with borrowed file contents.
#[derive(Clone, Debug, Default)]
pub struct Directory<'a> {
    entries: BTreeMap<String, Node<'a>>,
}

#[derive(Clone, Debug)]
enum Node<'a> {
    Directory(Directory<'a>),
    File(&'a [u8]),
}

/// A volume cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The medium cannot be read or written.
    #[error("access the FAT volume")]
    Disk(#[from] io::Error),
    /// A name that FAT cannot hold, or that is there already, perhaps with other capitals.
    #[error("add {path} to the FAT volume: its name {why}")]
    Name {
        /// Path in the volume.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A size for which no FAT32 can be made.
    #[error("make a FAT32 volume of {0} bytes: it takes 260 MiB to 2 TiB")]
    Size(u64),
    /// The tree is larger than the volume.
    #[error("fill the FAT volume: the files need {needs} bytes, it has {has}")]
    Full {
        /// Bytes in whole clusters.
        needs: u64,
        /// Bytes in whole clusters.
        has: u64,
    },
    /// Not FAT32, or damaged.
    #[error("read the FAT volume: {0}")]
    Damaged(&'static str),
    /// A path is not there, or is of the other kind.
    #[error("read {path} of the FAT volume: {why}")]
    Path {
        /// Path in the volume.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

impl<'a> Directory<'a> {
    /// Adds a file, and the directories that lead to it.
    ///
    /// # Errors
    /// A name cannot be used.
    pub fn add(&mut self, path: &str, content: &'a [u8]) -> Result<(), Error> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let directory = self.folder(folder)?;
        directory.check(name).map_err(|why| Error::Name { path: path.to_owned(), why })?;
        match directory.entries.insert(name.to_owned(), Node::File(content)) {
            Some(_) => Err(Error::Name { path: path.to_owned(), why: "is there already" }),
            None => Ok(()),
        }
    }

    /// Adds a directory, and those that lead to it, as far as they are not there.
    ///
    /// # Errors
    /// A name cannot be used.
    pub fn folder(&mut self, path: &str) -> Result<&mut Self, Error> {
        let mut directory = self;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            directory.check(part).map_err(|why| Error::Name { path: path.to_owned(), why })?;
            let node = directory.entries.entry(part.to_owned()).or_insert_with(|| Node::Directory(Self::default()));
            directory = match node {
                Node::Directory(below) => below,
                Node::File(_) => return Err(Error::Name { path: path.to_owned(), why: "is a file's" }),
            };
        }
        Ok(directory)
    }

    /// Directory entries of 32 bytes that it takes, `.` and `..` included.
    pub fn entries(&self) -> usize {
        2 + self.entries.keys().map(|name| name::entries(name)).sum::<usize>()
    }

    /// Names differ in more than capitals.
    fn check(&self, name: &str) -> Result<(), &'static str> {
        if self.entries.keys().any(|other| other != name && other.eq_ignore_ascii_case(name)) {
            return Err("is there with other capitals");
        }
        name::check(name)
    }
}
