//! The host name.

use std::fs;

use anyhow::Result;
use ashlar_config::machine::Machine;

use crate::report::Report;
use crate::write;

/// What the image brings, before anything of the machine's own.
pub const BASE: &str = "/usr/share/ashlar/etc";
/// Where everybody reads it.
pub const ETC: &str = "/run/ashlar/etc";

/// Writes hostname and hosts. PID 1 tells the kernel.
pub fn set(machine: &Machine, _: &mut Report) -> Result<()> {
    let base = |name| fs::read_to_string(format!("{BASE}/{name}")).unwrap_or_default();
    let name = match &machine.hostname {
        Some(name) => name.value.clone(),
        None => base("hostname").trim().to_owned(),
    };
    write::file(format!("{ETC}/hostname"), format!("{name}\n").as_bytes())?;
    write::file(format!("{ETC}/hosts"), hosts(&base("hosts"), &name).as_bytes())
}

/// The machine's own name leads to itself, whatever the network says.
fn hosts(base: &str, name: &str) -> String {
    let base = base.trim_end();
    let short = name.split('.').next().filter(|short| *short != name);
    let alias = short.map(|short| format!(" {short}")).unwrap_or_default();
    let own = if name.is_empty() { String::new() } else { format!("127.0.1.1\t{name}{alias}\n") };
    if base.is_empty() { own } else { format!("{base}\n{own}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_name() {
        let check = |base, name, expect| assert_eq!(hosts(base, name), expect);
        check("127.0.0.1 localhost\n", "web-1", "127.0.0.1 localhost\n127.0.1.1\tweb-1\n");
        check("", "web-1.example.net", "127.0.1.1\tweb-1.example.net web-1\n");
        check("127.0.0.1 localhost", "", "127.0.0.1 localhost\n");
    }
}
