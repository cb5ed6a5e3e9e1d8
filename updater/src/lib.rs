//! The updater: new versions of this machine, the way back, and the record of both. Five verbs, each a unit of its own:
//! `serve` answers on a socket as long as somebody asks; `automatic` is a round without anybody asking; `commit` writes PID
//! 1's verdict about a version on trial down; `checks` asks what machine.toml wants to be asked while one is; `share` gives
//! what this machine has of releases to other machines of its site.
//!
//! The way of an upgrade: `trust` (what the publisher signed) → `offer` (which release) → `tree` (the hash tree, the index
//! of everything that follows) → `blocks` (what is here already, what a `patch` makes, what is fetched) → the slot, read
//! back → `esp` (the boot entry). Nothing is written to a slot before the metadata was verified, and nothing points to it
//! before it was read back.
//!
//! Not here: whether a version is well (PID 1's gate), and counting its tries (the boot loader).

pub mod archive;
pub mod automatic;
pub mod blocks;
pub mod boot;
pub mod boots;
pub mod change;
pub mod checks;
pub mod commit;
pub mod device;
pub mod error;
pub mod esp;
pub mod firmware;
pub mod handover;
pub mod install;
pub mod live;
pub mod lock;
pub mod offer;
pub mod patch;
pub mod peers;
pub mod policy;
pub mod record;
pub mod road;
pub mod rollback;
pub mod serve;
pub mod settings;
pub mod share;
pub mod slot;
pub mod source;
pub mod tree;
pub mod trust;
