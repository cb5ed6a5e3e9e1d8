//! The end of the machine: sync, reboot(2).

use std::ffi::CString;
use std::io;

/// What reboot(2) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// Switch off.
    Off,
    /// Start again.
    Restart,
    /// Stop and stay.
    Halt,
    /// Start the loaded kernel.
    Kexec,
}

/// Writes what is in memory to the disks.
pub fn sync() {
    // SAFETY: takes nothing, always succeeds.
    unsafe { libc::sync() };
}

/// Ends the machine. Returns only when the kernel refuses.
pub fn power(power: Power) -> io::Error {
    let command = match power {
        Power::Off => libc::LINUX_REBOOT_CMD_POWER_OFF,
        Power::Restart => libc::LINUX_REBOOT_CMD_RESTART,
        Power::Halt => libc::LINUX_REBOOT_CMD_HALT,
        Power::Kexec => libc::LINUX_REBOOT_CMD_KEXEC,
    };
    // SAFETY: takes a number; on success the process is no more.
    unsafe { libc::reboot(command) };
    io::Error::last_os_error()
}

/// Restarts with an argument for the firmware or boot loader.
pub fn restart_with(argument: &str) -> io::Error {
    let Ok(argument) = CString::new(argument) else { return io::ErrorKind::InvalidInput.into() };
    let (magic, magic2) = (libc::LINUX_REBOOT_MAGIC1, libc::LINUX_REBOOT_MAGIC2);
    // SAFETY: the argument is NUL-terminated and lives over the call.
    unsafe { libc::syscall(libc::SYS_reboot, magic, magic2, libc::LINUX_REBOOT_CMD_RESTART2, argument.as_ptr()) };
    io::Error::last_os_error()
}

/// Ctrl-Alt-Del sends SIGINT to PID 1 instead of restarting at once.
pub fn catch_ctrl_alt_del() -> io::Result<()> {
    // SAFETY: takes a number.
    crate::result(unsafe { libc::reboot(libc::LINUX_REBOOT_CMD_CAD_OFF) })?;
    Ok(())
}
