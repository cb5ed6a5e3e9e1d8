//! The kernel command line: only what is ours, and only when it is needed.

use ashlar_formats::verity::RootHash;

use crate::error::Error;

const ROOT_HASH: &str = "roothash=";
const VERSION: &str = "ashlar.version=";
const DEBUG: &str = "ashlar.debug";

/// What the signed command line says to the first stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    root_hash: Option<String>,
    /// Of the root that it names; empty when it does not say.
    pub version: String,
    /// Stop on a failure, do not restart.
    pub debug: bool,
}

impl CommandLine {
    /// Reads the text of /proc/cmdline. Of a key that is there twice the first one counts: what is appended to a signed
    /// command line must not replace what is in it.
    pub fn parse(text: &str) -> Self {
        let mut words = text.split_ascii_whitespace();
        let value = |key: &str| words.clone().find_map(|word| word.strip_prefix(key)).map(str::to_owned);
        let (root_hash, version) = (value(ROOT_HASH), value(VERSION).unwrap_or_default());
        Self { root_hash, version, debug: words.any(|word| word == DEBUG) }
    }

    /// The root hash to look for.
    pub fn root_hash(&self) -> Result<RootHash, Error> {
        let text = self.root_hash.as_deref().ok_or(Error::NoRootHash)?;
        text.parse().map_err(|_| Error::NotAHash(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let zeros = "0".repeat(64);
        let check = |text: &str, hash: Result<RootHash, &str>, debug: bool| {
            let line = CommandLine::parse(text);
            assert_eq!(line.root_hash().map_err(|error| error.to_string()), hash.map_err(str::to_owned), "{text}");
            assert_eq!(line.debug, debug, "{text}");
        };
        check(&format!("console=ttyS0 roothash={zeros}\n"), Ok(RootHash([0; 32])), false);
        check(&format!("roothash={zeros} roothash=ff ashlar.debug"), Ok(RootHash([0; 32])), true);
        check("ashlar.debug=0", Err("the kernel command line has no roothash=, which names the root to boot"), false);
        check("roothash=12", Err("roothash=12 on the kernel command line is not 64 hexadecimal digits"), false);
        check(
            &format!("roothash=+{}", "0".repeat(63)),
            Err(&format!("roothash=+{} on the kernel command line is not 64 hexadecimal digits", "0".repeat(63))),
            false,
        );
    }

    #[test]
    fn versions() {
        let check = |text: &str, expect: &str| assert_eq!(CommandLine::parse(text).version, expect, "{text}");
        check("roothash=00 ashlar.version=0.3.1 console=ttyS0 ashlar.version=9\n", "0.3.1");
        check("roothash=00", "");
    }
}
