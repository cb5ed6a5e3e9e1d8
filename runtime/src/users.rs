//! A user namespace that a process gets at the end of its set-up: whoever sets it up has the host's rights until then.
//!
//! Only somebody who stays outside may write the mappings: a copy of this process that does nothing else.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;

use ashlar_sys::namespace::{self, Kind};
use ashlar_sys::{credentials, process};

use crate::error::{Failure, InStep, Step};
use crate::sources;
use crate::spec::PrivateUsers;

const SUBJECT: &str = "the user namespace";
/// An error without a number (EIO).
const UNKNOWN: i32 = 5;

/// Enters a new one with these further groups, which have to be known by the numbers of the host.
pub(crate) fn enter(users: &PrivateUsers, groups: &[u32]) -> Result<(), Failure> {
    credentials::set_groups(groups).step(Step::Identity, "further groups")?;
    let own = std::process::id();
    let (mut gate, mut opener) = io::pipe().step(Step::MapIds, SUBJECT)?;
    let writer = process::fork(&[], None, || {
        // If the other end closes, there is nothing to be mapped.
        process::close_all_but(&[gate.as_raw_fd()]);
        let written = gate.read_exact(&mut [0]).and_then(|()| write(own, users));
        written.map_or_else(|error| error.raw_os_error().unwrap_or(UNKNOWN), |()| 0)
    })
    .step(Step::MapIds, SUBJECT)?;
    let made = namespace::unshare(&[Kind::User]).and_then(|()| opener.write_all(&[1]));
    drop(opener);
    let ended = process::wait(writer.pid);
    made.step(Step::Namespace, SUBJECT)?;
    match ended.step(Step::MapIds, SUBJECT)? {
        0 => Ok(()),
        errno => Err(Failure::new(Step::MapIds, SUBJECT, &io::Error::from_raw_os_error(errno))),
    }
}

fn write(pid: u32, users: &PrivateUsers) -> io::Result<()> {
    if !users.may_set_groups {
        fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    }
    sources::write_maps(pid, &users.uids, &users.gids)
}
