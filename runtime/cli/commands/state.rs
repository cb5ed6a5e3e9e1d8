//! `state`: where a container is in its life.

use serde_json::json;

use super::{Command, on_container, print_json};
use crate::containers::{Container, Status};
use crate::flags::Said;
use crate::{Failed, Globals};

pub const COMMAND: Command = on_container("state", "print a container's state", &[], run);

fn run(globals: &Globals, said: &Said) -> Result<u8, Failed> {
    print_json(&of(&Container::open(&globals.root, &said.operands[0])?))?;
    Ok(0)
}

/// The specification's fields, and those that engines know from others.
pub fn of(container: &Container) -> serde_json::Value {
    let (state, status) = (&container.state, container.status());
    let pid = if status == Status::Stopped { 0 } else { state.pid };
    json!({
        "ociVersion": if state.oci_version.is_empty() { super::SPEC_VERSION } else { &state.oci_version },
        "id": state.id,
        "pid": pid,
        "status": status.word(),
        "bundle": state.bundle,
        "rootfs": state.rootfs,
        "created": state.created,
        "owner": state.owner,
        "systemd-scope": state.unit,
        "annotations": state.annotations,
    })
}
