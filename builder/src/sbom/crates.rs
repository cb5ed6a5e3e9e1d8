//! Crates by Cargo.lock: what a program is linked from.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A crate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    pub name: String,
    pub version: String,
    pub checksum: Option<String>,
    /// In our repository.
    pub is_ours: bool,
}

/// The Cargo.lock cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No Cargo.lock.
    #[error("read Cargo.lock")]
    Form(#[from] toml::de::Error),
    /// A package is not in it.
    #[error("find package {0} in Cargo.lock: it is not there")]
    Absent(String),
}

#[derive(Deserialize)]
struct Lock {
    #[serde(default)]
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// The programs' packages and all that they depend on, sorted.
pub fn linked(cargo_lock: &str, programs: &[&str]) -> Result<Vec<Crate>, Error> {
    let lock: Lock = toml::from_str(cargo_lock)?;
    let mut open: Vec<&str> = programs.to_vec();
    let mut reached = BTreeMap::new();
    while let Some(wanted) = open.pop() {
        let package = lock.find(wanted).ok_or_else(|| Error::Absent(wanted.to_owned()))?;
        if reached.insert((&package.name, &package.version), package).is_none() {
            open.extend(package.dependencies.iter().map(String::as_str));
        }
    }
    Ok(reached.into_values().map(Crate::of).collect())
}

impl Lock {
    /// By a dependency's text: a name, with the version where there are several, and with the source where even that
    /// is not enough.
    fn find(&self, wanted: &str) -> Option<&Package> {
        let mut words = wanted.split(' ');
        let (name, version) = (words.next()?, words.next());
        self.package
            .iter()
            .find(|package| package.name == name && version.is_none_or(|version| package.version == version))
    }
}

impl Crate {
    fn of(package: &Package) -> Self {
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            checksum: package.checksum.clone(),
            is_ours: package.source.is_none(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub const LOCK: &str = r#"
version = 4

[[package]]
name = "ashlar-boot"
version = "0.1.0"
dependencies = ["libc 0.2.1", "sha2"]

[[package]]
name = "libc"
version = "0.1.9"
source = "registry+https://example.org"
checksum = "aa"

[[package]]
name = "libc"
version = "0.2.1"
source = "registry+https://example.org"
checksum = "bb"

[[package]]
name = "sha2"
version = "0.10.9"
source = "registry+https://example.org"
checksum = "cc"
dependencies = ["libc 0.2.1"]
"#;

    #[test]
    fn closes_over_dependencies() {
        #[track_caller]
        fn check(lock: &str, programs: &[&str], expect: Result<&[&str], &str>) {
            match (linked(lock, programs), expect) {
                (Ok(crates), Ok(want)) => {
                    let found: Vec<_> =
                        crates.iter().map(|found| format!("{} {}", found.name, found.version)).collect();
                    assert_eq!(found, want);
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (outcome, _) => panic!("{outcome:?}"),
            }
        }
        check(LOCK, &["ashlar-boot"], Ok(&["ashlar-boot 0.1.0", "libc 0.2.1", "sha2 0.10.9"]));
        check(LOCK, &["libc 0.1.9"], Ok(&["libc 0.1.9"]));
        check(LOCK, &[], Ok(&[]));
        check(LOCK, &["ashlar"], Err("find package ashlar in Cargo.lock"));
        check("package = 1", &[], Err("read Cargo.lock"));
    }
}
