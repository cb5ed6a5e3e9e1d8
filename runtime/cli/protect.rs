//! Keeps the container from changing this very program: until it has executed the container's, a process in there can be
//! reached as /proc/PID/exe, and a container's root may be the host's (CVE-2019-5736).
//!
//! Where the program lies in a file system that nobody can write to, there is nothing to do. Elsewhere it executes itself
//! anew, from a read-only mount of its own that is nowhere to be found, or else from sealed memory.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use ashlar_sys::mounts::{self, Change, READ_ONLY};
use ashlar_sys::{filesystem, memfd, process};

use crate::{About, Failed};

const OWN: &str = "/proc/self/exe";

/// Comes back when the program cannot be written to.
pub fn this_program() -> Result<(), Failed> {
    let own = File::open(OWN).about("look at the runtime's own program")?;
    if filesystem::is_read_only(&own).unwrap_or(false) || memfd::is_sealed(&own) {
        return Ok(());
    }
    let safe = read_only().or_else(|_| sealed(&own)).about("protect the runtime's own program")?;
    let strings = |text: String| CString::new(text).ok();
    let arguments: Vec<CString> = std::env::args().filter_map(strings).collect();
    let variables = std::env::vars().filter_map(|(key, value)| strings(format!("{key}={value}"))).collect::<Vec<_>>();
    Err(process::execute_file(&safe, &arguments, &variables)).about("execute the runtime's own program anew")
}

fn read_only() -> io::Result<OwnedFd> {
    let own = mounts::clone_tree(None, Path::new(OWN), false)?;
    mounts::change(&own, &Change { set: READ_ONLY, ..Change::default() }, false)?;
    Ok(own)
}

fn sealed(mut own: &File) -> io::Result<OwnedFd> {
    let mut copy = memfd::create_sealable(c"ashlar-runtime")?;
    io::copy(&mut own, &mut copy)?;
    memfd::seal(&copy)?;
    Ok(copy.into())
}
