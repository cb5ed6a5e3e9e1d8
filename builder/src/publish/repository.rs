//! A repository of an OCI registry as the place of releases. Each file of metadata is an artifact whose tag is the file's name;
//! the files of a release are the blobs of one more, so that the registry keeps them. Devices need no more than their digests.
//!
//! A registry has no lock: `shop` looks whether somebody else was there meanwhile.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use ashlar_fetch::registry::{Address, Descriptor, Manifest};
use ashlar_fetch::{Blob, Cache, Digest, Policy, Registry};
use ashlar_formats::tuf::{Metadata as _, Targets};

use super::credentials;
use super::place::{Place, lock};

/// Of each file of metadata.
const METADATA: &str = "application/vnd.ashlar.update.metadata.v1+json";
/// Of a release, and of each of its files.
const RELEASE: &str = "application/vnd.ashlar.update.release.v1";
const FILE: &str = "application/vnd.ashlar.update.file.v1";
/// Some registries move what they were sent before they answer.
const SILENCE: Duration = Duration::from_secs(120);

/// A repository, and a folder for what of it is needed here.
#[derive(Debug)]
pub struct Repository {
    registry: Registry,
    cache: Cache,
    folder: PathBuf,
    _lock: File,
}

impl Repository {
    /// By its address; `cache` is a folder that is made where it is missing.
    pub fn open(address: &str, authfile: Option<&Path>, cache: &Path) -> anyhow::Result<Self> {
        let address = Address::parse(address)?;
        let basic = credentials::find(authfile, &address.reference())?;
        let folder = cache.join("publish").join(address.reference());
        let open = || format!("open the cache {}", cache.display());
        fs::create_dir_all(&folder).with_context(open)?;
        let lock = lock(&folder).with_context(open)?;
        let cache = Cache::open(cache.join("blobs")).with_context(open)?;
        let policy = Policy { silence: SILENCE, ..Policy::default() };
        Ok(Self { registry: Registry::new(address, basic, policy), cache, folder, _lock: lock })
    }

    fn tag(&self, tag: &str, kind: &str, layers: Vec<Descriptor>) -> anyhow::Result<()> {
        let push = || {
            self.push(Manifest::EMPTY)?;
            self.registry.tag(tag, &Manifest::new(kind, layers))
        };
        push().with_context(|| format!("push {tag}"))
    }

    fn push(&self, bytes: &[u8]) -> Result<Blob, ashlar_fetch::Error> {
        let blob = Blob { digest: Digest::of(bytes), size: bytes.len() as u64 };
        self.registry.push(&blob, &|| Ok(bytes))?;
        Ok(blob)
    }
}

impl Place for Repository {
    fn name(&self) -> String {
        format!("repository {}", self.registry.address().reference())
    }

    fn read(&self, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let read = || format!("read {name}");
        let Some(manifest) = self.registry.manifest(name).with_context(read)? else { return Ok(None) };
        let blob = manifest.only().with_context(|| format!("the tag {name} names no file of metadata"))?;
        let bytes = self.registry.client().get(&self.registry.blob(blob.digest), Targets::LIMIT).with_context(read)?;
        Ok(Some(bytes))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let blob = self.push(bytes).with_context(|| format!("push {name}"))?;
        self.tag(name, METADATA, vec![Descriptor::new(METADATA, &blob, Some(name))])
    }

    fn has(&self, target: &str, blob: &Blob) -> anyhow::Result<bool> {
        self.registry.has(blob).with_context(|| format!("look for {target}"))
    }

    fn add(&self, target: &str, blob: &Blob, file: &Path) -> anyhow::Result<()> {
        self.registry.push(blob, &|| File::open(file)).map(drop).with_context(|| format!("push {target}"))
    }

    fn file(&self, target: &str, blob: &Blob) -> anyhow::Result<Option<PathBuf>> {
        let url = self.registry.blob(blob.digest);
        match self.cache.fetch(self.registry.client(), &url, blob, &|_| {}) {
            Err(error) if error.is_absence() => Ok(None),
            fetched => fetched.map(Some).with_context(|| format!("fetch {target}")),
        }
    }

    fn keep(&self, release: &str, files: &[(&str, Blob)]) -> anyhow::Result<()> {
        let layers = files.iter().map(|(name, blob)| Descriptor::new(FILE, blob, Some(name))).collect();
        self.tag(&tag(release), RELEASE, layers)
    }

    fn scratch(&self) -> PathBuf {
        self.folder.join(".patch")
    }
}

/// Dots for slashes, and what tags may not have in hexadecimal digits: no version has an underscore.
fn tag(release: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let written = |byte: u8| match byte {
        b'/' => ".".to_owned(),
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("_{byte:02X}"),
    };
    release.bytes().map(written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags() {
        assert_eq!(tag("base/x86_64/0.2.0"), "base.x86_64.0.2.0");
        assert_eq!(tag("my-image/aarch64/1~rc1^a"), "my-image.aarch64.1_7Erc1_5Ea");
    }
}
