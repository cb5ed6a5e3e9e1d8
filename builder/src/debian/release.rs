//! A suite's `InRelease`: who signed it, for which suite, how fresh; and through its digests the package index.

use std::collections::HashMap;
use std::path::PathBuf;

use ashlar_fetch::{Blob, Cache, Client, Digest};

use super::Arch;
use super::compression::{self, Compression};
use super::control::{self, paragraphs};
use super::date::{self, Date};
use super::keyring::{self, Keyring};
use super::mirror::{self, Archive, Mirror};

const MAX_INRELEASE: u64 = 16 << 20;
const MAX_INDEX: u64 = 512 << 20;
/// Clocks differ; a release from further ahead than this is refused.
const TOLERANCE: u64 = 24 * 3600;

/// Whether a release may be older than it says it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// An expired release is an error: a mirror could be held back on purpose.
    Required,
    /// An expired release is used, for snapshots of the past.
    ExpiredAllowed,
}

/// What makes a release count.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Keyring files; Debian's own for the suite when empty.
    pub keyrings: Vec<PathBuf>,
    /// How old it may be.
    pub freshness: Freshness,
}

/// A verified release.
pub struct Release {
    suite: String,
    /// When it was made.
    pub date: Date,
    by_hash: bool,
    files: HashMap<String, Blob>,
}

/// A release is not to be trusted or does not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be fetched.
    #[error("get the release of {suite}")]
    Fetch {
        /// Suite.
        suite: String,
        /// What went wrong.
        source: ashlar_fetch::Error,
    },
    /// The mirror does not have the suite.
    #[error("get the release of {0}: the mirror does not have it")]
    Missing(String),
    /// No mirror for it.
    #[error(transparent)]
    Mirror(#[from] mirror::Error),
    /// It is not signed by whom it should be.
    #[error("trust the release of {suite}")]
    Signature {
        /// Suite.
        suite: String,
        /// What is wrong with the signature.
        source: keyring::Error,
    },
    /// It is signed, and useless.
    #[error("read the release of {suite}: {why}")]
    Form {
        /// Suite.
        suite: String,
        /// What is wrong.
        why: String,
    },
    /// It is older than it says it should be.
    #[error(
        "trust the release of {suite}: it was good until {until}; the mirror may be behind or held back \
         (a snapshot of the past is used with --allow-expired)"
    )]
    Expired {
        /// Suite.
        suite: String,
        /// Its Valid-Until.
        until: Date,
    },
}

impl Release {
    /// Fetches and verifies a suite's release.
    ///
    /// # Errors
    /// It is not there, not signed by a key of the keyring, expired, or of another suite.
    pub fn fetch(client: &Client, mirror: &Mirror, suite: &str, trust: &Trust) -> Result<Self, Error> {
        let url = mirror.url(Archive::of_suite(suite), &format!("dists/{suite}/InRelease"))?;
        let bytes = client.get(&url, MAX_INRELEASE).map_err(|source| match source.status() {
            Some(404) => Error::Missing(suite.to_owned()),
            _ => Error::Fetch { suite: suite.to_owned(), source },
        })?;
        let form = |why: String| Error::Form { suite: suite.to_owned(), why };
        let document = String::from_utf8(bytes).map_err(|_| form("it is not text".to_owned()))?;
        let signature = |source| Error::Signature { suite: suite.to_owned(), source };
        let files = match &trust.keyrings[..] {
            [] => Keyring::files_for(suite).map_err(signature)?,
            files => files.to_vec(),
        };
        let keyring = Keyring::load(&files).map_err(signature)?;
        let now = Date::now();
        let text = keyring.verify(&document, now).map_err(signature)?;
        let release = parse(suite, &text).map_err(form)?;
        release.judge(now, trust.freshness)?;
        Ok(release.release)
    }

    /// The text of one component's package index.
    ///
    /// # Errors
    /// The release lists none, or it cannot be fetched.
    pub fn packages(
        &self,
        client: &Client,
        mirror: &Mirror,
        cache: &Cache,
        component: &str,
        arch: Arch,
    ) -> Result<String, Error> {
        let form = |why: String| Error::Form { suite: self.suite.clone(), why };
        let folder = format!("{component}/binary-{}", arch.debian());
        let kinds = [(Compression::Xz, "Packages.xz"), (Compression::Gzip, "Packages.gz")];
        let listed = |(kind, name): (Compression, &'static str)| {
            self.files.get(&format!("{folder}/{name}")).map(|blob| (kind, name, blob))
        };
        let (kind, name, blob) = kinds
            .into_iter()
            .find_map(listed)
            .ok_or_else(|| form(format!("it lists no package index for {component} on {arch}")))?;
        let bytes = match cache.read(blob) {
            Ok(Some(bytes)) => bytes,
            _ => self.fetch_index(client, mirror, cache, &folder, name, blob)?,
        };
        let text = compression::expand(kind, &bytes, MAX_INDEX).map_err(|e| form(e.to_string()))?;
        String::from_utf8(text).map_err(|_| form(format!("{folder}/{name} is not text")))
    }

    fn fetch_index(
        &self,
        client: &Client,
        mirror: &Mirror,
        cache: &Cache,
        folder: &str,
        name: &str,
        blob: &Blob,
    ) -> Result<Vec<u8>, Error> {
        let dists = format!("dists/{}/{folder}", self.suite);
        // By its digest first: the plain name may already belong to the next release.
        let by_hash = self.by_hash.then(|| format!("{dists}/by-hash/SHA256/{}", blob.digest));
        let failed = |source| Error::Fetch { suite: self.suite.clone(), source };
        let get = |path: &str| -> Result<_, Error> {
            let url = mirror.url(Archive::of_suite(&self.suite), path)?;
            Ok(cache.fetch(client, &url, blob, &|_| {}))
        };
        let path = match by_hash.as_deref().map(get).transpose()? {
            Some(Ok(path)) => path,
            Some(Err(error)) if error.status() != Some(404) => return Err(failed(error)),
            _ => get(&format!("{dists}/{name}"))?.map_err(failed)?,
        };
        let why = |e: std::io::Error| Error::Form { suite: self.suite.clone(), why: e.to_string() };
        std::fs::read(path).map_err(why)
    }
}

/// A release that was read and not judged yet.
struct Unjudged {
    release: Release,
    names: [String; 2],
    valid_until: Option<Date>,
}

fn parse(suite: &str, text: &str) -> Result<Unjudged, String> {
    let text = text.replace('\r', "");
    let read = paragraphs(&text).next().ok_or("it is empty")?;
    let paragraph = read.map_err(|e: control::Error| e.to_string())?;
    let field = |name: &str| paragraph.get(name).ok_or_else(|| format!("it has no {name}"));
    let date = |text: &str| date::from_release(text).map_err(|e: date::Error| e.to_string());
    let mut files = HashMap::new();
    field("SHA256")?;
    for line in paragraph.lines("SHA256") {
        let words: Vec<_> = line.split_whitespace().collect();
        let [digest, size, name] = words[..] else {
            return Err(format!("{line:?} is no digest, size and name"));
        };
        let digest: Digest = digest.parse().map_err(|e: ashlar_fetch::BadDigest| e.to_string())?;
        let size = size.parse().map_err(|_| format!("{size:?} is no size"))?;
        files.insert(name.to_owned(), Blob { digest, size });
    }
    Ok(Unjudged {
        names: ["Suite", "Codename"].map(|name| paragraph.get(name).unwrap_or_default().to_owned()),
        valid_until: paragraph.get("Valid-Until").map(date).transpose()?,
        release: Release {
            suite: suite.to_owned(),
            date: date(field("Date")?)?,
            by_hash: paragraph.get("Acquire-By-Hash") == Some("yes"),
            files,
        },
    })
}

impl Unjudged {
    fn judge(&self, now: Date, freshness: Freshness) -> Result<(), Error> {
        let suite = self.release.suite.clone();
        if !self.names.contains(&suite) {
            let why = format!("it is the release of {}", self.names.join(" and "));
            return Err(Error::Form { suite, why });
        }
        if self.release.date.seconds() > now.seconds() + TOLERANCE {
            let why = format!("it is from the future ({}); is this machine's clock right?", self.release.date);
            return Err(Error::Form { suite, why });
        }
        match self.valid_until {
            Some(until) if until < now && freshness == Freshness::Required => Err(Error::Expired { suite, until }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Origin: Debian\r\nSuite: stable\r\nCodename: trixie\r\n\
        Date: Sat, 21 Nov 2026 09:15:44 UTC\r\nValid-Until: Sat, 28 Nov 2026 09:15:44 UTC\r\n\
        Acquire-By-Hash: yes\r\nSHA256:\r\n \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 12 main/binary-amd64/Packages.xz\r\n";

    #[test]
    fn reads_and_judges() {
        #[track_caller]
        fn check(suite: &str, text: &str, now: &str, freshness: Freshness, expect: Result<usize, &str>) {
            let outcome =
                parse(suite, text).map_err(|why| Error::Form { suite: suite.to_owned(), why }).and_then(|read| {
                    read.judge(Date::from_iso(now).unwrap(), freshness).map(|()| read.release.files.len())
                });
            match (outcome, expect) {
                (Ok(files), Ok(want)) => assert_eq!(files, want),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (outcome, _) => panic!("{outcome:?}"),
            }
        }
        use Freshness::{ExpiredAllowed, Required};
        let now = "2026-11-24T00:00:00Z";
        check("trixie", GOOD, now, Required, Ok(1));
        check("stable", GOOD, now, Required, Ok(1));
        check("forky", GOOD, now, Required, Err("it is the release of stable and trixie"));
        check("trixie", GOOD, "2026-11-29T00:00:00Z", Required, Err("until 2026-11-28T09:15:44Z"));
        check("trixie", GOOD, "2026-11-29T00:00:00Z", ExpiredAllowed, Ok(1));
        check("trixie", GOOD, "2026-11-19T00:00:00Z", ExpiredAllowed, Err("from the future"));
        check("trixie", &GOOD.replace("Date: Sat", "Date: x Sat"), now, Required, Err("read a date"));
        check("trixie", &GOOD.replace("SHA256", "MD5Sum"), now, Required, Err("has no SHA256"));
        check("trixie", &GOOD.replace(" 12 ", " "), now, Required, Err("no digest, size and name"));
        check("trixie", &GOOD.replace(" 12 ", " -1 "), now, Required, Err("no size"));
        check("trixie", &GOOD.replace("e3b0", "E3B0"), now, Required, Err("read a SHA-256"));
        check("trixie", "", now, Required, Err("it is empty"));
        check("trixie", "x", now, Required, Err("neither a field"));
    }
}
