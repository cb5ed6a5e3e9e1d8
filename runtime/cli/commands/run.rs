//! `run`: make, start, wait, remove.

use super::{Command, delete, on_container, start};
use crate::console::Awaited;
use crate::flags::{Flag, Said, switch};
use crate::foreground::Foreground;
use crate::{Failed, Globals, launch, protect};

const FLAGS: [Flag; launch::FLAGS.len() + 2] = {
    let mut flags = [switch("detach", "come back when the program runs").or('d'); launch::FLAGS.len() + 2];
    flags[1] = switch("keep", "leave the container there when its program has ended");
    let mut at = 0;
    while at < launch::FLAGS.len() {
        flags[at + 2] = launch::FLAGS[at];
        at += 1;
    }
    flags
};

pub const COMMAND: Command = on_container("run", "make a container, run its program, and remove it", &FLAGS, run);

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    protect::this_program()?;
    let passed = launch::Passed::from(said)?;
    let bundle = launch::bundle(said)?;
    let terminal = bundle.0.spec.process.as_ref().is_some_and(|process| process.terminal);
    let detach = said.has("detach");
    let (console, awaited) = launch::console(said, terminal, !detach)?;
    let foreground = if detach { None } else { Some(Foreground::new()?) };
    let made = launch::make(globals, said, &passed, &bundle, console, false)?;
    start::poststart(&made.container, &made.bundle)?;
    let Some(foreground) = foreground else { return Ok(0) };
    let relay = awaited.map(Awaited::relay).transpose()?;
    let code = foreground.attend(made.process.pid, &made.process.pidfd, relay);
    if !said.has("keep") {
        delete::clear(&made.container, &made.bundle)?;
    }
    code
}
