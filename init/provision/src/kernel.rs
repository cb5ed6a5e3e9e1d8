//! Kernel modules and parameters.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use ashlar_config::machine::Machine;

use crate::report::Report;
use crate::write;

const MODPROBE: &str = "/usr/sbin/modprobe";
const SETTINGS: &str = "/run/ashlar/sysctl.conf";

/// Loads the modules; one that cannot be loaded is a mistake in its line.
pub fn load_modules(machine: &Machine, report: &mut Report) -> Result<()> {
    for module in &machine.modules {
        let name = &module.value;
        let output = Command::new(MODPROBE).arg(name).output().with_context(|| format!("start {MODPROBE}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            report.mistake(&module.error(format!("the module `{name}` cannot be loaded: {said}")));
        }
    }
    Ok(())
}

/// Writes those that this kernel has.
pub fn set_parameters(machine: &Machine, report: &mut Report) -> Result<()> {
    let mut text = String::new();
    for (key, value) in &machine.sysctl {
        if Path::new("/proc/sys").join(path(&key.value)).exists() {
            text += &format!("{} = {value}\n", key.value);
        } else {
            let message = format!("this kernel has no parameter `{}`; is it one of a module?", key.value);
            report.mistake(&key.error(message));
        }
    }
    write::file(SETTINGS, text.as_bytes())
}

/// The file below /proc/sys: dots are slashes, and slashes dots.
fn path(key: &str) -> String {
    let swap = |letter| match letter {
        '.' => '/',
        '/' => '.',
        letter => letter,
    };
    key.chars().map(swap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |key, expect| assert_eq!(path(key), expect);
        check("net.ipv4.ip_forward", "net/ipv4/ip_forward");
        check("net.ipv4.conf.eth0/1.rp_filter", "net/ipv4/conf/eth0.1/rp_filter");
    }
}
