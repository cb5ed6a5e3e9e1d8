//! Who may own which name on the message bus: for each unit with `bus-names`, a policy in the bus daemon's root, beside
//! it what the unit's own packages say about who may call it, and for each name which unit is to be started for it.

use std::sync::Arc;

use crate::system::Shared;
use crate::tree::{self, Tree};

const FOLDER: &str = "usr/share/dbus-1/system.d";
/// The name that PID 1 is known by, and the interface over which the bus asks it to start units.
const MANAGER: &str = "org.freedesktop.systemd1";
const ACTIVATOR: &str = "org.freedesktop.systemd1.Activator";
const SERVICES: &str = "usr/share/dbus-1/system-services";

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
        for name in member.names {
            daemon.set(&format!("{SERVICES}/{name}.service"), shared.file(service(member.unit, name)))?;
        }
        let own = format!("{FOLDER}/");
        for (path, node) in member.root.below(&own) {
            daemon.set(path, tree::Node { origin: Arc::clone(&node.origin), ..node.clone() })?;
        }
    }
    Ok(())
}

/// The bus asks PID 1 for the unit; it starts nothing itself.
fn service(unit: &str, name: &str) -> String {
    format!("[D-BUS Service]\nName={name}\nExec=/bin/false\nUser=root\nSystemdService={unit}.service\n")
}

fn policy(uid: u32, names: &[String]) -> String {
    let rules: String = names
        .iter()
        .map(|name| format!("    <allow own=\"{name}\"/>\n    <allow send_destination=\"{name}\"/>\n"))
        .collect();
    // Who is asked to start units says which of them did not.
    let rules = match names.iter().any(|name| name == MANAGER) {
        true => {
            format!("{rules}    <allow send_destination=\"org.freedesktop.DBus\" send_interface=\"{ACTIVATOR}\"/>\n")
        }
        false => rules,
    };
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
        let text = daemon.read("usr/share/dbus-1/system-services/org.n.service").unwrap().to_vec();
        assert!(String::from_utf8(text).unwrap().ends_with("\nSystemdService=net.service\n"));
    }
}
