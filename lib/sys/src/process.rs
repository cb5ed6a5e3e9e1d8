//! New processes: a copy of this one in new namespaces and a control group of its own, and what the copy does to become
//! another program.
//!
//! The copy is made by clone3(2) without sharing memory. That is sound for a program with one thread only, which is
//! checked: in any other, a lock that some thread held would stay locked in the copy for ever.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;

use crate::namespace::Kind;

/// Exit code of a copy whose body panicked.
const PANICKED: i32 = 70;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// clone3(2), as of version 2 of the structure.
#[derive(Default)]
#[repr(C, align(8))]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A process that was made.
#[derive(Debug)]
pub struct Child {
    /// Its number.
    pub pid: u32,
    /// The process itself: readable when it has ended.
    pub pidfd: OwnedFd,
}

/// Copies this process into new `namespaces` and the control group `group`; the copy runs `body` and exits with what
/// that returns.
///
/// In the copy no signal is blocked, every one has its default action (SIGPIPE is ignored until [`execute`]), and
/// nothing of the caller's stack is dropped.
pub fn fork(namespaces: &[Kind], group: Option<BorrowedFd<'_>>, body: impl FnOnce() -> i32) -> io::Result<Child> {
    copy(namespaces, group, 0, body)
}

/// As [`fork`], but the copy is a child of this process's parent: a brother.
pub fn fork_beside(namespaces: &[Kind], body: impl FnOnce() -> i32) -> io::Result<Child> {
    copy(namespaces, None, libc::CLONE_PARENT as u64, body)
}

fn copy(
    namespaces: &[Kind],
    group: Option<BorrowedFd<'_>>,
    flags: u64,
    body: impl FnOnce() -> i32,
) -> io::Result<Child> {
    if threads()? != 1 {
        return Err(io::Error::other("a process with several threads cannot be copied"));
    }
    let mut pidfd: RawFd = -1;
    let mut args = CloneArgs {
        flags: libc::CLONE_PIDFD as u64 | namespaces.iter().fold(flags, |flags, kind| flags | kind.flag()),
        pidfd: &raw mut pidfd as u64,
        // A brother's end is told as ours will be.
        exit_signal: if flags == 0 { libc::SIGCHLD as u64 } else { 0 },
        ..CloneArgs::default()
    };
    if let Some(group) = group {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = group.as_raw_fd() as u64;
    }
    let mut old = MaybeUninit::<libc::sigset_t>::uninit();
    let all = full_set();
    // SAFETY: both sets are valid; handlers of ours must not run in the copy.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const all, old.as_mut_ptr()) };
    // SAFETY: `args` is a valid clone_args of that size. There is one thread, and no memory is shared, so the copy may
    // do whatever this process could. `pidfd` is written in this process's memory only.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    if pid == 0 {
        run(body);
    }
    let error = io::Error::last_os_error();
    // SAFETY: `old` was filled above.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, old.as_ptr(), std::ptr::null_mut()) };
    if pid < 0 {
        return Err(error);
    }
    // SAFETY: the kernel made the descriptor for us, nobody else owns it.
    Ok(Child { pid: pid as u32, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
}

fn run(body: impl FnOnce() -> i32) -> ! {
    default_signals();
    std::panic::set_hook(Box::new(|_| exit(PANICKED)));
    exit(body())
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process without running what the original registered for its own end.
    unsafe { libc::_exit(code) }
}

fn threads() -> io::Result<u64> {
    // A directory for each thread, and `.` and `..`.
    Ok(std::fs::metadata("/proc/self/task")?.nlink().saturating_sub(2))
}

fn full_set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises all of it.
    unsafe {
        libc::sigfillset(set.as_mut_ptr());
        set.assume_init()
    }
}

fn default_signals() {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: SIG_DFL and SIG_IGN are valid actions for every signal; those that cannot be set are refused. The set is
    // initialised by sigemptyset.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Waits for a child and forgets it; its exit code, 128 + the signal that killed it.
pub fn wait(pid: u32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        match crate::result(unsafe { libc::waitpid(pid as libc::pid_t, &raw mut status, 0) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
            Ok(_) if libc::WIFEXITED(status) => return Ok(libc::WEXITSTATUS(status)),
            Ok(_) => return Ok(128 + libc::WTERMSIG(status)),
        }
    }
}

/// Waits until one of `fds` is readable or hung up, at most `timeout` milliseconds; -1 is for ever. Says whether any is.
pub fn readable(fds: &[BorrowedFd<'_>], timeout: i32) -> io::Result<bool> {
    poll(fds, libc::POLLIN, timeout)
}

/// Waits until `fd` can be written to.
pub fn writable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    poll(&[fd], libc::POLLOUT, -1)
}

fn poll(fds: &[BorrowedFd<'_>], events: i16, timeout: i32) -> io::Result<bool> {
    let mut list: Vec<libc::pollfd> =
        fds.iter().map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 }).collect();
    // SAFETY: the pointer is to as many entries as are said.
    match crate::result(unsafe { libc::poll(list.as_mut_ptr(), list.len() as _, timeout) }) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        other => Ok(other? > 0),
    }
}

/// Closes every descriptor of this process but `keep`.
///
/// For a copy that [`fork`] made, whose original owns the others: objects that own one must not be dropped any more.
pub fn close_all_but(keep: &[RawFd]) {
    let mut keep: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    keep.sort_unstable();
    let mut from = 0;
    for fd in keep.into_iter().chain([u32::MAX]) {
        if from < fd {
            close_range(from, fd.saturating_sub(if fd == u32::MAX { 0 } else { 1 }), 0);
        }
        from = fd.saturating_add(1);
    }
}

fn close_range(from: u32, to: u32, flags: u32) {
    // SAFETY: takes numbers. What it closes belongs to objects that the caller promised not to use.
    unsafe { libc::syscall(libc::SYS_close_range, from, to, flags) };
}

/// A copy of a descriptor with a number of at least `lowest`, closed on exec.
pub fn above(fd: impl AsFd, lowest: usize) -> io::Result<OwnedFd> {
    let lowest = lowest as libc::c_int;
    // SAFETY: takes numbers, returns a new descriptor.
    let copy = crate::result(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) })?;
    // SAFETY: new, and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Makes `wanted`, in order, the descriptors 0, 1, 2…, those that are `None` left out; all others close on exec.
///
/// The last thing before [`execute`]: whatever owned a number as low as these owns another file now. What is still
/// needed must be [`above`].
pub fn arrange(wanted: &[Option<BorrowedFd<'_>>]) -> io::Result<()> {
    const CLOSE_ON_EXEC: u32 = 1 << 2;
    let copy = |fd: &Option<BorrowedFd<'_>>| fd.map(|fd| above(fd, wanted.len())).transpose();
    let copies = wanted.iter().map(copy).collect::<io::Result<Vec<_>>>()?;
    for (number, copy) in copies.iter().enumerate() {
        match copy {
            // SAFETY: takes numbers; see above for what is replaced.
            Some(copy) => crate::result(unsafe { libc::dup2(copy.as_raw_fd(), number as i32) }).map(drop)?,
            None => close_range(number as u32, number as u32, 0),
        }
    }
    close_range(wanted.len() as u32, u32::MAX, CLOSE_ON_EXEC);
    Ok(())
}

/// Becomes the program that a descriptor refers to. Returns only when that fails.
pub fn execute_file(program: &impl AsFd, arguments: &[CString], environment: &[CString]) -> io::Error {
    let list = |strings: &[CString]| {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<*const libc::c_char>>()
    };
    let (arguments, environment) = (list(arguments), list(environment));
    let program = program.as_fd().as_raw_fd();
    // SAFETY: the path is empty, both lists end with a null pointer, and all strings outlive the call.
    unsafe {
        let empty = c"".as_ptr();
        let (arguments, environment) = (arguments.as_ptr(), environment.as_ptr());
        libc::syscall(libc::SYS_execveat, program, empty, arguments, environment, libc::AT_EMPTY_PATH);
    }
    io::Error::last_os_error()
}

/// Becomes another program. Returns only when that fails.
pub fn execute(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let list = |strings: &[CString]| {
        strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect::<Vec<*const libc::c_char>>()
    };
    let (arguments, environment) = (list(arguments), list(environment));
    // SAFETY: all strings are NUL-terminated, both lists end with a null pointer, and all of them outlive the call.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
    }
    io::Error::last_os_error()
}

/// Sends a signal to the process that a pidfd refers to.
pub fn signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: takes numbers and no siginfo.
    let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_fd().as_raw_fd(), signal, none, 0) };
    crate::result(sent as i32)?;
    Ok(())
}
