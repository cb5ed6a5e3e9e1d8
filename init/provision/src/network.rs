//! The network, as systemd-networkd reads it.

use anyhow::Result;
use ashlar_config::machine::{Machine, Network};

use crate::report::Report;
use crate::write;

const FOLDER: &str = "/run/systemd/network";
/// Before what an image may bring, in the order of the configuration.
const OURS: &str = "10-machine-";
/// Behind everything else.
const USUAL: &str = "90-machine-wired.network";

/// Writes its files.
pub fn describe(machine: &Machine, _: &mut Report) -> Result<()> {
    write::folder(FOLDER, |name| name.starts_with(OURS) || name == USUAL, &files(machine))
}

fn files(machine: &Machine) -> Vec<(String, String)> {
    let numbered = machine.networks.iter().enumerate();
    let mut files: Vec<_> =
        numbered.map(|(n, network)| (format!("{OURS}{n:02}.network"), network.to_networkd())).collect();
    if machine.uses_dhcp {
        files.push((USUAL.to_owned(), Network::usual().to_owned()));
    }
    files
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
        check("", &["90-machine-wired.network"]);
        check(
            "[[network]]\nname = 'en*'\n[[network]]\nname = 'x'",
            &["10-machine-00.network", "10-machine-01.network"],
        );
        // Something was wrong with it: better reachable by DHCP than not at all.
        check("[[network]]\nname = 'en*'\nadress = '::1/64'", &["10-machine-00.network", "90-machine-wired.network"]);
    }
}
