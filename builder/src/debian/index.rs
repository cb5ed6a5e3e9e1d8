//! What a set of suites offers: package by name, in its newest version, and who provides which virtual name.
//! Relations stay text until the resolver asks; of 69,000 packages it looks at a few hundred.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use ashlar_fetch::Blob;

use super::control::{self, Paragraph, paragraphs};
use super::mirror::Archive;
use super::relation::{self, Comparison};
use super::version::Version;

/// The text of one `Packages` file.
pub struct Source {
    /// Archive whose pool its paths are in.
    pub archive: Archive,
    /// For messages: suite and component.
    pub name: String,
    /// The text.
    pub text: String,
}

/// A package that can be had.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// Name.
    pub name: &'a str,
    /// Version.
    pub version: Version<'a>,
    /// `all`, or the index's architecture by Debian's name.
    pub arch: &'a str,
    /// Archive whose pool it is in.
    pub archive: Archive,
    /// Path in the archive.
    pub filename: &'a str,
    /// Size and digest of the file.
    pub blob: Blob,
    /// Source package, with its version where that differs.
    pub source: Option<&'a str>,
    /// Whether Debian says that every system has it.
    pub essential: bool,
    /// `Priority` as a number, most wanted first.
    pub priority: usize,
    /// Pre-Depends and Depends.
    pub needs: [&'a str; 2],
    /// Conflicts and Breaks.
    pub refuses: [&'a str; 2],
    /// Provides.
    pub provides: &'a str,
}

/// Everything that some suites offer.
pub struct Index<'a> {
    packages: HashMap<&'a str, Candidate<'a>>,
    providers: HashMap<&'a str, Vec<Provider<'a>>>,
}

/// A package that stands in for a name.
#[derive(Clone, Copy, Debug)]
pub struct Provider<'a> {
    /// Name of the package.
    pub package: &'a str,
    /// Version of what it provides, if it says one.
    pub version: Option<Version<'a>>,
}

/// An index does not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not of control syntax.
    #[error("read the package index {index}")]
    Syntax {
        /// Suite and component.
        index: String,
        /// Where and what.
        source: control::Error,
    },
    /// A package in it is not described as it must be.
    #[error("read the package index {index}: {package}: {why}")]
    Package {
        /// Suite and component.
        index: String,
        /// The package.
        package: String,
        /// What is wrong.
        why: String,
    },
}

impl<'a> Index<'a> {
    /// Reads indices; where several have a package, the newest version counts, and of equals the first.
    ///
    /// # Errors
    /// An index does not read.
    pub fn read(sources: &'a [Source]) -> Result<Self, Error> {
        let mut packages: HashMap<&str, Candidate> = HashMap::with_capacity(80_000);
        for source in sources {
            for paragraph in paragraphs(&source.text) {
                let syntax = |e| Error::Syntax { index: source.name.clone(), source: e };
                let paragraph = paragraph.map_err(syntax)?;
                let candidate = candidate(&paragraph, source.archive).map_err(|why| Error::Package {
                    index: source.name.clone(),
                    package: paragraph.get("Package").unwrap_or("(no name)").to_owned(),
                    why,
                })?;
                match packages.entry(candidate.name) {
                    Entry::Vacant(entry) => drop(entry.insert(candidate)),
                    Entry::Occupied(mut entry) if entry.get().version < candidate.version => {
                        entry.insert(candidate);
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
        let providers = providers(&packages)?;
        Ok(Self { packages, providers })
    }

    /// A real package.
    pub fn get(&self, name: &str) -> Option<&Candidate<'a>> {
        self.packages.get(name)
    }

    /// Who provides a name, the most wanted first.
    pub fn providers(&self, name: &str) -> &[Provider<'a>] {
        self.providers.get(name).map_or(&[], Vec::as_slice)
    }

    /// Names of all real packages.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.packages.keys().copied()
    }

    /// Packages that every Debian system has.
    pub fn essential(&self) -> impl Iterator<Item = &'a str> {
        self.packages.values().filter(|candidate| candidate.essential).map(|candidate| candidate.name)
    }
}

fn candidate<'a>(paragraph: &Paragraph<'a>, archive: Archive) -> Result<Candidate<'a>, String> {
    let field = |name: &str| paragraph.get(name).ok_or_else(|| format!("it has no {name}"));
    let text = |name: &str| paragraph.get(name).unwrap_or_default();
    let priorities = ["required", "important", "standard", "optional"];
    let filename = field("Filename")?;
    if !is_pool_path(filename) {
        return Err(format!("{filename:?} is no path in a pool"));
    }
    Ok(Candidate {
        name: field("Package")?,
        version: Version::parse(field("Version")?).map_err(|e| e.to_string())?,
        arch: field("Architecture")?,
        archive,
        filename,
        blob: Blob {
            digest: field("SHA256")?.parse().map_err(|e: ashlar_fetch::BadDigest| e.to_string())?,
            size: field("Size")?.parse().map_err(|_| "its Size is no number".to_owned())?,
        },
        source: paragraph.get("Source"),
        essential: paragraph.get("Essential") == Some("yes"),
        priority: priorities.iter().position(|name| *name == text("Priority")).unwrap_or(priorities.len()),
        needs: [text("Pre-Depends"), text("Depends")],
        refuses: [text("Conflicts"), text("Breaks")],
        provides: text("Provides"),
    })
}

/// A relative path without tricks, since it becomes part of a URL.
pub fn is_pool_path(path: &str) -> bool {
    let plain = path.bytes().all(|c| c.is_ascii_alphanumeric() || b"/.+-_~:".contains(&c));
    plain && path.split('/').all(|part| !["", ".", ".."].contains(&part))
}

fn providers<'a>(packages: &HashMap<&'a str, Candidate<'a>>) -> Result<HashMap<&'a str, Vec<Provider<'a>>>, Error> {
    let mut providers: HashMap<&str, Vec<Provider>> = HashMap::new();
    for candidate in packages.values().filter(|candidate| !candidate.provides.is_empty()) {
        let groups = relation::groups(candidate.provides).map_err(|e| Error::Package {
            index: candidate.archive.folder().to_owned(),
            package: candidate.name.to_owned(),
            why: e.to_string(),
        })?;
        for relation in groups.into_iter().flatten() {
            let version = relation.version.filter(|(sign, _)| *sign == Comparison::Equal).map(|(_, version)| version);
            providers.entry(relation.name).or_default().push(Provider { package: candidate.name, version });
        }
    }
    for list in providers.values_mut() {
        list.sort_by_key(|provider| (packages[provider.package].priority, provider.package));
    }
    Ok(providers)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "Package: a\nVersion: 1\nArchitecture: all\nFilename: pool/a_1.deb\nSize: 3\n\
        SHA256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

    fn source(text: &str) -> Source {
        Source { archive: Archive::Debian, name: "trixie/main".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn takes_the_newest() {
        let newer = A.replace("Version: 1", "Version: 1+deb13u1");
        let sources = [source(A), source(&format!("{newer}\n{A}"))];
        let index = Index::read(&sources).unwrap();
        assert_eq!(index.get("a").unwrap().version.to_string(), "1+deb13u1");
        assert_eq!(index.names().count(), 1);
    }

    #[test]
    fn orders_providers() {
        let with = |name: &str, extra: &str| A.replace("Package: a", &format!("Package: {name}\n{extra}"));
        let text = [
            with("z", "Priority: required\nProvides: mta"),
            with("b", "Priority: optional\nProvides: mta (= 2), other"),
            with("a", "Provides: mta"),
        ];
        let sources = [source(&text.join("\n"))];
        let index = Index::read(&sources).unwrap();
        let names: Vec<_> = index.providers("mta").iter().map(|provider| provider.package).collect();
        assert_eq!(names, ["z", "b", "a"]);
        assert_eq!(index.providers("mta")[1].version, Some(Version::parse("2").unwrap()));
        assert!(index.providers("none").is_empty());
    }

    #[test]
    fn refuses_what_it_cannot_pin() {
        fn check(text: &str, part: &str) {
            let sources = [source(text)];
            let error = Index::read(&sources).err().unwrap();
            assert!(error.to_string().contains(part), "{error}");
        }
        check(&A.replace("Size: 3", "Size: x"), "trixie/main: a: its Size is no number");
        check(&A.replace("SHA256", "SHA1"), "a: it has no SHA256");
        check(&A.replace("Version: 1", "Version: ~"), "a: read a version");
        check(&A.replace("pool/a", "pool/../a"), "is no path in a pool");
        check(&A.replace("pool/a", "/pool/a"), "is no path in a pool");
        check(&A.replace("pool/a", "pool/a?b"), "is no path in a pool");
        check(&A.replace("pool/a", "http://x/a"), "is no path in a pool");
        check("x\n", "read the package index trixie/main");
        check(&format!("{A}Provides: b (\n"), "debian: a: read relation");
    }
}
