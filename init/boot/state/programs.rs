//! e2fsprogs: making, checking and growing the file system.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::process::{Command, Output, Stdio};

use crate::disk::new_id;
use crate::error::Error;
use crate::ext4::Superblock;
use crate::problem;

const MAKE: &str = "/usr/sbin/mkfs.ext4";
const CHECK: &str = "/usr/sbin/e2fsck";
const GROW: &str = "/usr/sbin/resize2fs";

/// Everything that the machine's mke2fs.conf could decide is decided here, so that all machines have the same. What can
/// be written later is: making a file system takes a moment, whatever the disk's size.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                        large_file,huge_file,dir_nlink,extra_isize,metadata_csum";
const EXTENDED: &str = "lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0";
const MAKE_OPTIONS: [&str; 17] = [
    "-q",
    "-F",
    "-F",
    "-L",
    "state",
    "-O",
    FEATURES,
    "-b",
    "4096",
    "-I",
    "256",
    "-i",
    "16384",
    "-m",
    "1",
    "-e",
    "remount-ro",
];
/// e2fsck(8): errors are left.
const UNCORRECTED: i32 = 4;
/// A resize that gains less is not worth its start.
const WORTH_GROWING: u64 = 1 << 20;
/// Of what a program says, the first lines tell.
const FIRST_LINES: usize = 3;

/// Makes the file system and returns when it is on the disk. Its identity comes from the kernel, which gives what
/// it has; mke2fs would wait for entropy on a first boot, for seconds.
pub fn make(device: &str) -> Result<(), Error> {
    let (id, seed) = (new_id()?.to_string(), new_id()?.to_string());
    let extended = format!("{EXTENDED},hash_seed={seed}");
    run(MAKE, &[&MAKE_OPTIONS[..], &["-E", &extended, "-U", &id]].concat(), device)?;
    let synced = File::open(device).and_then(|file| file.sync_all());
    synced.map_err(Error::at("write", device))
}

/// Checks it if it was not unmounted cleanly; repairs what can be repaired without a decision.
pub fn check(device: &str) -> Result<(), Error> {
    let damaged = |why: String| Error::Damaged { device: device.to_owned(), why };
    let file = File::open(device).map_err(Error::at("open", device))?;
    let superblock = Superblock::read(&file).map_err(Error::at("read", device))?;
    match superblock {
        Some(superblock) if superblock.is_clean => return Ok(()),
        Some(_) => problem::note(&format!("{device} was not unmounted cleanly: checking it")),
        // There are copies of it, but which one holds is not for a program to guess.
        None => return Err(damaged("its superblock is gone".to_owned())),
    }
    let output = start(CHECK, &["-p"], device)?;
    let code = output.status.code().unwrap_or(UNCORRECTED);
    if code & !3 == 0 { Ok(()) } else { Err(damaged(first_lines(&output))) }
}

/// Grows the mounted file system to its partition.
pub fn grow(device: &str) -> Result<(), Error> {
    let mut file = File::open(device).map_err(Error::at("open", device))?;
    let partition = file.seek(SeekFrom::End(0)).map_err(Error::at("read", device))?;
    let superblock = Superblock::read(&file).map_err(Error::at("read", device))?;
    match superblock {
        Some(superblock) if partition.saturating_sub(superblock.bytes) >= WORTH_GROWING => run(GROW, &[], device),
        _ => Ok(()),
    }
}

fn run(program: &'static str, options: &[&str], device: &str) -> Result<(), Error> {
    let output = start(program, options, device)?;
    if output.status.success() {
        return Ok(());
    }
    let (device, status) = (device.to_owned(), output.status.to_string());
    Err(Error::Program { program, device, status, output: first_lines(&output) })
}

fn start(program: &'static str, options: &[&str], device: &str) -> Result<Output, Error> {
    let mut command = Command::new(program);
    command.args(options).arg(device).stdin(Stdio::null()).env_clear().env("PATH", "/usr/sbin:/usr/bin");
    command.output().map_err(Error::at("start", program))
}

fn first_lines(output: &Output) -> String {
    let said = [&output.stderr[..], &output.stdout[..]].concat();
    let said = String::from_utf8_lossy(&said);
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.take(FIRST_LINES).collect::<Vec<_>>().join("; ")
}
