//! OCI containers (runtime specification 1.2), as a library: from a bundle to a process.
//!
//! [`Bundle::load`] reads a bundle, [`begin()`] makes a process in it and returns at once, [`Setup`] says later how that
//! went; [`create()`] waits, and can leave the process behind a gate until [`start()`]. Control groups exist before, and
//! their ends are the caller's, who is also the parent of the process.
//!
//! The life of a new container's process, in kernel order:
//!
//! 1. `begin`: clone3 into the namespaces and the control group: the *inside*. A second process, the *host's side*.
//! 2. `host_side`: id mapping, limits, devices, the terminal; `sources`: clones of the host's files with shifted ids;
//!    hooks.
//! 3. `inside`: the remaining namespaces, names, loopback; `files`: root, mounts, nodes, masks; then the root is changed.
//! 4. `gate`: the process waits to be started.
//! 5. `finish`: identity, capabilities, filter, descriptors, program.
//!
//! Every step that can fail is a [`Step`], and a failure names its step and what it was done to.

mod begin;
mod bundle;
mod capabilities;
mod cgroup;
mod channel;
mod console;
mod create;
mod error;
mod files;
mod finish;
mod gate;
mod hooks;
mod host_side;
mod inside;
mod join;
mod limits;
mod mounts;
mod names;
mod request;
mod scheduling;
mod seccomp;
mod setup;
mod sources;
pub mod spec;
mod users;

pub use begin::{Begun, begin};
pub use bundle::Bundle;
pub use cgroup::{limit, settings};
pub use create::{Created, create, start};
pub use error::{Error, Failure, Step, reason};
pub use hooks::run_hooks;
pub use names::{Names, names};
pub use request::Request;
pub use setup::Setup;
