//! Who may own which name on the message bus: for each unit with `bus-names`, a policy in the bus daemon's root, and
//! beside it what the unit's own packages say about who may call it.

use std::sync::Arc;

use crate::system::Shared;
use crate::tree::{self, Tree};

const FOLDER: &str = "usr/share/dbus-1/system.d";

/// A unit on the bus.
pub struct Member<'a> {
    /// Its name.
    pub unit: &'a str,
    /// Its user, as the bus daemon, outside of its namespace, sees it.
    pub uid: u32,
    /// Names that it may own.
    pub names: &'a [String],
    /// Its root.
    pub root: &'a Tree,
}

/// Writes the policies of all members into the daemon's root.
///
/// # Errors
/// The folder is none.
pub fn write(daemon: &mut Tree, members: &[Member<'_>], shared: &mut Shared) -> Result<(), tree::Error> {
    for member in members {
        daemon.set(&format!("{FOLDER}/ashlar-{}.conf", member.unit), shared.file(policy(member.uid, member.names)))?;
        let own = format!("{FOLDER}/");
        for (path, node) in member.root.below(&own) {
            daemon.set(path, tree::Node { origin: Arc::clone(&node.origin), ..node.clone() })?;
        }
    }
    Ok(())
}

fn policy(uid: u32, names: &[String]) -> String {
    let rules: String = names
        .iter()
        .map(|name| format!("    <allow own=\"{name}\"/>\n    <allow send_destination=\"{name}\"/>\n"))
        .collect();
    format!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN\"\n \
         \"https://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n<busconfig>\n  <policy user=\"{uid}\">\n\
         {rules}  </policy>\n</busconfig>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    #[test]
    fn a_member_brings_its_own_rules() {
        let mut shared = Shared::new();
        let mut root = Tree::default();
        root.add("usr/share/dbus-1/system.d/n.conf", Node::file("theirs", 0o644, &shared.origin)).unwrap();
        let names = ["org.n".to_owned()];
        let member = Member { unit: "net", uid: 524_290, names: &names, root: &root };
        let mut daemon = Tree::default();
        write(&mut daemon, &[member], &mut shared).unwrap();
        let text =
            String::from_utf8(daemon.read("usr/share/dbus-1/system.d/ashlar-net.conf").unwrap().to_vec()).unwrap();
        assert!(text.contains("<policy user=\"524290\">\n    <allow own=\"org.n\"/>"), "{text}");
        assert!(daemon.read("usr/share/dbus-1/system.d/n.conf").is_some());
    }
}
