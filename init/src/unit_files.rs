//! Unit files of the machine: where they are, what is in them, and the links that enable them (systemd.unit(5), "Unit
//! File Load Path").
//!
//! The units of the image are no such files; those here come beside them, change them, or stand in their place.

use std::path::Path;

pub use ashlar_config::systemd::FOLDERS;

pub mod control;
mod index;
mod install;
mod state;

pub use index::{Found, Index};
pub use install::{Problem, Request, carry_out};
pub use state::{links_to, state_of};

/// What an administrator writes: on the state partition.
pub const ADMINISTRATORS: &str = "/etc/systemd/system";
/// The same until the next boot.
pub const RUNTIME: &str = "/run/systemd/system";
/// What packages of the image bring.
pub const VENDORS: &str = "/usr/lib/systemd/system";
/// Where generators write.
pub const GENERATED: [&str; 3] =
    ["/run/systemd/generator", "/run/systemd/generator.early", "/run/systemd/generator.late"];

/// Whether a folder's links pull units in, by its name.
fn pulls(folder: &Path) -> bool {
    matches!(folder.extension().and_then(|end| end.to_str()), Some("wants" | "requires" | "upholds"))
}
