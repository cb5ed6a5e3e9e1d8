//! How a process is given processors, disks and memory: scheduler, I/O priority, processors, memory policy, personality.

use std::io;

/// How a process is given the processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scheduler {
    /// SCHED_* by number.
    pub policy: u32,
    /// SCHED_FLAG_*.
    pub flags: u64,
    /// nice(2), for the policies that have it.
    pub nice: i32,
    /// For those of real time.
    pub priority: u32,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub runtime: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub deadline: u64,
    /// Nanoseconds, for SCHED_DEADLINE.
    pub period: u64,
}

/// sched_setattr(2), as of the first version of the structure.
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

/// Sets how this process is given the processor.
pub fn set_scheduler(scheduler: &Scheduler) -> io::Result<()> {
    let Scheduler { policy, flags, nice, priority, runtime, deadline, period } = *scheduler;
    let size = size_of::<Attributes>() as u32;
    let written = Attributes { size, policy, flags, nice, priority, runtime, deadline, period };
    // SAFETY: the structure has the size that it says; 0 is the caller.
    crate::result(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const written, 0) } as i32)?;
    Ok(())
}

/// Sets the I/O priority of this process: class 1 to 3 (real time, best effort, idle), 0 is none.
pub fn set_io_priority(class: u32, priority: u32) -> io::Result<()> {
    const PROCESS: i32 = 1;
    let value = class << 13 | priority & 0x1fff;
    // SAFETY: takes numbers; 0 is the caller.
    crate::result(unsafe { libc::syscall(libc::SYS_ioprio_set, PROCESS, 0, value) } as i32)?;
    Ok(())
}

/// Sets which processors this process may run on.
pub fn set_processors(numbers: impl IntoIterator<Item = u32>) -> io::Result<()> {
    let mut mask = [0u64; 16];
    for number in numbers {
        let word = mask.get_mut(number as usize / 64).ok_or(io::ErrorKind::InvalidInput)?;
        *word |= 1 << (number % 64);
    }
    // SAFETY: the mask is as long as is said; 0 is the caller.
    let set = unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(&mask), mask.as_ptr()) };
    crate::result(set as i32)?;
    Ok(())
}

/// Sets from which nodes this process gets memory: MPOL_* with its flags, and the nodes by number.
pub fn set_memory_policy(mode: u32, nodes: impl IntoIterator<Item = u32>) -> io::Result<()> {
    let mut mask = [0u64; 16];
    let mut any = false;
    for number in nodes {
        let word = mask.get_mut(number as usize / 64).ok_or(io::ErrorKind::InvalidInput)?;
        *word |= 1 << (number % 64);
        any = true;
    }
    let (pointer, bits) = if any { (mask.as_ptr(), 64 * mask.len() + 1) } else { (std::ptr::null(), 0) };
    // SAFETY: the mask has one bit less than is said, as the call counts them.
    crate::result(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, pointer, bits) } as i32)?;
    Ok(())
}

/// Sets which system this process believes to run on (personality(2)).
pub fn set_personality(value: u32) -> io::Result<()> {
    // SAFETY: takes a number.
    crate::result(unsafe { libc::personality(libc::c_ulong::from(value)) })?;
    Ok(())
}
