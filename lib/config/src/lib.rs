//! Files that a person writes, as two types each: as written (unknown keys refused, the nearest name
//! suggested) and as resolved (what the machine and the builder work with).
//!
//! Pure: text in, values or an [`Error`] out. Reading files, downloading and applying happen elsewhere.

pub mod boot_entry;
pub mod boot_record;
pub mod error;
pub mod glob;
pub mod image;
pub mod machine;
pub mod nearest;
pub mod quantity;
pub mod systemd;
pub mod trial;
pub mod unit;
pub mod version;
pub mod window;

pub use error::Error;
