//! The updater: new versions of this machine, the way back, and the record of both. Two verbs, each a unit of its own:
//! `serve` answers on a socket as long as somebody asks; `commit` writes PID 1's verdict about a version on trial down.
//!
//! The way of an upgrade: `trust` (what the publisher signed) → `offer` (which release) → `tree` (the hash tree, the index
//! of everything that follows) → `blocks` (what is here already, what a `patch` makes, what is fetched) → the slot, read back → `esp` (the boot
//! entry). Nothing is written to a slot before the metadata was verified, and nothing points to it before it was read back.
//!
//! Not here: whether a version is well (PID 1's gate), and counting its tries (the boot loader).

mod blocks;
mod boot;
mod commit;
mod device;
mod error;
mod esp;
mod install;
mod offer;
mod patch;
mod record;
mod rollback;
mod serve;
mod slot;
mod source;
mod tree;
mod trust;

use std::process::ExitCode;

fn main() -> ExitCode {
    let verb = std::env::args().nth(1).unwrap_or_default();
    let done = match verb.as_str() {
        "serve" => serve::main(),
        "commit" => commit::main(),
        _ => {
            eprintln!("updater: this is for PID 1; people say `os upgrade`, `os rollback` and `os history`");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("updater: cannot {verb}: {}", error.line());
            ExitCode::FAILURE
        }
    }
}
