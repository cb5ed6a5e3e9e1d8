//! Device nodes and links in a container's own /dev.
//!
//! Who may makes them; a user namespace never may: there they are the host's, bound, and none that the host does not have
//! appears.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use ashlar_sys::at::{self, Node};
use ashlar_sys::mounts;

use super::place::{self, Shape};
use crate::bundle::Bundle;
use crate::error::{Failure, InStep, Step};
use crate::spec::{Device, NamespaceKind};

/// What every container has (config-linux.md, default devices).
const NODES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// A node to be put in.
#[derive(Debug)]
pub(super) struct Planned {
    path: String,
    how: How,
}

#[derive(Debug)]
enum How {
    /// The host's.
    Bound(OwnedFd),
    /// A new one: what, its mode and its owner.
    Made(Node, u32, (u32, u32)),
}

/// Which nodes there will be. The host's are taken before anything covers them.
pub(super) fn plan(bundle: &Bundle) -> Result<Vec<Planned>, Failure> {
    let make = bundle.spec.root.is_some() && !bundle.owns(NamespaceKind::User);
    let own = bundle.spec.linux.devices.iter().filter(|device| !is_default(&device.path));
    let mut planned = Vec::new();
    if make {
        let defaults = NODES.iter().map(|(path, major, minor)| Planned {
            path: (*path).to_owned(),
            how: How::Made(Node::Character(*major, *minor), 0o666, (0, 0)),
        });
        planned.extend(defaults);
        for device in own {
            let owner = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
            let how = How::Made(node(device)?, device.file_mode.unwrap_or(0o666) & 0o7777, owner);
            planned.push(Planned { path: device.path.clone(), how });
        }
        return Ok(planned);
    }
    let paths = NODES.iter().map(|(path, ..)| *path).chain(own.map(|device| device.path.as_str()));
    for path in paths {
        match mounts::clone_tree(None, Path::new(path), false) {
            // One that this machine does not have is not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            node => planned.push(Planned { path: path.to_owned(), how: How::Bound(node.step(Step::Node, path)?) }),
        }
    }
    Ok(planned)
}

fn node(device: &Device) -> Result<Node, Failure> {
    let number = |number: i64| {
        let wrong = || Failure::because(Step::Node, &device.path, format!("{number} is no number of a device"));
        u32::try_from(number).map_err(|_| wrong())
    };
    match device.kind.as_str() {
        "c" | "u" => Ok(Node::Character(number(device.major)?, number(device.minor)?)),
        "b" => Ok(Node::Block(number(device.major)?, number(device.minor)?)),
        "p" => Ok(Node::Pipe),
        other => Err(Failure::because(Step::Node, &device.path, format!("there is no type `{other}`"))),
    }
}

/// Puts them in, with links beside them; `console` is the terminal that the container has.
pub(super) fn put(planned: &[Planned], root: &OwnedFd, console: Option<&OwnedFd>) -> Result<(), Failure> {
    let devices = place::make(root, "/dev", Shape::Directory)?;
    for (name, target) in LINKS {
        at::make_link(&devices, Path::new(name), target).step(Step::Node, format!("/dev/{name}"))?;
    }
    for Planned { path, how } in planned {
        match how {
            How::Bound(node) => bind(node, root, path)?,
            How::Made(node, mode, owner) => make(*node, *mode, *owner, root, &devices, path)?,
        }
    }
    console.map_or(Ok(()), |console| bind(console, root, "/dev/console"))
}

fn bind(node: &OwnedFd, root: &OwnedFd, path: &str) -> Result<(), Failure> {
    mounts::attach(node, place::make(root, path, Shape::File)?).step(Step::Node, path)
}

fn make(
    node: Node,
    mode: u32,
    (uid, gid): (u32, u32),
    root: &OwnedFd,
    devices: &OwnedFd,
    path: &str,
) -> Result<(), Failure> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let made = match parent {
        "/dev" => at::make_node(devices, Path::new(name), node, mode, uid, gid),
        _ => {
            let parent = place::make(root, if parent.is_empty() { "/" } else { parent }, Shape::Directory)?;
            at::make_node(&parent, Path::new(name), node, mode, uid, gid)
        }
    };
    match made {
        // The image has it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // Root of a user namespace, without one of the container's own.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            match mounts::clone_tree(None, Path::new(path), false) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                node => bind(&node.step(Step::Node, path)?, root, path),
            }
        }
        made => made.step(Step::Node, path),
    }
}

fn is_default(path: &str) -> bool {
    let link = || path.strip_prefix("/dev/").is_some_and(|name| LINKS.iter().any(|link| link.0 == name));
    NODES.iter().any(|node| node.0 == path) || link()
}
