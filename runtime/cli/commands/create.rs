//! `create`: everything but the program's start.

use super::{Command, on_container};
use crate::flags::Said;
use crate::{Failed, Globals, launch, protect};

pub const COMMAND: Command = on_container("create", "make a container that waits to be started", &launch::FLAGS, run);

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    protect::this_program()?;
    let passed = launch::Passed::from(said)?;
    let bundle = launch::bundle(said)?;
    let terminal = bundle.0.spec.process.as_ref().is_some_and(|process| process.terminal);
    let (console, _) = launch::console(said, terminal, false)?;
    launch::make(globals, said, &passed, &bundle, console, true)?;
    Ok(0)
}
