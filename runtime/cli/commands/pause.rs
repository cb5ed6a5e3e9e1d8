//! `pause` and `resume`.

use super::{Command, on_container};
use crate::containers::{Container, Status};
use crate::flags::Said;
use crate::{Failed, Globals, group};

pub const PAUSE: Command = on_container("pause", "freeze a container's processes", &[], |globals, said| {
    change(globals, said, "pause", &[Status::Running, Status::Created], true)
});
pub const RESUME: Command = on_container("resume", "let a paused container go on", &[], |globals, said| {
    change(globals, said, "resume", &[Status::Paused], false)
});

fn change(globals: &Globals, said: &Said, verb: &str, from: &[Status], frozen: bool) -> Result<u8, Failed> {
    let id = &said.operands[0];
    let container = Container::lock(&globals.root, id)?;
    let status = container.status();
    if !from.contains(&status) {
        return Err(Failed::new(format!("cannot {verb} container `{id}`: it is {}", status.word())));
    }
    let group = container
        .group()
        .ok_or_else(|| Failed::new(format!("cannot {verb} container `{id}`: it has no control group of its own")))?;
    group::freeze(&group, frozen)?;
    Ok(0)
}
