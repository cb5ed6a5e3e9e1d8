//! The only crate that may say `unsafe`: system calls behind types that cannot be misused.
//!
//! Mechanism only. What is mounted, started or sent, and when, is decided by the callers.

pub mod at;
pub mod block_device;
pub mod bpf;
pub mod child;
pub mod clock;
pub mod credentials;
pub mod descriptor;
pub mod device_mapper;
pub mod epoll;
pub mod filesystem;
pub mod host;
pub mod inotify;
pub mod ipc;
pub mod kernel_module;
pub mod kmsg;
pub mod memfd;
pub mod mounts;
pub mod namespace;
pub mod network;
pub mod power;
pub mod process;
pub mod scheduling;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod terminal;
pub mod watchdog;

/// A system call's return value: -1 becomes the error that the kernel left.
pub(crate) fn result(value: i32) -> std::io::Result<i32> {
    if value < 0 { Err(std::io::Error::last_os_error()) } else { Ok(value) }
}
