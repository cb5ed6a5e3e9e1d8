//! Relations between packages (Debian Policy 7.1): `a (>= 1) | b:any, c [!arm64]`.

use std::cmp::Ordering;
use std::fmt;

use super::version::{self, Version};

/// More alternatives or relations than this in one field is no package of Debian's.
const MAX_RELATIONS: usize = 20_000;

/// One relation: a package, and which versions of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// Real or virtual package.
    pub name: &'a str,
    /// After the colon: `any`, `native` or an architecture.
    pub qualifier: Option<&'a str>,
    /// Which versions; all when None.
    pub version: Option<(Comparison, Version<'a>)>,
    /// Architectures that it is for (or, with `!`, not for); all when empty.
    arches: Vec<&'a str>,
}

/// How versions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<<`
    Earlier,
    /// `<=`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`
    LaterOrEqual,
    /// `>>`
    Later,
}

/// A relation field that does not read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not of the form that Policy gives.
    #[error("read relation {0:?}: it is not of the form NAME[:ARCH] [(OPERATOR VERSION)] [[ARCH…]]")]
    Form(String),
    /// The version in it is none.
    #[error(transparent)]
    Version(#[from] version::Error),
    /// More than the limit.
    #[error("read relations: there are more than {MAX_RELATIONS}")]
    TooMany,
}

impl Comparison {
    const ALL: [(&'static str, Self); 5] = [
        ("<<", Self::Earlier),
        ("<=", Self::EarlierOrEqual),
        (">=", Self::LaterOrEqual),
        (">>", Self::Later),
        ("=", Self::Equal),
    ];

    fn admits(self, order: Ordering) -> bool {
        match self {
            Self::Earlier => order.is_lt(),
            Self::EarlierOrEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::LaterOrEqual => order.is_ge(),
            Self::Later => order.is_gt(),
        }
    }
}

impl<'a> Relation<'a> {
    /// Reads one relation.
    ///
    /// # Errors
    /// The text has another form.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let form = || Error::Form(text.chars().take(80).collect());
        let end = text.find(|c: char| c.is_whitespace() || "([<".contains(c)).unwrap_or(text.len());
        let (head, mut rest) = text.split_at(end);
        let (name, qualifier) = match head.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (head, None),
        };
        if !is_name(name) || qualifier.is_some_and(|qualifier| !is_name(qualifier)) {
            return Err(form());
        }
        let mut relation = Self { name, qualifier, version: None, arches: Vec::new() };
        rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix('(') {
            let (constraint, after) = inner.split_once(')').ok_or_else(form)?;
            let constraint = constraint.trim();
            let found = Comparison::ALL.iter().find(|(sign, _)| constraint.starts_with(sign));
            let (sign, comparison) = found.ok_or_else(form)?;
            relation.version = Some((*comparison, Version::parse(constraint[sign.len()..].trim())?));
            rest = after.trim_start();
        }
        if let Some(inner) = rest.strip_prefix('[') {
            let (arches, after) = inner.split_once(']').ok_or_else(form)?;
            relation.arches = arches.split_whitespace().collect();
            rest = after.trim_start();
        }
        if rest.is_empty() { Ok(relation) } else { Err(form()) }
    }

    /// Whether a version is one of those that the relation asks for.
    pub fn admits(&self, version: &Version<'_>) -> bool {
        self.version.is_none_or(|(comparison, bound)| comparison.admits(version.cmp(&bound)))
    }

    /// Whether the relation holds on an architecture (Debian's name).
    pub fn is_for(&self, arch: &str) -> bool {
        let qualified = self.qualifier.is_none_or(|name| ["any", "native", arch].contains(&name));
        let not_for = self.arches.iter().any(|name| name.strip_prefix('!') == Some(arch));
        let only_for: Vec<_> = self.arches.iter().filter(|name| !name.starts_with('!')).collect();
        qualified && !not_for && (only_for.is_empty() || only_for.contains(&&arch))
    }
}

/// Reads a field: groups that all must hold, of alternatives of which one must.
///
/// # Errors
/// A relation does not read, or there are too many.
pub fn groups(field: &str) -> Result<Vec<Vec<Relation<'_>>>, Error> {
    let groups = field.split(',').map(str::trim).filter(|group| !group.is_empty());
    let mut read = Vec::new();
    for group in groups {
        if read.len() >= MAX_RELATIONS {
            return Err(Error::TooMany);
        }
        read.push(group.split('|').map(|text| Relation::parse(text.trim())).collect::<Result<_, _>>()?);
    }
    Ok(read)
}

/// Package names (Policy 5.6.1), a little wider: virtual names have upper case and underscores too.
fn is_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"+-._".contains(&c);
    name.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric()) && name.bytes().all(allowed)
}

impl fmt::Display for Relation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if let Some((comparison, version)) = &self.version {
            let sign = Comparison::ALL.iter().find(|(_, other)| other == comparison).map_or("", |(sign, _)| sign);
            write!(f, " ({sign} {version})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields() {
        fn check(field: &str, expect: &[&[&str]]) {
            let read = groups(field).unwrap();
            let read: Vec<Vec<_>> = read.iter().map(|group| group.iter().map(Relation::to_string).collect()).collect();
            assert_eq!(read, expect, "{field}");
        }
        check("", &[]);
        check("a", &[&["a"]]);
        check("a, b|c , ", &[&["a"], &["b", "c"]]);
        check("a (>=1:2-3) | b(<< 4~),\n c:any ( = 5 )", &[&["a (>= 1:2-3)", "b (<< 4~)"], &["c (= 5)"]]);
        check("libstdc++6 (>= 13.1), x11proto-core-dev", &[&["libstdc++6 (>= 13.1)"], &["x11proto-core-dev"]]);
    }

    #[test]
    fn refuses_other_forms() {
        fn check(field: &str) {
            assert!(groups(field).is_err(), "{field}");
        }
        check("a (1)");
        check("a (>= )");
        check("a (>= 1");
        check("a [amd64");
        check("a b");
        check("a |");
        check("a:");
        check("-a");
        check("a <!nocheck>");
        check("a (>= 1) x");
        check(&"a,".repeat(MAX_RELATIONS + 1));
    }

    #[test]
    fn admits_versions() {
        fn check(relation: &str, version: &str, expect: bool) {
            let admits = Relation::parse(relation).unwrap().admits(&Version::parse(version).unwrap());
            assert_eq!(admits, expect, "{relation} and {version}");
        }
        check("a", "1", true);
        check("a (= 1)", "1", true);
        check("a (= 1)", "1-1", false);
        check("a (<< 1)", "1~", true);
        check("a (<< 1)", "1", false);
        check("a (<= 1)", "1", true);
        check("a (>= 1)", "1~", false);
        check("a (>> 1)", "1", false);
        check("a (>> 1)", "1+", true);
    }

    #[test]
    fn holds_on_architectures() {
        fn check(relation: &str, expect: bool) {
            assert_eq!(Relation::parse(relation).unwrap().is_for("arm64"), expect, "{relation}");
        }
        check("a", true);
        check("a:any", true);
        check("a:native", true);
        check("a:arm64", true);
        check("a:amd64", false);
        check("a [amd64]", false);
        check("a [amd64 arm64]", true);
        check("a [!amd64]", true);
        check("a [!arm64]", false);
    }
}
