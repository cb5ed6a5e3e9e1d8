//! Ends of processes. Each one is looked at, acted on, saved, and only then reaped: a fault in between finds the zombie
//! again, so that no end is ever lost.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use ashlar_sys::child::{self, Ended};
use ashlar_sys::epoll;

use super::Machine;
use crate::core::UnitId;
use crate::core::state::Exit;
use crate::event::Event;
use crate::log;

fn exit_of(ended: Ended) -> Exit {
    match ended.code {
        1 => Exit::Code(ended.status),
        3 => Exit::Dumped(ended.status),
        _ => Exit::Signal(ended.status),
    }
}

impl Machine {
    /// Reaps every child that has ended: units' processes, sessions', and orphans that came to us.
    pub(super) fn children_ended(&mut self) {
        while let Ok(Some(ended)) = child::peek() {
            // What a starting container has to say of its set-up explains the end: it comes first.
            self.ended_starting(ended.pid);
            let (pid, exit) = (ended.pid, exit_of(ended));
            if self.core.exited(pid, exit) || self.session_ended(pid, exit) || self.helper_ended(pid, exit) {
                self.carry_out();
                self.save();
            }
            child::reap(ended.pid);
        }
    }

    /// Watches a main process that is not our child.
    pub(super) fn watch_foreign(&mut self, pid: u32) {
        let Ok(fd) = child::watch(pid) else { return self.foreign_end(pid) };
        match self.epoll.add(fd.as_fd(), Event::ForeignEnd(pid).token(), epoll::READ) {
            Ok(()) => drop(self.foreign.insert(pid, fd)),
            Err(error) => self.log.say(log::ERROR, None, &format!("cannot watch process {pid}: {error}")),
        }
    }

    /// How it ended is its parent's to know; that it ended is enough.
    pub(super) fn foreign_end(&mut self, pid: u32) {
        self.foreign.remove(&pid);
        self.core.exited(pid, Exit::Code(0));
    }

    /// All of our children, dead ones that were not reaped included.
    pub(super) fn children() -> BTreeSet<u32> {
        let own = std::process::id();
        let list = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// Whether a process is a child of ours.
    pub(super) fn is_child(pid: u32) -> bool {
        parent_of(pid) == Some(std::process::id())
    }

    /// The process of a unit that its own namespace calls `inner`.
    pub(super) fn translate(&self, unit: UnitId, inner: u32) -> Option<u32> {
        let processes = crate::cgroup::processes(&self.group_of(unit));
        processes.into_iter().find(|pid| innermost(*pid) == Some(inner))
    }
}

fn status_line(pid: u32, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)).map(|rest| rest.trim().to_owned())
}

fn parent_of(pid: u32) -> Option<u32> {
    status_line(pid, "PPid:")?.parse().ok()
}

/// A process's number in its own namespace.
fn innermost(pid: u32) -> Option<u32> {
    status_line(pid, "NSpid:")?.split_whitespace().last()?.parse().ok()
}

/// Whether a process decides itself what a signal does: it catches or ignores it. The first one of a process namespace
/// never sees one that it left alone.
pub(super) fn handles(pid: u32, signal: i32) -> bool {
    let mask = |name| status_line(pid, name).and_then(|text| u64::from_str_radix(&text, 16).ok()).unwrap_or_default();
    let bit = u32::try_from(signal - 1).ok().and_then(|bit| 1u64.checked_shl(bit)).unwrap_or_default();
    (mask("SigCgt:") | mask("SigIgn:")) & bit != 0
}

/// Whether a process is the first one of a process namespace of its own.
pub(super) fn is_namespace_init(pid: u32) -> bool {
    innermost(pid) == Some(1) && pid != 1
}
