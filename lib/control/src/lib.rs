//! The messages on PID 1's socket, `/run/ashlar/control`, and on the updater's, and a blocking client of both.
//!
//! Framing and introspection are Varlink's (JSON objects, each ended by a NUL byte; varlink.org), so that
//! `varlinkctl` works. File descriptors travel as SCM_RIGHTS beside the message that speaks of them.
//! Who may call what is decided by PID 1 from the peer's credentials.

#[cfg(feature = "client")]
pub mod client;
pub mod message;
pub mod notify;
pub mod status;
pub mod update;

/// Where PID 1 listens.
pub const SOCKET: &str = "/run/ashlar/control";
/// The interface's name.
pub const INTERFACE: &str = "io.ashlar.Control";
/// The interface's Varlink definition, as `org.varlink.service.GetInterfaceDescription` answers it.
pub const DEFINITION: &str = include_str!("io.ashlar.Control.varlink");
/// Longest message that either side takes.
pub const MESSAGE_LIMIT: usize = 4 << 20;
