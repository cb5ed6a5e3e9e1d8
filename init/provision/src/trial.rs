//! Whether this boot is one of a new version's tries: the boot loader counts them in the names of its entries, and no
//! other place tells it as surely. PID 1 does the rest.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use ashlar_config::boot_entry::{BootEntry, Standing};

use crate::write;

const FOUND: &str = "/run/ashlar/trial";

/// Finds it out and leaves it for PID 1.
pub fn note(entries: &Path, version: &str) -> Result<()> {
    let read = fs::read_dir(entries).with_context(|| format!("read {}", entries.display()))?;
    let names: Vec<String> = read.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    write::file(FOUND, format!("{}\n", standing(&names, version).name()).as_bytes())
}

/// A version that was not started by an entry of ours (by the network, say) is not counted, so not on trial.
fn standing(names: &[String], version: &str) -> Standing {
    let entries = names.iter().filter_map(|name| BootEntry::parse(name));
    let standings = entries.filter(|entry| entry.version == version).map(|entry| entry.standing());
    // Two names of one version are left by a cut in the middle of a rename: that was its blessing.
    standings.reduce(|one, two| if one == two { one } else { Standing::Committed }).unwrap_or(Standing::Committed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standings() {
        fn check(names: &[&str], expect: Standing) {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(standing(&names, "0.2.0"), expect, "{names:?}");
        }
        check(&[], Standing::Committed);
        check(&["ashlar_0.2.0.efi", "ashlar_0.1.0.efi"], Standing::Committed);
        check(&["ashlar_0.1.0.efi", "ashlar_0.2.0+2-1.efi"], Standing::Trial);
        check(&["ashlar_0.1.0+0-3.efi", "ashlar_0.2.0+0-4.efi"], Standing::Condemned);
        check(&["ashlar_0.2.0+2-1.efi", "ashlar_0.2.0.efi"], Standing::Committed);
        check(&["ashlar_0.2.00+3.efi"], Standing::Committed);
    }
}
