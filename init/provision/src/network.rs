//! The network, as systemd-networkd reads it. What a link gets that the configuration does not mention is networkd's unit's
//! to say.

use anyhow::Result;
use ashlar_config::machine::Machine;

use crate::report::Report;
use crate::write;

const FOLDER: &str = "/run/systemd/network";
/// Before what an image may bring, in the order of the configuration.
const OURS: &str = "10-machine-";

/// networkd's unit brings it for links that the configuration does not mention.
const DEFAULT: &str = "90-default.network";
/// Beside the file of a network.
const PEERS: &str = "peers.conf";

/// Writes its files.
pub fn describe(machine: &Machine, _: &mut Report) -> Result<()> {
    let files = files(machine);
    write::folder(FOLDER, |name| name.starts_with(OURS), &files)?;
    // A link speaks multicast DNS as far as this and systemd-resolved's own setting say so.
    let is_wanted = machine.update.peers.as_ref().is_some_and(|peers| peers.discover);
    let text = || (PEERS.to_owned(), "[Network]\nMulticastDNS=yes\n".to_owned());
    let beside: Vec<(String, String)> = is_wanted.then(text).into_iter().collect();
    for name in files.iter().map(|(name, _)| name.as_str()).chain([DEFAULT]) {
        write::folder(&format!("{FOLDER}/{name}.d"), |name| name == PEERS, &beside)?;
    }
    Ok(())
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
