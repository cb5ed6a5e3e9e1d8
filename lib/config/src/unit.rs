//! Units: `system-containers/NAME/unit.toml` as written ([`UnitFile`]) and as PID 1 gets it ([`Unit`]).
//!
//! One file may describe a service with its sockets and timers; resolving makes one [`Unit`] of each,
//! with systemd's names (`ssh.service`, `ssh.socket`). Names, types and results mean what they mean in
//! systemd.service(5), so that the bus only translates.

mod builtin;
mod exec;
mod file;
mod folder;
mod limits;
mod name;
mod prefix;
mod resolve;
mod resolved;
mod seal;
mod signal;
mod supervision;

pub use builtin::BUILTIN;
pub use exec::*;
pub use file::*;
pub use folder::*;
pub use limits::GroupLimits;
pub use name::is_unit_name;
pub use prefix::Prefix;
pub use resolve::{Placement, resolve};
pub use resolved::*;
pub use seal::*;
pub use signal::Signal;
pub use supervision::*;
