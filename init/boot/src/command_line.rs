//! The kernel command line: only what is ours, and only when it is needed.

use ashlar_formats::verity::RootHash;

use crate::error::Error;

const ROOT_HASH: &str = "roothash=";
const DEBUG: &str = "ashlar.debug";

/// What the signed command line says to the first stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    root_hash: Option<String>,
    /// Stop on a failure, do not restart.
    pub debug: bool,
}

impl CommandLine {
    /// Reads the text of /proc/cmdline. Of a key that is there twice the first one counts: what is appended to a signed
    /// command line must not replace what is in it.
    pub fn parse(text: &str) -> Self {
        let mut words = text.split_ascii_whitespace();
        let root_hash = words.clone().find_map(|word| word.strip_prefix(ROOT_HASH)).map(str::to_owned);
        Self { root_hash, debug: words.any(|word| word == DEBUG) }
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
}
