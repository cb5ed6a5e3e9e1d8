//! Locked packages in the cache: fetched in parallel when missing, checked whenever read, fetched again when
//! damaged. The mirror is looked for only when something is missing, so that a warm build works offline.

use std::cell::Cell;
use std::io;

use ashlar_fetch::{Cache, Client};

use super::deb::{self, Deb, Entry, Limits};
use super::lock::Package;
use super::mirror::{self, Mirror};
use super::progress::Progress;
use super::workers;

/// Connections at a time: enough to hide the round trips of small packages, few enough to be polite.
const CONNECTIONS: usize = 6;

/// Where packages are got.
pub struct Store {
    cache: Cache,
    client: Client,
    /// As the command line names it.
    mirror: Option<String>,
}

/// A package's files.
pub struct Unpacked<'a> {
    /// The package.
    pub package: &'a Package,
    /// Its files, in its own order.
    pub entries: Vec<Entry>,
}

/// A package cannot be got.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No mirror to fetch it from.
    #[error(transparent)]
    Mirror(#[from] mirror::Error),
    /// The mirror has a newer one by now.
    #[error("fetch package {name} {version}: it is no longer on the mirror; run `ashlar lock`")]
    Gone {
        /// Name.
        name: String,
        /// Pinned version.
        version: String,
    },
    /// It cannot be fetched.
    #[error("fetch package {name}")]
    Fetch {
        /// Name.
        name: String,
        /// What went wrong.
        source: ashlar_fetch::Error,
    },
    /// The cache cannot be read.
    #[error("read package {name} in the cache")]
    Cache {
        /// Name.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// It does not unpack.
    #[error("unpack package {name}")]
    Unpack {
        /// Name.
        name: String,
        /// What is wrong with it.
        source: deb::Error,
    },
}

impl Store {
    /// A store over a cache. `mirror` is what the command line names, if it does.
    pub fn new(cache: Cache, client: Client, mirror: Option<String>) -> Self {
        Self { cache, client, mirror }
    }

    /// Fetches what is missing.
    ///
    /// # Errors
    /// No mirror, or one that does not have a package or does not answer.
    pub fn ensure(&self, packages: &[&Package]) -> Result<(), Error> {
        let mut missing: Vec<_> = packages.iter().filter(|package| self.cache.get(&package.blob()).is_none()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mirror = Mirror::find(self.mirror.as_deref())?;
        missing.sort_by_key(|package| (std::cmp::Reverse(package.size), &package.name));
        let progress = Progress::begin(missing.len(), missing.iter().map(|package| package.size).sum());
        let fetched = workers::run(CONNECTIONS, &missing, |package| {
            let had = Cell::new(0);
            self.fetch(&mirror, package, &|now| progress.moved(had.replace(now), now))
        });
        progress.end();
        fetched.map(drop)
    }

    fn fetch(&self, mirror: &Mirror, package: &Package, moved: &dyn Fn(u64)) -> Result<(), Error> {
        let url = mirror.url(package.archive, &package.filename)?;
        let name = package.name.clone();
        self.cache.fetch(&self.client, &url, &package.blob(), moved).map(drop).map_err(|source| match source.status() {
            Some(404 | 410) => Error::Gone { name, version: package.version.clone() },
            _ => Error::Fetch { name, source },
        })
    }

    /// The bytes of a package, digest checked; fetched again once if they are damaged.
    ///
    /// # Errors
    /// The cache cannot be read, or the package cannot be fetched.
    pub fn read(&self, package: &Package) -> Result<Vec<u8>, Error> {
        let cached = || {
            let read = self.cache.read(&package.blob());
            read.map_err(|source| Error::Cache { name: package.name.clone(), source })
        };
        if let Some(bytes) = cached()? {
            return Ok(bytes);
        }
        self.fetch(&Mirror::find(self.mirror.as_deref())?, package, &|_| {})?;
        let vanished = || Error::Cache { name: package.name.clone(), source: io::ErrorKind::NotFound.into() };
        cached()?.ok_or_else(vanished)
    }

    /// Unpacks a package; of its files, those whose path `keep` wants.
    ///
    /// # Errors
    /// The package cannot be got or does not unpack.
    pub fn unpack<'a>(&self, package: &'a Package, keep: &dyn Fn(&str) -> bool) -> Result<Unpacked<'a>, Error> {
        let bytes = self.read(package)?;
        let entries = Deb::parse(&bytes).and_then(|deb| deb.entries(Limits::default(), keep));
        let entries = entries.map_err(|source| Error::Unpack { name: package.name.clone(), source })?;
        Ok(Unpacked { package, entries })
    }
}
