//! The network, as systemd-networkd reads it. What a link gets that the configuration does not mention is networkd's unit's
//! to say.

use anyhow::Result;
use ashlar_config::machine::Machine;

use crate::report::Report;
use crate::write;

const FOLDER: &str = "/run/systemd/network";
/// Before what an image may bring, in the order of the configuration.
const OURS: &str = "10-machine-";

/// Writes its files.
pub fn describe(machine: &Machine, _: &mut Report) -> Result<()> {
    write::folder(FOLDER, |name| name.starts_with(OURS), &files(machine))
}

fn files(machine: &Machine) -> Vec<(String, String)> {
    let numbered = machine.networks.iter().enumerate();
    numbered.map(|(n, network)| (format!("{OURS}{n:02}.network"), network.to_networkd())).collect()
}

#[cfg(test)]
mod tests {
    use ashlar_config::machine::parse;

    #[test]
    fn files() {
        let check = |text, expect: &[&str]| {
            let files = super::files(&parse("m", text).0);
            assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), expect, "{text}");
        };
        check("", &[]);
        check(
            "[[network]]\nname = 'en*'\n[[network]]\nname = 'x'",
            &["10-machine-00.network", "10-machine-01.network"],
        );
        check("[[network]]\nname = 'en*'\n[[network]]\ndhcp = true", &["10-machine-00.network"]);
    }
}
