//! Programs of the host's own, started from a process with blocked signals and a control group for each of them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command};

/// Starts `command` inside the control group whose cgroup.procs is `group`, with no signal blocked and in a session of its
/// own; that takes standard input as its terminal, whoever had it, if there is a `terminal`.
pub fn spawn(command: &mut Command, group: &Path, terminal: bool) -> io::Result<Child> {
    let procs = OpenOptions::new().write(true).open(group)?;
    // SAFETY: runs in the child between fork and exec, so it may only do what a signal handler may: sigemptyset,
    // sigprocmask, setsid, ioctl and write, each on memory and a descriptor that the closure owns or on standard input.
    unsafe {
        command.pre_exec(move || {
            let mut none = MaybeUninit::<libc::sigset_t>::uninit();
            libc::sigemptyset(none.as_mut_ptr());
            crate::result(libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()))?;
            libc::setsid();
            if terminal {
                crate::result(libc::ioctl(0, libc::TIOCSCTTY as _, 1))?;
            }
            // "0" is whoever writes it.
            (&procs).write_all(b"0")
        });
    }
    command.spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_blocked_and_the_group_is_entered() {
        let group = std::env::temp_dir().join(format!("ashlar-procs-{}", std::process::id()));
        std::fs::write(&group, "").unwrap();
        let _signals = crate::signal::Descriptor::new(&[libc::SIGTERM]).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "grep -q 'SigBlk:.*0000$' /proc/self/status"]);
        let status = spawn(&mut command, &group, false).unwrap().wait().unwrap();
        assert!(status.success());
        assert_eq!(std::fs::read_to_string(&group).unwrap(), "0");
        std::fs::remove_file(group).unwrap();
    }
}
