//! What a container's mounts are made of.
//!
//! Each mount is either one of the host's, cloned while the host's files and privileges are still there, or a new file
//! system, made by the container itself so that it belongs to its user namespace. `options` reads mount(8) options;
//! `plan` decides which of the two a mount is.

mod options;
mod plan;

pub(crate) use options::{Options, names as option_names, propagation};
pub(crate) use plan::{Origin, host_view, origin};
