//! Device nodes and links in a container's own /dev. Nodes are the host's, bound: no right to make any is needed, and
//! none that the host does not have appears.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use ashlar_sys::{at, mounts};

use super::place::{self, Shape};
use crate::bundle::Bundle;
use crate::error::{Failure, InStep, Step};

/// What every container has (config-linux.md, default devices).
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// The host's nodes, by their paths: taken before anything covers them.
pub(super) fn take(bundle: &Bundle) -> Result<Vec<(String, OwnedFd)>, Failure> {
    let own = bundle.spec.linux.devices.iter().map(|device| device.path.clone());
    let paths = NODES.iter().map(|name| format!("/dev/{name}")).chain(own.filter(|path| !is_default(path)));
    let mut nodes = Vec::new();
    for path in paths {
        match mounts::clone_tree(None, Path::new(&path), false) {
            // One that this machine does not have is not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            node => nodes.push((path.clone(), node.step(Step::Node, path)?)),
        }
    }
    Ok(nodes)
}

/// Puts them in, with links beside them; `console` is the terminal that the container has.
pub(super) fn make(nodes: &[(String, OwnedFd)], root: &OwnedFd, console: Option<&OwnedFd>) -> Result<(), Failure> {
    let devices = at::locate(root, Path::new("/dev")).step(Step::Node, "/dev")?;
    for (name, target) in LINKS {
        at::make_link(&devices, Path::new(name), target).step(Step::Node, format!("/dev/{name}"))?;
    }
    for (path, node) in nodes {
        let place = place::make(root, path, Shape::File)?;
        mounts::attach(node, &place).step(Step::Node, path)?;
    }
    let Some(console) = console else { return Ok(()) };
    let place = place::make(root, "/dev/console", Shape::File)?;
    mounts::attach(console, &place).step(Step::Node, "/dev/console")
}

fn is_default(path: &str) -> bool {
    path.strip_prefix("/dev/").is_some_and(|name| NODES.contains(&name) || LINKS.iter().any(|link| link.0 == name))
}
