//! Kernel modules (finit_module(2)). In which order, and from where, is the caller's business.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// The file is compressed, and the kernel unpacks it (since Linux 5.17).
const COMPRESSED: i32 = 4;

/// Loads a module from an open file, with parameters as modprobe.d(5) writes them.
///
/// EEXIST says that it is there already, ENODEV that the machine has not got what it drives.
pub fn load(file: &File, compressed: bool, parameters: &str) -> io::Result<()> {
    let parameters = CString::new(parameters)?;
    let flags = if compressed { COMPRESSED } else { 0 };
    // SAFETY: the descriptor is open and the parameters NUL-terminated for the length of the call.
    let result = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), flags) };
    crate::result(result as i32)?;
    Ok(())
}
