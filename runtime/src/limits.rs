//! Limits of a process by name.

use ashlar_sys::credentials;

use crate::error::{Failure, InStep, Step};
use crate::spec::Rlimit;

/// In the order of their numbers (getrlimit(2)).
const NAMES: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

/// The limits with as much as may be had in force at once.
pub(crate) fn raised(limits: &[Rlimit]) -> Vec<Rlimit> {
    limits.iter().map(|limit| Rlimit { kind: limit.kind.clone(), soft: limit.hard, hard: limit.hard }).collect()
}

/// Sets them all; process 0 is the caller.
pub(crate) fn set(pid: u32, limits: &[Rlimit]) -> Result<(), Failure> {
    limits.iter().try_for_each(|limit| {
        let number = NAMES.iter().position(|name| limit.kind.strip_prefix("RLIMIT_") == Some(name));
        let number =
            number.ok_or_else(|| Failure::because(Step::ProcessLimit, &limit.kind, "there is no such limit"))?;
        credentials::set_limit(pid, number as u32, limit.soft, limit.hard).step(Step::ProcessLimit, &limit.kind)
    })
}
