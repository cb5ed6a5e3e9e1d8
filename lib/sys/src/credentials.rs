//! Who a process is and what it may do: ids, capabilities, limits, and the switches that take rights away for good.

use std::io;

fn control(option: i32, argument: libc::c_ulong) -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: every option that is used here takes numbers only.
    crate::result(unsafe { libc::prctl(option, argument, zero, zero, zero) })?;
    Ok(())
}

/// Becomes user and group with exactly these further groups. Capabilities are kept when a root becomes another user;
/// effective ones are gone until [`set_capabilities`].
///
/// Where groups may not be set at all (a user namespace that a user without rights made), having none is no error.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    match set_groups(groups) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) && groups.is_empty() => {}
        other => other?,
    }
    set_ids(uid, gid)
}

/// Has exactly these further groups.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: takes a list with its length. A raw call: there is one thread, and libc's wrapper would look for others.
    crate::result(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) } as i32)?;
    Ok(())
}

/// Becomes user and group as [`become_user`] does, and leaves the further groups as they are.
pub fn set_ids(uid: u32, gid: u32) -> io::Result<()> {
    control(libc::PR_SET_KEEPCAPS, 1)?;
    // SAFETY: takes numbers. Raw calls, as above.
    unsafe {
        crate::result(libc::syscall(libc::SYS_setresgid, gid, gid, gid) as i32)?;
        crate::result(libc::syscall(libc::SYS_setresuid, uid, uid, uid) as i32)?;
    }
    Ok(())
}

/// Sets of capabilities as bits by number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// What can ever be had.
    pub bounding: u64,
    /// What is used.
    pub effective: u64,
    /// What may be used.
    pub permitted: u64,
    /// What executed programs may keep.
    pub inheritable: u64,
    /// What executed programs get, also without being root.
    pub ambient: u64,
}

/// Drops whatever is not in the set from what can ever be had. Ones that the kernel does not know are no matter.
pub fn bound_capabilities(bounding: u64) -> io::Result<()> {
    for number in 0..64 {
        if bounding & 1 << number != 0 {
            continue;
        }
        match control(libc::PR_CAPBSET_DROP, number) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => break,
            other => other?,
        }
    }
    Ok(())
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
struct CapabilityData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Sets effective, permitted, inheritable and ambient ones.
pub fn set_capabilities(sets: &Capabilities) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = CapabilityHeader { version: VERSION_3, pid: 0 };
    let half = |shift: u32| CapabilityData {
        effective: (sets.effective >> shift) as u32,
        permitted: (sets.permitted >> shift) as u32,
        inheritable: (sets.inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: version 3 has a header and two data structures, as laid out here.
    crate::result(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) } as i32)?;
    ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
    (0..64).filter(|number| sets.ambient & 1 << number != 0).try_for_each(|n| ambient(libc::PR_CAP_AMBIENT_RAISE, n))
}

fn ambient(operation: i32, number: libc::c_ulong) -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: takes numbers.
    crate::result(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, operation as libc::c_ulong, number, zero, zero) })?;
    Ok(())
}

/// Neither this process nor what it executes can gain privileges by executing something.
pub fn no_new_privileges() -> io::Result<()> {
    control(libc::PR_SET_NO_NEW_PRIVS, 1)
}

/// Nobody but the owner of its memory's user namespace may look into this process until it executes a program.
pub fn hide() -> io::Result<()> {
    control(libc::PR_SET_DUMPABLE, 0)
}

/// Undoes [`hide`], and what becoming another user did: a hidden process cannot write its own files in /proc.
pub fn reveal() -> io::Result<()> {
    control(libc::PR_SET_DUMPABLE, 1)
}

/// Sets a limit (RLIMIT_*) of a process; 0 is the caller.
pub fn set_limit(pid: u32, resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let none = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: `limit` is a valid rlimit64; the old one is not asked for.
    let set = unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, &raw const limit, none) };
    crate::result(set as i32)?;
    Ok(())
}

/// nice(2) of this process.
pub fn set_nice(nice: i32) -> io::Result<()> {
    // SAFETY: takes numbers only; 0 is the caller.
    crate::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map(drop)
}

/// Which permissions new files do not get.
pub fn set_umask(mask: u32) {
    // SAFETY: takes a number and cannot fail.
    unsafe { libc::umask(mask as libc::mode_t) };
}

/// A session keyring of its own, so that the caller's keys are not seen. A kernel without keys has none to be seen.
pub fn new_keyring() {
    const JOIN_SESSION_KEYRING: i32 = 1;
    let anonymous = std::ptr::null::<libc::c_char>();
    // SAFETY: no name is passed.
    unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, anonymous) };
}

/// Sets the NIS domain name of this UTS namespace.
pub fn set_domain_name(name: &str) -> io::Result<()> {
    // SAFETY: the pointer is valid for `len` bytes.
    crate::result(unsafe { libc::setdomainname(name.as_ptr().cast(), name.len()) })?;
    Ok(())
}

/// Whether this process may administer its user namespace (CAP_SYS_ADMIN is in force).
pub fn may_administer() -> bool {
    const VERSION_3: u32 = 0x2008_0522;
    const SYS_ADMIN: u32 = 21;
    let mut header = CapabilityHeader { version: VERSION_3, pid: 0 };
    let empty = || CapabilityData { effective: 0, permitted: 0, inheritable: 0 };
    let mut data = [empty(), empty()];
    // SAFETY: version 3 has two structures of data, which the kernel may write to.
    let read = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) };
    read == 0 && data[0].effective & 1 << SYS_ADMIN != 0
}

/// Whether this process acts as root, and not just as that of a user namespace.
pub fn is_root_of_the_host() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    user() == 0 && map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// The user that this process acts as.
pub fn user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// The group that this process acts as.
pub fn group() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getegid() }
}
