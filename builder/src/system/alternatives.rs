//! Names that several packages could stand for (update-alternatives(1)): the few that somebody relies on. A name that
//! is there already stays; of several candidates the first that is there takes it.

use std::sync::Arc;

use crate::tree::{self, Node, Tree};

/// Name, candidates.
const NAMES: [(&str, &[&str]); 19] = [
    ("usr/bin/awk", &["usr/bin/gawk", "usr/bin/mawk", "usr/bin/original-awk", "usr/bin/busybox"]),
    ("usr/bin/nawk", &["usr/bin/gawk", "usr/bin/mawk"]),
    ("usr/bin/editor", &["usr/bin/nano", "usr/bin/vim.tiny", "usr/bin/vim.basic"]),
    ("usr/bin/nc", &["usr/bin/nc.openbsd", "usr/bin/nc.traditional"]),
    ("usr/bin/pager", &["usr/bin/less", "usr/bin/more"]),
    ("usr/bin/vi", &["usr/bin/vim.basic", "usr/bin/vim.tiny", "usr/bin/nvi"]),
    ("usr/bin/which", &["usr/bin/which.debianutils"]),
    ("usr/bin/w", &["usr/bin/w.procps"]),
    ("usr/sbin/arptables", &["usr/sbin/arptables-nft"]),
    ("usr/sbin/ebtables", &["usr/sbin/ebtables-nft"]),
    ("usr/sbin/ip6tables", &["usr/sbin/ip6tables-nft"]),
    ("usr/sbin/ip6tables-restore", &["usr/sbin/ip6tables-nft-restore"]),
    ("usr/sbin/ip6tables-save", &["usr/sbin/ip6tables-nft-save"]),
    ("usr/sbin/iptables", &["usr/sbin/iptables-nft"]),
    ("usr/sbin/iptables-restore", &["usr/sbin/iptables-nft-restore"]),
    ("usr/sbin/iptables-save", &["usr/sbin/iptables-nft-save"]),
    ("usr/bin/pinentry", &["usr/bin/pinentry-curses", "usr/bin/pinentry-tty"]),
    ("usr/bin/telnet", &["usr/bin/inetutils-telnet"]),
    ("usr/bin/ftp", &["usr/bin/tnftp"]),
];

/// Makes the links.
///
/// # Errors
/// A name's folder is none.
pub fn choose(tree: &mut Tree, origin: &Arc<str>) -> Result<(), tree::Error> {
    for (name, candidates) in NAMES {
        let Some(chosen) = candidates.iter().find(|candidate| tree.follow(candidate).is_some()) else { continue };
        if tree.get(name).is_none() {
            tree.set(name, Node::symlink(&format!("/{chosen}"), origin))?;
        }
    }
    Ok(())
}
