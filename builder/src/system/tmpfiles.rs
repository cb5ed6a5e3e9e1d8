//! tmpfiles.d(5), as far as it is about /etc and /usr: folders, links and short files there belong to the image. What
//! it says of /run and /var belongs to units, which name their folders themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::tree::{self, Kind, Node, Tree};

const FOLDER: &str = "usr/lib/tmpfiles.d/";
/// Type, path, mode, user, group, age; what is behind them is the argument.
const FIELDS_BEFORE_ARGUMENT: usize = 6;

/// Does what the tree's own files say, in the order of their names.
///
/// # Errors
/// A folder on the way is none.
pub fn apply(tree: &mut Tree, origin: &Arc<str>) -> Result<(), tree::Error> {
    let read = |(path, node): (&String, &Node)| match &node.kind {
        Kind::File(content) if path.ends_with(".conf") => Some((path.clone(), Arc::clone(content))),
        _ => None,
    };
    let files: BTreeMap<String, Arc<Vec<u8>>> = tree.below(FOLDER).filter_map(read).collect();
    for content in files.values() {
        for line in String::from_utf8_lossy(content).lines() {
            apply_line(tree, line, origin)?;
        }
    }
    Ok(())
}

fn apply_line(tree: &mut Tree, line: &str, origin: &Arc<str>) -> Result<(), tree::Error> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [kind, path, ..] = fields.as_slice() else { return Ok(()) };
    let argument = fields.get(FIELDS_BEFORE_ARGUMENT).filter(|argument| **argument != "-");
    let Some(path) = path.strip_prefix('/').filter(|path| path.starts_with("etc/") || path.starts_with("usr/")) else {
        return Ok(());
    };
    // A boot's own (`!`) and the forcing of what is there (`+`) make no difference in an image without either.
    let node = match (kind.trim_end_matches(['!', '+', '-', '=', '~', '^', '$', '?']), argument) {
        ("d" | "D", _) => Node::directory(origin),
        ("L", Some(target)) => Node::symlink(target, origin),
        _ => return Ok(()),
    };
    if path.contains('%') || tree.get(path).is_some() { Ok(()) } else { tree.set(path, node) }
}
