//! Where a published folder is read from: an HTTP server, an OCI registry, or a folder of this machine that somebody passed.
//! It is not trusted with anything: what is signed decides.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use ashlar_fetch::registry::Address;
use ashlar_fetch::{Client, Digest, Policy};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use crate::error::{Error, at};

const METADATA: &str = "metadata/";

/// Takes bytes in their order.
pub type Take<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Error>;

/// A published folder.
pub trait Source {
    /// A whole file, `None` where there is none. Never more than `limit` bytes.
    fn whole(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error>;
    /// Bytes `first..first + length` of a file that has `total`.
    fn part(&self, path: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error>;
}

/// On a server.
#[derive(Debug)]
pub struct Http {
    client: Client,
    base: String,
}

impl Http {
    /// By its address.
    pub fn new(base: &str, policy: Policy) -> Result<Self, Error> {
        let is_http =
            base.strip_prefix("http://").or(base.strip_prefix("https://")).is_some_and(|rest| !rest.is_empty());
        if !is_http {
            return Err(Error::Request(format!(
                "use the source {base:?}: it is no address that begins with https://, http:// or oci://"
            )));
        }
        Ok(Self { client: Client::new(policy), base: base.trim_end_matches('/').to_owned() })
    }

    /// Whether it has a file.
    pub fn has(&self, path: &str) -> Result<bool, Error> {
        self.client.has(&self.url(path)).map_err(|error| told(&error))
    }

    fn url(&self, path: &str) -> String {
        format!("{}/{}", self.base, encoded(path))
    }
}

/// Everything but letters, digits, `-._~` and the slashes between names in per cent (RFC 3986, 2.3). A name that has some in
/// it is encoded already, as those of roles are.
fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

impl Source for Http {
    fn whole(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        match self.client.get(&self.url(path), limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(told(&error)),
        }
    }

    fn part(&self, path: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
        part(&self.client, &self.url(path), total, first, length, take)
    }
}

fn part(client: &Client, url: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
    let mut refused = None;
    let mut deliver = |bytes: &[u8]| {
        take(bytes).map_err(|error| {
            refused = Some(error);
            std::io::Error::other("not taken")
        })
    };
    let fetched = client.part(url, total, (first, first + length - 1), &mut deliver);
    match (refused, fetched) {
        (Some(error), _) => Err(error),
        (None, Err(error)) if error.has_no_ranges() => Err(Error::NoRanges),
        (None, fetched) => fetched.map_err(|error| told(&error)),
    }
}

/// In a repository of an OCI registry: each file of metadata is an artifact, its name a tag; others are blobs, and have their
/// digest in their name.
#[derive(Debug)]
pub struct Registry(ashlar_fetch::Registry);

impl Registry {
    /// By its address.
    pub fn new(address: &str, policy: Policy) -> Result<Self, Error> {
        let address = Address::parse(address).map_err(|error| Error::Request(format!("use the source: {error}")))?;
        Ok(Self(ashlar_fetch::Registry::new(address, None, policy)))
    }

    fn digest(&self, path: &str) -> Result<Option<Digest>, Error> {
        let Some(name) = path.strip_prefix(METADATA) else { return Ok(named(path)) };
        let Some(manifest) = self.0.manifest(name).map_err(|error| told(&error))? else { return Ok(None) };
        let blob = manifest.only().ok_or_else(|| Error::Source(format!("the tag {name} names no file of metadata")))?;
        Ok(Some(blob.digest))
    }
}

/// `SHA256.FILE`
fn named(path: &str) -> Option<Digest> {
    path.rsplit('/').next()?.split('.').next()?.parse().ok()
}

impl Source for Registry {
    fn whole(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(digest) = self.digest(path)? else { return Ok(None) };
        self.0.client().get(&self.0.blob(digest), limit).map(Some).map_err(|error| told(&error))
    }

    fn part(&self, path: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
        let none = || Error::Source(format!("{path} is not there"));
        let digest = self.digest(path)?.ok_or_else(none)?;
        part(self.0.client(), &self.0.blob(digest), total, first, length, take)
    }
}

/// With its cause.
pub(crate) fn told(error: &ashlar_fetch::Error) -> Error {
    Error::Source(format!("{error}: {}", error.cause))
}

/// A folder. Names in it are followed downwards only, and never through links.
#[derive(Debug)]
pub struct Folder {
    folder: OwnedFd,
}

impl Folder {
    /// An open folder.
    pub fn new(folder: OwnedFd) -> Self {
        Self { folder }
    }

    fn open(&self, path: &str) -> Result<Option<File>, Error> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match openat2(&self.folder, path, flags, Mode::empty(), resolve) {
            Ok(fd) => Ok(Some(fd.into())),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(Error::Source(format!("{path}: {error}"))),
        }
    }
}

impl Source for Folder {
    fn whole(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes).map_err(at("read", path))?;
        if bytes.len() as u64 > limit {
            return Err(Error::Source(format!("{path} is larger than {limit} bytes")));
        }
        Ok(Some(bytes))
    }

    fn part(&self, path: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
        let file = self.open(path)?.ok_or_else(|| Error::Source(format!("{path} is not there")))?;
        let size = file.metadata().map_err(at("read", path))?.len();
        if size != total {
            return Err(Error::Source(format!("{path} has {size} bytes, not {total}")));
        }
        hand_on(&file, path, first, length, take)
    }
}

/// Bytes of a file, some at a time.
pub(crate) fn hand_on(file: &File, name: &str, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
    let mut buffer = vec![0; 1 << 20];
    let mut place = first;
    while place < first + length {
        let piece = (first + length - place).min(buffer.len() as u64) as usize;
        file.read_exact_at(&mut buffer[..piece], place).map_err(at("read", name))?;
        take(&buffer[..piece])?;
        place += piece as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |path, expect| assert_eq!(Http::new("http://a/b/", Policy::default()).unwrap().url(path), expect);
        check("metadata/1.root.json", "http://a/b/metadata/1.root.json");
        check("targets/base/x86_64/1^a~b/0f.root.erofs", "http://a/b/targets/base/x86_64/1%5Ea~b/0f.root.erofs");
        for bad in ["", "ftp://a", "/srv/update", "http://"] {
            assert!(Http::new(bad, Policy::default()).is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_are_in_names() {
        let digest = "0f".repeat(32);
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(named(path).map(|digest| digest.to_string()).as_deref(), expect, "{path}");
        };
        check(&format!("targets/base/x86_64/1/{digest}.root.erofs.from-0.9"), Some(&digest));
        check("targets/base/x86_64/1/root.erofs", None);
        check(&format!("{digest}/x"), None);
        assert!(Registry::new("oci://a/b", Policy::default()).is_ok());
        assert!(
            Registry::new("oci://a", Policy::default()).unwrap_err().to_string().contains("no address of a repository")
        );
    }

    #[test]
    fn a_folder_is_not_left() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "content").unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
        let source = Folder::new(File::open(folder.path()).unwrap().into());
        assert_eq!(source.whole("file", 7).unwrap(), Some(b"content".to_vec()));
        assert_eq!(source.whole("none", 7).unwrap(), None);
        for bad in ["link", "../x", "/etc/passwd"] {
            assert!(source.whole(bad, 1 << 20).is_err(), "{bad}");
        }
        assert!(source.whole("file", 6).is_err());
        let mut got = Vec::<u8>::new();
        source
            .part("file", 7, 2, 3, &mut |bytes| {
                got.extend(bytes);
                Ok(())
            })
            .unwrap();
        assert_eq!(got, b"nte");
        assert!(source.part("file", 8, 0, 8, &mut |_| Ok(())).is_err());
    }
}
