//! Why there is no /var: which disk, what it would have needed, what to do.

use std::io;
use std::path::PathBuf;

use ashlar_formats::gpt;

/// What a machine cannot do anything about by itself.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody says which disk is ours.
    #[error("cannot tell the disk of this boot from /run/ashlar/boot.json: {0}; start the machine from its disk")]
    Boot(String),
    /// The table cannot be read or does not fit the disk.
    #[error("{disk}: cannot {source}; the disk was damaged or cut short, write its image anew")]
    Table {
        /// The disk.
        disk: String,
        /// What is wrong with its table.
        source: gpt::Error,
    },
    /// The disk is full of slots.
    #[error(
        "{disk} has {free} MiB free behind its last partition, and state needs at least {needed}: make the disk larger"
    )]
    Room {
        /// The disk.
        disk: String,
        /// MiB that it has.
        free: u64,
        /// MiB that it should have.
        needed: u64,
    },
    /// A call failed.
    #[error("cannot {what} {path}: {source}")]
    Path {
        /// Verb.
        what: &'static str,
        /// Object.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file system program failed.
    #[error("{program} {device} failed ({status}): {output}")]
    Program {
        /// Which.
        program: &'static str,
        /// On which partition.
        device: String,
        /// How it ended.
        status: String,
        /// The first that it said.
        output: String,
    },
    /// Something else is there, such as what took its place when the machine started.
    #[error("cannot mount {device} on /var while {other} is mounted there: restart the machine")]
    Occupied {
        /// The partition.
        device: String,
        /// What is mounted.
        other: String,
    },
    /// Data may be lost, and a person has to decide.
    #[error(
        "the file system of {device} is damaged ({why}): repair it with `e2fsck -y {device}` as root and restart, or \
         give it up with `/usr/lib/ashlar/state forget`"
    )]
    Damaged {
        /// The partition.
        device: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// Makes an error of a path, for `map_err`.
    pub fn at(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Path { what, path: path.into(), source }
    }
}
