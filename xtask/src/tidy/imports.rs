//! What may import what, of ours. ARCHITECTURE.md says why.

use anyhow::Result;

use super::workspace::Workspace;

const TABLE: [(&str, &[&str]); 15] = [
    ("ashlar", &["ashlar-formats", "ashlar-config", "ashlar-fetch"]),
    ("ashlar-boot", &["ashlar-sys", "ashlar-formats", "ashlar-config"]),
    ("ashlar-init", &["ashlar-runtime", "ashlar-sys", "ashlar-config", "ashlar-control"]),
    ("ashlar-provision", &["ashlar-sys", "ashlar-config", "ashlar-fetch"]),
    ("ashlar-dbus", &["ashlar-sys", "ashlar-config", "ashlar-control"]),
    ("ashlar-runtime", &["ashlar-sys"]),
    ("ashlar-updater", &["ashlar-sys", "ashlar-formats", "ashlar-config", "ashlar-control", "ashlar-fetch"]),
    ("ashlar-os", &["ashlar-control", "ashlar-config"]),
    ("ashlar-sys", &[]),
    ("ashlar-formats", &[]),
    ("ashlar-config", &[]),
    ("ashlar-control", &["ashlar-config"]),
    ("ashlar-fetch", &[]),
    ("ashlar-qemu-tests", &["ashlar-control", "ashlar-config"]),
    ("xtask", &["ashlar-qemu-tests", "ashlar-config", "ashlar-formats"]),
];

/// Imports that the table does not have, and members that it does not know.
pub fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let ours: Vec<&str> = workspace.members().map(|member| member.name.as_str()).collect();
    let mut faults = Vec::new();
    for member in workspace.members() {
        let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == member.name) else {
            faults.push(format!("{} has no row in the import table (xtask/src/tidy/imports.rs)", member.name));
            continue;
        };
        let imports = member.asks.iter().map(String::as_str).filter(|name| ours.contains(name) && *name != member.name);
        let strange = imports.filter(|name| !allowed.contains(name));
        faults.extend(strange.map(|name| format!("{} imports {name}, which its row does not allow", member.name)));
    }
    Ok(faults)
}
