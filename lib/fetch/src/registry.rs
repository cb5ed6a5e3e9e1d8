//! A repository of an OCI registry (distribution-spec 1.1): manifests by their tags, blobs by their digests, to and fro.
//! Blobs are fetched as anything else is, by [`Registry::client`]; many registries send whoever asks for one to another
//! server, by an address that is good for minutes: it is asked for again with each request.

mod challenge;
mod login;
mod manifest;

use std::io::{self, Read};

pub use challenge::Challenge;
pub(crate) use login::Login;
pub use manifest::{Descriptor, MANIFEST, Manifest};

use crate::client::{Client, Policy};
use crate::digest::{Blob, Digest};
use crate::error::{Cause, Error};

/// A manifest of an artifact with one file has less than 1 KiB.
const LIMIT: u64 = 64 << 10;

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// `https://HOST`.
    origin: String,
    name: String,
}

/// The text names no repository.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` is no address of a repository: write it like oci://registry.example.net/fleet/ashlar, or oci+http://… without TLS"
)]
pub struct BadAddress(String);

impl Address {
    /// Whether it would be the address of a repository, and not of anything else.
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("oci://") || text.starts_with("oci+http://")
    }

    /// Reads `oci://HOST[:PORT]/NAME`; `oci+http://` is without TLS.
    ///
    /// # Errors
    /// It is no such address.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        parse(text).map(|(origin, name)| Self { origin, name }).ok_or_else(|| BadAddress(text.to_owned()))
    }

    /// `HOST[:PORT]/NAME`, as engines write it.
    pub fn reference(&self) -> String {
        let host = self.origin.split_once("://").map_or("", |(_, host)| host);
        format!("{host}/{}", self.name)
    }
}

/// A repository.
#[derive(Debug)]
pub struct Registry {
    client: Client,
    address: Address,
}

impl Registry {
    /// By its address. `basic` is a name and a password in base64 (RFC 7617); without it only what anybody may do can be
    /// done.
    pub fn new(address: Address, basic: Option<String>, policy: Policy) -> Self {
        let login = Login::new(&address.origin, basic);
        Self { client: Client::with_login(policy, login), address }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// For blobs, which are at [`Registry::blob`].
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where a blob is.
    pub fn blob(&self, digest: Digest) -> String {
        self.url(&format!("blobs/sha256:{digest}"))
    }

    fn tagged(&self, tag: &str) -> String {
        self.url(&format!("manifests/{tag}"))
    }

    fn url(&self, what: &str) -> String {
        let Address { origin, name } = &self.address;
        format!("{origin}/v2/{name}/{what}")
    }

    /// What a tag names; `None` where there is none, as for text that cannot be a tag.
    ///
    /// # Errors
    /// The registry does not answer, or with something else.
    pub fn manifest(&self, tag: &str) -> Result<Option<Manifest>, Error> {
        if !is_tag(tag) {
            return Ok(None);
        }
        let url = self.tagged(tag);
        match self.client.get(&url, LIMIT) {
            Ok(bytes) => Manifest::parse(&bytes).map(Some).map_err(|cause| Error::new(&url, cause)),
            Err(error) if error.is_absence() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a blob is there.
    ///
    /// # Errors
    /// The registry does not answer, or not with that.
    pub fn has(&self, blob: &Blob) -> Result<bool, Error> {
        self.client.has(&self.blob(blob.digest))
    }

    /// Brings a blob there; `false` if it is there already. `open` gives its content, once for each try.
    ///
    /// # Errors
    /// After the policy's tries, or at once where another try cannot help.
    pub fn push<R: Read>(&self, blob: &Blob, open: &dyn Fn() -> io::Result<R>) -> Result<bool, Error> {
        if self.has(blob)? {
            return Ok(false);
        }
        self.client.until_done(&self.blob(blob.digest), || self.upload(blob, open))?;
        Ok(true)
    }

    fn upload<R: Read>(&self, blob: &Blob, open: &dyn Fn() -> io::Result<R>) -> Result<(), Cause> {
        let begun = self.client.begin(&self.url("blobs/uploads/"))?;
        let place = match begun.starts_with('/') {
            true => format!("{}{begun}", self.address.origin),
            false => begun,
        };
        let separator = if place.contains('?') { '&' } else { '?' };
        let place = format!("{place}{separator}digest=sha256:{}", blob.digest);
        self.client.put(&place, "application/octet-stream", blob.size, open)
    }

    /// Has a tag name a manifest from now on.
    ///
    /// # Errors
    /// After the policy's tries, or at once where another try cannot help.
    pub fn tag(&self, tag: &str, manifest: &Manifest) -> Result<(), Error> {
        let (url, bytes) = (self.tagged(tag), manifest.to_bytes());
        let open = || Ok(&bytes[..]);
        self.client.until_done(&url, || self.client.put(&url, MANIFEST, bytes.len() as u64, &open))
    }
}

/// Origin and name.
fn parse(address: &str) -> Option<(String, String)> {
    let (scheme, rest) = match address.strip_prefix("oci+http://") {
        Some(rest) => ("http", rest),
        None => ("https", address.strip_prefix("oci://")?),
    };
    let (host, name) = rest.split_once('/')?;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let is_part = |part: &str| {
        let ends = [part.bytes().next(), part.bytes().last()];
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        ends.iter().all(|end| end.is_some_and(plain)) && part.bytes().all(|byte| plain(byte) || b"._-".contains(&byte))
    };
    let holds = !host.is_empty() && host.bytes().all(is_host) && name.split('/').all(is_part);
    holds.then(|| (format!("{scheme}://{host}"), name.to_owned()))
}

/// distribution-spec, "Pulling manifests".
fn is_tag(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    text.len() <= 128 && !text.is_empty() && !text.starts_with(['.', '-']) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let check = |address, expect: Option<(&str, &str)>| {
            let parsed = parse(address);
            assert_eq!(parsed.as_ref().map(|(origin, name)| (&origin[..], &name[..])), expect, "{address}");
        };
        check("oci://r.example.net/fleet/ashlar", Some(("https://r.example.net", "fleet/ashlar")));
        check("oci+http://[::1]:5000/a_b.c-1", Some(("http://[::1]:5000", "a_b.c-1")));
        for bad in ["oci://", "oci://a", "oci://a/", "oci:///a", "oci://a/B", "oci://a/b/", "oci://a//b", "oci://a/b:1"]
        {
            check(bad, None);
        }
        for bad in ["oci://me:word@a/b", "oci://a/../b", "oci://a/b?c", "https://a/b", "oci://a b/c", "oci://a/-b"] {
            check(bad, None);
        }
        let address = Address::parse("oci+http://r:5000/a/b").unwrap();
        assert_eq!(address.reference(), "r:5000/a/b");
        let registry = Registry::new(address, None, Policy::default());
        let digest = Digest::of(b"");
        assert_eq!(registry.blob(digest), format!("http://r:5000/v2/a/b/blobs/sha256:{digest}"));
    }

    #[test]
    fn tags() {
        let long = "a".repeat(128);
        for good in ["timestamp.json", "1.root.json", "_a", &long] {
            assert!(is_tag(good), "{good}");
        }
        for bad in ["", ".a", "-a", "a/b", "a%2Fb", "../a", "a?b", &(long + "a")] {
            assert!(!is_tag(bad), "{bad}");
        }
    }
}
