//! What a version changes of a machine that runs another one: which units, whether the kernel, and whether it can be taken
//! without a reboot at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ashlar_control::update::Change;
use ashlar_formats::tuf::{CONTENTS, Contents};

/// What the running root is made of; `None` if it does not say.
pub fn running() -> Option<Contents> {
    serde_json::from_slice(&fs::read(Path::new("/").join(CONTENTS)).ok()?).ok()
}

/// From what runs to another version.
pub fn between(from: &Contents, to: &Contents) -> Change {
    let names: BTreeSet<&String> = from.units.keys().chain(to.units.keys()).collect();
    let units: Vec<String> =
        names.into_iter().filter(|name| from.units.get(*name) != to.units.get(*name)).cloned().collect();
    let versioned = units.iter().find(|name| from.versioned.contains(*name) || to.versioned.contains(*name));
    let reboot = match versioned {
        _ if from.accounts != to.accounts => Some("the machine's own accounts are others in it".to_owned()),
        Some(unit) => Some(format!("the state of {unit} goes back with its version, and is kept at a boot alone")),
        None => None,
    };
    Change { units, kernel: from.kernel != to.kernel, reboot }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(kernel: &str, units: &[(&str, &str)], versioned: &[&str]) -> Contents {
        let units = units.iter().map(|(name, digest)| ((*name).to_owned(), (*digest).to_owned())).collect();
        let versioned = versioned.iter().map(|name| (*name).to_owned()).collect();
        Contents { kernel: kernel.into(), accounts: "1".into(), units, versioned }
    }

    #[test]
    fn changes() {
        let from = contents("k", &[("a", "1"), ("b", "1"), ("c", "1")], &["c"]);
        let check = |to: Contents, units: &[&str], kernel, reboot: Option<&str>| {
            let change = between(&from, &to);
            assert_eq!(
                (change.units.iter().map(String::as_str).collect::<Vec<_>>(), change.kernel),
                (units.to_vec(), kernel)
            );
            assert_eq!(change.reboot.is_some(), reboot.is_some(), "{change:?}");
            assert!(change.reboot.unwrap_or_default().contains(reboot.unwrap_or_default()));
        };
        check(from.clone(), &[], false, None);
        check(contents("l", &[("b", "1"), ("c", "1"), ("d", "1")], &[]), &["a", "d"], true, None);
        check(contents("k", &[("a", "2"), ("b", "1"), ("c", "2")], &[]), &["a", "c"], false, Some("the state of c"));
        let other = Contents { accounts: "2".into(), ..from.clone() };
        check(other, &[], false, Some("accounts"));
    }
}
