//! What a service tells PID 1 of itself (sd_notify(3)).

use std::io;
use std::os::unix::net::UnixDatagram;

/// Sends fields, such as `READY=1`, a line each. Without anybody who listens it does nothing.
///
/// # Errors
/// Somebody does, and cannot be told.
pub fn send(state: &str) -> io::Result<()> {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    UnixDatagram::unbound()?.send_to(state.as_bytes(), path).map(drop)
}
