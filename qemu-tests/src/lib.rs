//! The harness that boots Ashlar in QEMU and drives it by what its users have: serial console, SSH, the ESP, the power
//! button, the bytes of the disk. There is no agent in the machine.
//!
//! The stories stand in `tests/stories`; `cargo xtask run` boots with the same [`qemu::Launch`].

pub mod accelerator;
pub mod arch;
pub mod derived;
pub mod disk;
pub mod fixture;
pub mod oci;
pub mod peer;
pub mod powercut;
pub mod probe;
pub mod promise;
pub mod publisher;
pub mod qemu;
pub mod qmp;
pub mod serial;
pub mod ssh;
pub mod tool;
pub mod vm;
pub mod web;

/// Where the images are: folder of the image for an architecture in `ASHLAR_IMAGE_` and its name in capitals.
pub const IMAGE_VARIABLE: &str = "ASHLAR_IMAGE_";
/// `kvm` or `tcg`, once it was found out.
pub const ACCELERATOR_VARIABLE: &str = "ASHLAR_ACCELERATOR";
/// Where the logs of failed machines are kept.
pub const LOGS_VARIABLE: &str = "ASHLAR_VM_LOGS";
/// The builder's program, for stories that build.
pub const BUILDER_VARIABLE: &str = "ASHLAR_BUILDER";
/// Asks for every class of states to be booted, and names the document that is written about it.
pub const POWERCUT_VARIABLE: &str = "ASHLAR_POWERCUT";
/// The folder of our programs for this host's architecture, likewise.
pub const PROGRAMS_VARIABLE: &str = "ASHLAR_PROGRAMS";
