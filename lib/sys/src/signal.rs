//! Signals: as a descriptor to read, and the last resort of a process that must not end.
//!
//! [`Descriptor`] turns ordinary signals into events. [`survive`] catches the ones that mean a fault (SIGSEGV,
//! SIGBUS, SIGILL, SIGFPE, SIGABRT) on a stack of their own and executes the program anew. What a new instance does
//! with what it inherits is the caller's business.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

/// A descriptor that becomes readable when one of its signals is pending.
#[derive(Debug)]
pub struct Descriptor(OwnedFd);

/// One received signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Its number.
    pub signal: i32,
    /// Who sent it; 0 for the kernel.
    pub sender: u32,
}

impl Descriptor {
    /// Blocks `signals` for this thread and receives them here from now on.
    pub fn new(signals: &[i32]) -> io::Result<Self> {
        let set = set_of(signals);
        // SAFETY: `set` was initialised by `set_of`; the old mask is not asked for.
        crate::result(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut()) })?;
        // SAFETY: -1 asks for a new descriptor; `set` is initialised.
        let fd = unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        // SAFETY: the descriptor is new and owned by nobody else.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(crate::result(fd)?) }))
    }

    /// The next pending signal, `None` when there is none.
    pub fn read(&self) -> io::Result<Option<Received>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: the buffer is `size` bytes long and writable.
        let count = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) };
        }
        // SAFETY: plain integers, zeroed before and filled by the kernel: every bit pattern is valid.
        let info = unsafe { info.assume_init() };
        Ok(Some(Received { signal: info.ssi_signo as i32, sender: info.ssi_pid }))
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises all of `set`; sigaddset then gets an initialised one.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
    }
}

/// The number of the `n`th real-time signal (SIGRTMIN+n).
pub fn real_time(n: i32) -> i32 {
    libc::SIGRTMIN() + n
}

/// Sets a signal's action to "ignore".
pub fn ignore(signal: i32) {
    // SAFETY: SIG_IGN is a valid action for every signal a caller can name; a wrong number is only refused.
    unsafe { libc::signal(signal, libc::SIG_IGN) };
}

/// Sends `signal` to one process. PID 1 uses it for its own children only, whose numbers cannot be given anew
/// before it has reaped them.
pub fn send(pid: u32, signal: i32) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().filter(|pid| *pid > 0).ok_or(io::ErrorKind::InvalidInput)?;
    // SAFETY: takes numbers only.
    crate::result(unsafe { libc::kill(pid, signal) })?;
    Ok(())
}

/// Sends `signal` to every process but the caller; what shutdown does last.
pub fn send_all(signal: i32) {
    // SAFETY: takes numbers only.
    unsafe { libc::kill(-1, signal) };
}

/// Signals that mean that the program itself is broken.
const FAULTS: [i32; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT];

/// Room for the handler's stack: it calls a handful of system calls.
const STACK: usize = 32 << 10;

static PROGRAM: AtomicPtr<libc::c_char> = AtomicPtr::new(std::ptr::null_mut());
static ARGUMENTS: AtomicPtr<*const libc::c_char> = AtomicPtr::new(std::ptr::null_mut());
static ENVIRONMENT: AtomicPtr<*const libc::c_char> = AtomicPtr::new(std::ptr::null_mut());
static HIGHEST: AtomicI32 = AtomicI32::new(0);
static WAKE: AtomicI32 = AtomicI32::new(-1);
static SENT: AtomicBool = AtomicBool::new(false);
static INSTALLED: AtomicBool = AtomicBool::new(false);

/// From now on a fault executes `program` anew, with every descriptor left open.
///
/// A fault signal that somebody *sent* (`kill -SEGV 1`) finds the program healthy, in the middle of something: it is
/// only noted ([`was_sent`]) and `wake` is written to, so that the caller can finish what it is doing and then
/// [`execute`]. A real fault executes at once, because the instruction that failed would fail again.
pub fn survive(program: &CStr, arguments: &[CString], environment: &[CString], wake: RawFd) -> io::Result<()> {
    // Leaked on purpose: a handler may need them until the process ends.
    PROGRAM.store(program.to_owned().into_raw(), Ordering::SeqCst);
    ARGUMENTS.store(leak(arguments), Ordering::SeqCst);
    ENVIRONMENT.store(leak(environment), Ordering::SeqCst);
    WAKE.store(wake, Ordering::SeqCst);
    if !INSTALLED.swap(true, Ordering::SeqCst) {
        install()?;
    }
    Ok(())
}

fn install() -> io::Result<()> {
    let stack: &'static mut [u8] = Box::leak(vec![0u8; STACK].into_boxed_slice());
    let stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: STACK };
    // SAFETY: the stack lives for ever and is used by nobody else.
    crate::result(unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) })?;
    for signal in FAULTS {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: a zeroed sigaction is valid; the handler has the signature that SA_SIGINFO asks for and uses only
        // async-signal-safe calls. SA_NODEFER: a second fault inside the handler must be able to arrive, too.
        unsafe {
            let action = action.assume_init_mut();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER | libc::SA_RESTART;
            libc::sigemptyset(&raw mut action.sa_mask);
            crate::result(libc::sigaction(signal, action, std::ptr::null_mut()))?;
        }
    }
    Ok(())
}

/// Whether somebody sent a fault signal since the last call.
pub fn was_sent() -> bool {
    SENT.swap(false, Ordering::SeqCst)
}

/// Tells the handler up to which number descriptors must stay open over [`execute`].
pub fn keep_up_to(fd: RawFd) {
    HIGHEST.fetch_max(fd, Ordering::SeqCst);
}

fn leak(strings: &[CString]) -> *mut *const libc::c_char {
    let mut pointers: Vec<*const libc::c_char> = strings.iter().map(|s| s.clone().into_raw().cast_const()).collect();
    pointers.push(std::ptr::null());
    Box::leak(pointers.into_boxed_slice()).as_mut_ptr()
}

extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes a valid siginfo.
    let sent = unsafe { (*info).si_code } <= 0 && signal != libc::SIGABRT;
    // abort(3) raises SIGABRT with tkill: only the sender tells it from `kill -ABRT 1`.
    // SAFETY: si_pid is valid for signals with si_code <= 0; getpid takes nothing.
    let sent = sent || signal == libc::SIGABRT && unsafe { (*info).si_pid() != libc::getpid() };
    if !sent {
        execute();
    }
    SENT.store(true, Ordering::SeqCst);
    let one = 1u64;
    // SAFETY: eight readable bytes; a wrong descriptor is only refused.
    unsafe { libc::write(WAKE.load(Ordering::SeqCst), (&raw const one).cast(), 8) };
}

/// Executes the program that [`survive`] was told of. Safe in a signal handler. Returns never: without a program it
/// sleeps for ever, because the end of PID 1 is the end of the machine.
pub fn execute() -> ! {
    let (program, arguments, environment) =
        (PROGRAM.load(Ordering::SeqCst), ARGUMENTS.load(Ordering::SeqCst), ENVIRONMENT.load(Ordering::SeqCst));
    // SAFETY: async-signal-safe calls only. The strings were leaked by `survive` and never change; descriptors that
    // are not open are refused by fcntl.
    unsafe {
        for fd in 3..=HIGHEST.load(Ordering::SeqCst).saturating_add(64) {
            let flags = libc::fcntl(fd, libc::F_GETFD);
            if flags >= 0 {
                libc::fcntl(fd, libc::F_SETFD, flags & !libc::FD_CLOEXEC);
            }
        }
        while !program.is_null() {
            libc::execve(program, arguments, environment);
            libc::usleep(100_000);
        }
        loop {
            libc::pause();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read() {
        let descriptor = Descriptor::new(&[libc::SIGUSR1]).unwrap();
        assert_eq!(descriptor.read().unwrap(), None);
        // SAFETY: raise takes a number; the signal is blocked by this thread.
        unsafe { libc::raise(libc::SIGUSR1) };
        let received = descriptor.read().unwrap().unwrap();
        assert_eq!((received.signal, received.sender), (libc::SIGUSR1, std::process::id()));
    }
}
