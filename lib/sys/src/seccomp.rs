//! System call filters: installing one, and the numbers that its rules speak of.

mod syscalls;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// One instruction of a filter (struct sock_filter).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What to do.
    pub code: u16,
    /// Jump if true.
    pub jt: u8,
    /// Jump if false.
    pub jf: u8,
    /// A constant.
    pub k: u32,
}

#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// AUDIT_ARCH_* of this machine.
#[cfg(target_arch = "x86_64")]
pub const ARCHITECTURE: u32 = 0xc000_003e;
/// AUDIT_ARCH_* of this machine.
#[cfg(target_arch = "aarch64")]
pub const ARCHITECTURE: u32 = 0xc000_00b7;

/// AUDIT_ARCH_I386: of 32-bit programs on x86-64.
#[cfg(target_arch = "x86_64")]
pub const X86: u32 = 0x4000_0003;

/// Longest filter that the kernel takes.
pub const LENGTH_LIMIT: usize = 4096;

/// Puts this process, and all that it starts, under a filter for good. Needs no_new_privileges or CAP_SYS_ADMIN.
pub fn install(filter: &[Instruction], flags: u32) -> io::Result<()> {
    const SET_MODE_FILTER: u32 = 1;
    let length = u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program { length, instructions: filter.as_ptr() };
    // SAFETY: `program` points to as many instructions as it says; the kernel copies and checks them.
    let done = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const program) };
    crate::result(done as i32)?;
    Ok(())
}

/// As [`install`], and gives the descriptor over which somebody else decides about calls (SECCOMP_RET_USER_NOTIF).
pub fn install_with_listener(filter: &[Instruction], flags: u32) -> io::Result<OwnedFd> {
    const SET_MODE_FILTER: u32 = 1;
    const NEW_LISTENER: u32 = 8;
    let length = u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let program = Program { length, instructions: filter.as_ptr() };
    // SAFETY: as in `install`; returns a new descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags | NEW_LISTENER, &raw const program) };
    let fd = crate::result(fd as i32)?;
    // SAFETY: new, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The number of a system call on this machine, if it has it.
pub fn number(name: &str) -> Option<u32> {
    let table = syscalls::TABLE;
    table.binary_search_by(|(known, _)| (*known).cmp(name)).ok().map(|at| u32::from(table[at].1))
}

/// The number of a system call for 32-bit programs, if they have it.
#[cfg(target_arch = "x86_64")]
pub fn number_on_x86(name: &str) -> Option<u32> {
    const SAME_EVERYWHERE: u32 = 424;
    let own = x86::TABLE.binary_search_by(|(known, _)| (*known).cmp(name)).ok();
    let own = own.map(|at| u32::from(x86::TABLE[at].1));
    own.or_else(|| number(name).filter(|number| *number >= SAME_EVERYWHERE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_name() {
        assert!(syscalls::TABLE.is_sorted_by(|a, b| a.0 < b.0));
        let check = |name, expect: Option<i64>| assert_eq!(number(name).map(i64::from), expect, "{name}");
        check("read", Some(libc::SYS_read));
        check("mount_setattr", Some(libc::SYS_mount_setattr));
        check("accept4", Some(libc::SYS_accept4));
        check("nonsense", None);
        #[cfg(target_arch = "x86_64")]
        {
            assert!(x86::TABLE.is_sorted_by(|a, b| a.0 < b.0));
            let check = |name, expect| assert_eq!(number_on_x86(name), expect, "{name}");
            check("read", Some(3));
            check("socketcall", Some(102));
            check("mount_setattr", number("mount_setattr"));
            check("arch_prctl", Some(384));
            check("nonsense", None);
        }
    }
}
