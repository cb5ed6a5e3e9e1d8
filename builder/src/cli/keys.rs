//! `ashlar keys`: what there is to say about keys.

use std::num::NonZeroU32;
use std::path::PathBuf;

use ashlar_formats::tuf::RoleName;
use clap::{Args, Subcommand};

/// `ashlar keys`
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a folder of keys, one for each role, and the first root that images bring. With ASHLAR_KEY_PASSPHRASE set they
    /// are encrypted.
    New {
        /// The folder; keep it away from the machine that serves.
        folder: PathBuf,
        /// How many keys of a role have to sign, and how many it has, as root=2/3; may be given for each role.
        #[arg(long, value_name = "ROLE=N[/M]", value_parser = quorum)]
        threshold: Vec<Quorum>,
        /// A key that there is already, as root=alice.pub: somebody's public key, or a file that says which command signs;
        /// may be given several times.
        #[arg(long, value_name = "ROLE=FILE", value_parser = of_role)]
        key: Vec<(RoleName, PathBuf)>,
    },
    /// Make a key of one's own, and beside it NAME.pub for the publisher.
    Make {
        /// The file: NAME.pem.
        file: PathBuf,
    },
    /// Show whose keys count and who still has to sign what; or what a document says that has to be signed.
    Show {
        /// The folder, or a document.
        path: PathBuf,
    },
    /// Add a key to a role: the next root, which is published with the next release.
    Add {
        /// The folder.
        folder: PathBuf,
        /// Whose key: root, timestamp, snapshot or targets.
        role: RoleName,
        /// The key: NAME.pub (somebody's public key), NAME.toml (says which command signs) or NAME.pem; a new one is made
        /// unless said otherwise.
        file: Option<PathBuf>,
    },
    /// Take a key from a role: the next root. What it signs from then on counts for nothing.
    Remove {
        /// The folder.
        folder: PathBuf,
        /// Whose key.
        role: RoleName,
        /// Which: the name of its file, or the first 12 digits of its id.
        key: String,
    },
    /// Exchange a key of a role: the next root, which is published with the next release.
    Rotate {
        /// The folder.
        folder: PathBuf,
        /// Whose key: root, timestamp, snapshot or targets.
        role: RoleName,
        /// Which one, where the role has several.
        key: Option<String>,
        /// The key in its place, as for `add`; a new one is made unless said otherwise.
        #[arg(long, value_name = "FILE")]
        with: Option<PathBuf>,
    },
    /// Set how many keys of a role have to sign: the next root.
    Threshold {
        /// The folder.
        folder: PathBuf,
        /// Which role.
        role: RoleName,
        /// How many.
        count: NonZeroU32,
    },
    /// Sign documents that wait for signatures, or copies of them, with a key of one's own.
    Sign {
        /// The documents: N.root.json or N.targets.json; the signature is added to the file.
        #[arg(required = true)]
        documents: Vec<PathBuf>,
        /// The key: NAME.pem, or NAME.toml, which says which command signs.
        #[arg(long, value_name = "FILE", required = true)]
        key: Vec<PathBuf>,
    },
    /// Take the signatures of copies that were signed elsewhere.
    Collect {
        /// The folder.
        folder: PathBuf,
        /// The copies.
        #[arg(required = true)]
        copies: Vec<PathBuf>,
    },
    /// Make the keys of Secure Boot (PK, KEK and db), and what a firmware takes them from. With ASHLAR_KEY_PASSPHRASE set
    /// they are encrypted.
    SecureBoot(SecureBootArgs),
}

/// `ashlar keys secure-boot`
#[derive(Debug, Args)]
pub struct SecureBootArgs {
    /// The folder; keep it away from machines that serve.
    pub folder: PathBuf,
    /// Whose they are: stands in the certificates, and in the menus of firmware.
    #[arg(long, default_value = "Ashlar")]
    pub name: String,
    /// A certificate, PEM or DER, whose programs start as well: that of the maker of a card with an option ROM, say.
    #[arg(long, value_name = "FILE")]
    pub trust: Vec<PathBuf>,
}

/// How many keys of a role have to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quorum {
    /// Whose.
    pub role: RoleName,
    /// How many have to sign.
    pub threshold: NonZeroU32,
    /// How many there are.
    pub keys: Option<u32>,
}

/// Reads `root=2/3`.
fn quorum(text: &str) -> Result<Quorum, String> {
    let (role, numbers) = text.split_once('=').ok_or("write it like root=2/3")?;
    let (threshold, keys) = numbers.split_once('/').map_or((numbers, None), |(some, all)| (some, Some(all)));
    let read =
        |number: &str| number.parse().map_err(|_| format!("`{number}` is no count of keys; write it like root=2/3"));
    let threshold: NonZeroU32 = read(threshold)?;
    let keys = keys.map(read).transpose()?.map(NonZeroU32::get);
    if keys.is_some_and(|keys| keys < threshold.get()) {
        return Err(format!("{threshold} keys cannot sign where there are fewer"));
    }
    Ok(Quorum { role: role.parse()?, threshold, keys })
}

/// Reads `root=alice.pub`.
fn of_role(text: &str) -> Result<(RoleName, PathBuf), String> {
    let (role, file) = text.split_once('=').ok_or("write it like root=alice.pub")?;
    Ok((role.parse()?, file.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quorums() {
        let check = |text, threshold, keys| {
            let threshold = NonZeroU32::new(threshold).unwrap();
            assert_eq!(quorum(text), Ok(Quorum { role: RoleName::Root, threshold, keys }), "{text}");
        };
        check("root=2/3", 2, Some(3));
        check("root=1", 1, None);
        let bad = |text, part| assert!(quorum(text).unwrap_err().contains(part), "{text}");
        bad("root", "write it like root=2/3");
        bad("root=0", "`0` is no count");
        bad("root=2/x", "`x` is no count");
        bad("root=3/2", "fewer");
        bad("delegated=1", "there are root, timestamp, snapshot and targets");
    }
}
