//! The lock: every package of an image, pinned. Committed, so one package is one line, sorted, and nothing in it
//! says where or when it was made.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ashlar_config::error::line_of;
use ashlar_config::nearest::nearest;
use ashlar_fetch::{Blob, Cache, Client, Digest};
use serde::{Deserialize, Serialize};
use toml::Value;

use super::date::Date;
use super::index::{self, Candidate, Index, Source};
use super::mirror::{Archive, Mirror};
use super::release::{Release, Trust};
use super::resolve::{Selected, Wish, select};
use super::{Arch, version};

/// A lock has some 200 packages in 60 KB.
const MAX_LOCK: u64 = 16 << 20;
const FORMAT: u32 = 1;

/// What to lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Suites, the image's own first: `trixie`, `trixie-updates`, `trixie-security`.
    pub suites: Vec<String>,
    /// `main` and, for firmware, `non-free-firmware`.
    pub components: Vec<String>,
    /// Architecture of the image.
    pub arch: Arch,
    /// Packages by name.
    pub packages: BTreeSet<String>,
    /// Packages to do without, though others depend on them.
    pub exclude: BTreeSet<String>,
    /// Whether to take all packages that Debian marks as essential.
    pub essential: bool,
}

/// Every package of an image, pinned.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    format: u32,
    /// The image's own suite.
    pub suite: String,
    /// Architecture of the image.
    pub arch: Arch,
    /// When the newest of the suites was made; every time in an image is this one.
    pub date: Date,
    /// What was asked for.
    requested: BTreeSet<String>,
    /// What is done without.
    excluded: BTreeSet<String>,
    /// Sorted by name.
    pub packages: Vec<Package>,
}

/// One pinned package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version, with epoch.
    pub version: String,
    /// `all` or Debian's name of the lock's architecture.
    pub arch: String,
    /// Source package, with its version where that differs; left out where it has the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Archive whose pool it is in.
    #[serde(default, skip_serializing_if = "is_main")]
    pub archive: Archive,
    /// Path in the archive.
    pub filename: String,
    /// Size of the file in bytes.
    pub size: u64,
    /// Digest of the file.
    pub sha256: Digest,
    /// Names of packages in this lock that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends: Vec<String>,
}

fn is_main(archive: &Archive) -> bool {
    *archive == Archive::Debian
}

/// A lock cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("read lock {0}: there is none; run `ashlar lock`")]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("open lock {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It does not read.
    #[error("read lock {path}: {why}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A package is not in it.
    #[error("find package {name} in the lock: it is not there{}; run `ashlar lock` after a change of packages",
        .nearest.as_deref().map(|name| format!(" ({name} is)")).unwrap_or_default())]
    Absent {
        /// The package.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
}

/// Resolves a request against a mirror. Fetched indices are kept in the cache.
///
/// # Errors
/// The mirror's releases are not to be trusted, or the packages do not go together.
pub fn resolve(
    request: &Request,
    mirror: &Mirror,
    client: &Client,
    cache: &Cache,
    trust: &Trust,
) -> Result<Lock, super::Error> {
    let mut date = Date::from_seconds(0);
    let mut sources = Vec::new();
    for suite in &request.suites {
        let release = Release::fetch(client, mirror, suite, trust)?;
        date = date.max(release.date);
        for component in &request.components {
            let text = release.packages(client, mirror, cache, component, request.arch)?;
            sources.push(Source { archive: Archive::of_suite(suite), name: format!("{suite}/{component}"), text });
        }
    }
    Ok(pin(request, date, &sources)?)
}

/// Failures of [`pin`], which needs no network.
#[derive(Debug, thiserror::Error)]
enum PinError {
    #[error(transparent)]
    Index(#[from] index::Error),
    #[error(transparent)]
    Resolve(#[from] super::resolve::Error),
}

impl From<PinError> for super::Error {
    fn from(error: PinError) -> Self {
        match error {
            PinError::Index(error) => error.into(),
            PinError::Resolve(error) => error.into(),
        }
    }
}

fn pin(request: &Request, date: Date, sources: &[Source]) -> Result<Lock, PinError> {
    let index = Index::read(sources)?;
    let exclude: BTreeSet<&str> = request.exclude.iter().map(String::as_str).collect();
    let mut names: BTreeSet<&str> = request.packages.iter().map(String::as_str).collect();
    if request.essential {
        names.extend(index.essential().filter(|name| !exclude.contains(name)));
    }
    let selected = select(&index, &Wish { names, exclude, arch: request.arch.debian() })?;
    Ok(Lock {
        format: FORMAT,
        suite: request.suites.first().cloned().unwrap_or_default(),
        arch: request.arch,
        date,
        requested: request.packages.clone(),
        excluded: request.exclude.clone(),
        packages: selected.iter().map(Package::of).collect(),
    })
}

impl Package {
    fn of(selected: &Selected<'_>) -> Self {
        let Candidate { name, version, arch, archive, filename, blob, source, .. } = selected.candidate;
        Self {
            name: (*name).to_owned(),
            version: version.to_string(),
            arch: (*arch).to_owned(),
            source: source.map(str::to_owned),
            archive: *archive,
            filename: (*filename).to_owned(),
            size: blob.size,
            sha256: blob.digest,
            depends: selected.depends.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// Size and digest of the file.
    pub fn blob(&self) -> Blob {
        Blob { digest: self.sha256, size: self.size }
    }

    fn check(&self) -> Result<(), String> {
        version::Version::parse(&self.version).map_err(|e| format!("{}: {e}", self.name))?;
        if index::is_pool_path(&self.filename) {
            Ok(())
        } else {
            Err(format!("{}: {:?} is no path in a pool", self.name, self.filename))
        }
    }
}

impl Lock {
    /// Reads a lock file.
    ///
    /// # Errors
    /// There is none, or it does not read.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let file = |source| Error::File { path: path.to_owned(), source };
        let size = fs::metadata(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::Missing(path.to_owned()),
            _ => file(e),
        })?;
        let form = |why| Error::Form { path: path.to_owned(), why };
        if size.len() > MAX_LOCK {
            return Err(form(format!("it is larger than {MAX_LOCK} bytes")));
        }
        Self::parse(&fs::read_to_string(path).map_err(file)?).map_err(form)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lock: Self = toml::from_str(text).map_err(|e| {
            let line = e.span().map(|span| format!("line {}: ", line_of(text, span.start)));
            line.unwrap_or_default() + e.message()
        })?;
        if lock.format != FORMAT {
            return Err(format!("its format is {}, not {FORMAT}; run `ashlar lock`", lock.format));
        }
        lock.packages.iter().try_for_each(Package::check)?;
        let names: Vec<_> = lock.packages.iter().map(|package| &package.name).collect();
        if !names.is_sorted_by(|a, b| a < b) {
            return Err("its packages are not sorted by name, each once".to_owned());
        }
        let unknown = |package: &&Package| package.depends.iter().find(|name| lock.get(name).is_none()).cloned();
        match lock.packages.iter().find_map(|package| unknown(&package).map(|name| (package, name))) {
            Some((package, name)) => Err(format!("{} depends on {name}, which is not in it", package.name)),
            None => Ok(lock),
        }
    }

    /// Writes a lock file, whole or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let written = fs::write(&new, self.to_string()).and_then(|()| fs::rename(&new, path));
        written.map_err(|source| {
            let _ = fs::remove_file(&new);
            Error::File { path: path.to_owned(), source }
        })
    }

    /// A package by name.
    pub fn get(&self, name: &str) -> Option<&Package> {
        let at = self.packages.binary_search_by(|package| package.name.as_str().cmp(name)).ok()?;
        Some(&self.packages[at])
    }

    /// Whether the lock is of this request; if not, it should be renewed.
    pub fn is_of(&self, request: &Request) -> bool {
        self.requested == request.packages
            && self.excluded == request.exclude
            && self.arch == request.arch
            && Some(&self.suite) == request.suites.first()
    }

    /// What a request asks for and the lock was not made for, and the other way round; empty if they differ otherwise.
    pub fn changes(&self, request: &Request) -> String {
        let list = |word: &str, these: &BTreeSet<String>, those: &BTreeSet<String>| {
            let names: Vec<&str> = these.difference(those).map(String::as_str).collect();
            (!names.is_empty()).then(|| format!("{word} {}", names.join(" ")))
        };
        let changes = [
            list("asked for now:", &request.packages, &self.requested),
            list("no longer asked for:", &self.requested, &request.packages),
            list("left out now:", &request.exclude, &self.excluded),
            list("no longer left out:", &self.excluded, &request.exclude),
        ];
        changes.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// The packages that some of the lock's packages need, themselves included, sorted by name. `exclude` and
    /// what only they need is left out.
    ///
    /// # Errors
    /// A name is not in the lock.
    pub fn closure<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a str>,
        exclude: &BTreeSet<&str>,
    ) -> Result<Vec<&'a Package>, Error> {
        let mut open: Vec<&str> = names.into_iter().collect();
        let mut reached = BTreeMap::new();
        while let Some(name) = open.pop() {
            if exclude.contains(name) || reached.contains_key(name) {
                continue;
            }
            let package = self.get(name).ok_or_else(|| {
                let names = self.packages.iter().map(|package| package.name.as_str());
                Error::Absent { name: name.to_owned(), nearest: nearest(name, names).map(str::to_owned) }
            })?;
            reached.insert(name, package);
            open.extend(package.depends.iter().map(String::as_str));
        }
        Ok(reached.into_values().collect())
    }
}

/// The file's text. By hand, because a serializer would give a package ten lines.
impl std::fmt::Display for Lock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let strings = |names: &BTreeSet<String>| Value::from(names.iter().cloned().collect::<Vec<_>>());
        writeln!(f, "# Written by `ashlar lock`.")?;
        writeln!(f, "format = {FORMAT}")?;
        writeln!(f, "suite = {}", Value::from(self.suite.as_str()))?;
        writeln!(f, "arch = {}", Value::from(self.arch.to_string()))?;
        writeln!(f, "date = {}", Value::from(self.date.to_string()))?;
        writeln!(f, "requested = {}", strings(&self.requested))?;
        writeln!(f, "excluded = {}", strings(&self.excluded))?;
        writeln!(f, "packages = [")?;
        for package in &self.packages {
            writeln!(f, "  {},", inline(package))?;
        }
        writeln!(f, "]")
    }
}

fn inline(package: &Package) -> String {
    let text = |value: &str| Value::from(value).to_string();
    let mut fields = vec![
        format!("name = {}", text(&package.name)),
        format!("version = {}", text(&package.version)),
        format!("arch = {}", text(&package.arch)),
    ];
    fields.extend(package.source.as_ref().map(|source| format!("source = {}", text(source))));
    fields.extend((!is_main(&package.archive)).then(|| format!("archive = {}", text(package.archive.folder()))));
    fields.push(format!("filename = {}", text(&package.filename)));
    fields.push(format!("size = {}", package.size));
    fields.push(format!("sha256 = {}", text(&package.sha256.to_string())));
    if !package.depends.is_empty() {
        fields.push(format!("depends = {}", Value::from(package.depends.clone())));
    }
    format!("{{ {} }}", fields.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn request(packages: &[&str], exclude: &[&str], essential: bool) -> Request {
        Request {
            suites: vec!["trixie".to_owned(), "trixie-security".to_owned()],
            components: vec!["main".to_owned()],
            arch: Arch::Aarch64,
            packages: set(packages),
            exclude: set(exclude),
            essential,
        }
    }

    fn sources() -> [Source; 2] {
        let package = |name: &str, version: &str, more: &str| {
            let digest = Digest::of(version.as_bytes());
            format!(
                "Package: {name}\nVersion: {version}\nArchitecture: arm64\nFilename: pool/{name}_{version}.deb\n\
                 Size: 9\nSHA256: {digest}\n{more}\n"
            )
        };
        let main = [
            package("a", "1", "Depends: b, lib (>= 1)\n"),
            package("b", "1:2-1", "Source: bee (2)\nDepends: c\n"),
            package("c", "1", "Depends: a\n"),
            package("lib", "1", ""),
            package("root", "1", "Essential: yes\n"),
        ];
        let source = |archive, text: String| Source { archive, name: "test".to_owned(), text };
        [source(Archive::Debian, main.join("\n")), source(Archive::Security, package("lib", "1+deb13u1", ""))]
    }

    fn lock(request: &Request) -> Lock {
        pin(request, Date::from_seconds(1_795_252_544), &sources()).unwrap()
    }

    #[test]
    fn writes_a_line_for_each_package() {
        let text = lock(&request(&["b"], &["a"], false)).to_string();
        let one = Digest::of(b"1");
        let two = Digest::of(b"1:2-1");
        let expect = format!(
            "# Written by `ashlar lock`.\nformat = 1\nsuite = \"trixie\"\narch = \"aarch64\"\n\
             date = \"2026-11-21T09:15:44Z\"\nrequested = [\"b\"]\nexcluded = [\"a\"]\npackages = [\n  \
             {{ name = \"b\", version = \"1:2-1\", arch = \"arm64\", source = \"bee (2)\", \
             filename = \"pool/b_1:2-1.deb\", size = 9, sha256 = \"{two}\", depends = [\"c\"] }},\n  \
             {{ name = \"c\", version = \"1\", arch = \"arm64\", filename = \"pool/c_1.deb\", size = 9, \
             sha256 = \"{one}\" }},\n]\n"
        );
        assert_eq!(text, expect);
    }

    #[test]
    fn reads_what_it_writes() {
        let request = request(&["a"], &[], true);
        let lock = lock(&request);
        assert_eq!(lock.get("lib").unwrap().archive, Archive::Security);
        assert_eq!(lock.get("root").unwrap().version, "1");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.aarch64.lock");
        assert!(matches!(Lock::load(&path), Err(Error::Missing(_))));
        lock.save(&path).unwrap();
        assert_eq!(Lock::load(&path).unwrap(), lock);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(lock.is_of(&request));
        let other = super::tests::request(&["b"], &["x"], true);
        assert!(!lock.is_of(&other));
        assert_eq!(lock.changes(&other), "asked for now: b, no longer asked for: a, left out now: x");
    }

    #[test]
    fn refuses_damaged_locks() {
        let good = lock(&request(&["a"], &[], false)).to_string();
        Lock::parse(&good).unwrap();
        let check = |from: &str, to: &str, part: &str| {
            let error = Lock::parse(&good.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(part), "{error}");
        };
        check("format = 1", "format = 2", "its format is 2");
        check("size = 9", "size = -9", "line 9: invalid value: integer `-9`");
        check("name = \"a\"", "name = \"x\"", "not sorted");
        check("name = \"lib\"", "name = \"c\"", "not sorted");
        check("\"b\", \"lib\"", "\"b\", \"lob\"", "a depends on lob");
        check("pool/a_1.deb", "../../a", "is no path in a pool");
        check("version = \"1\"", "version = \"\"", "read a version");
        check("sha256 = \"", "sha256 = \"x", "SHA-256");
        check("arch = \"arm64\"", "arch = \"arm64\", host = \"x\"", "host");
    }

    #[test]
    fn closes_over_subsets() {
        let lock = lock(&request(&["a", "root"], &[], false));
        #[track_caller]
        fn check(lock: &Lock, names: &[&str], exclude: &[&str], expect: Result<&[&str], &str>) {
            let closure = lock.closure(names.iter().copied(), &exclude.iter().copied().collect());
            match (closure, expect) {
                (Ok(packages), Ok(want)) => {
                    assert_eq!(packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>(), want);
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (outcome, _) => panic!("{outcome:?}"),
            }
        }
        check(&lock, &["c"], &[], Ok(&["a", "b", "c", "lib"]));
        check(&lock, &["a"], &["b"], Ok(&["a", "lib"]));
        check(&lock, &["root", "lib"], &[], Ok(&["lib", "root"]));
        check(&lock, &[], &[], Ok(&[]));
        check(&lock, &["lab"], &[], Err("find package lab in the lock: it is not there (lib is)"));
    }
}
