//! The bytes that one side of Ashlar writes and another reads: partition tables, file systems, hash trees, boot
//! images. The builder writes them, init/boot and the updater read them, tests hold both against foreign tools.
//!
//! Pure: bytes, `Read`, `Write` and `Seek` in, values out. Nothing here opens a file by its path, calls the
//! system, or knows what an image consists of. What is read is not trusted: every size has a named limit.
//!
//! Written here and not taken from crates. `gpt` writes random GUIDs unless told otherwise and cannot move its
//! backup table to the end of a disk that grew; `fatfs` allocates while it writes, a sector at a time, where
//! this builder knows the whole tree before and wants every file in one piece. Both would be a good part of the
//! first stage's size.

pub mod alike;
pub mod cpio;
mod crc32;
#[cfg(feature = "tuf")]
pub mod date;
#[cfg(feature = "secure-boot")]
pub mod efi;
pub mod erofs;
pub mod fat;
mod field;
pub mod gpt;
pub mod patch;
pub mod pe;
#[cfg(feature = "secure-boot")]
pub mod signed_data;
#[cfg(feature = "tuf")]
pub mod tuf;
pub mod uuid;
pub mod verity;
