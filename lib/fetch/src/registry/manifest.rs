//! Image manifests (image-spec 1.1, "OCI Image Manifest"), as far as files need them that are no images.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Blob, Digest};
use crate::error::Cause;

/// The media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const TITLE: &str = "org.opencontainers.image.title";

/// Which blobs belong together, and what they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    config: Descriptor,
    /// The blobs.
    pub layers: Vec<Descriptor>,
}

/// A blob, and what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// What an artifact without a configuration has for one.
    pub const EMPTY: &[u8] = b"{}";

    /// Of an artifact of this type.
    pub fn new(artifact_type: &str, layers: Vec<Descriptor>) -> Self {
        let empty = Blob { digest: Digest::of(Self::EMPTY), size: Self::EMPTY.len() as u64 };
        Self {
            schema_version: 2,
            media_type: MANIFEST.to_owned(),
            artifact_type: artifact_type.to_owned(),
            config: Descriptor::new(EMPTY, &empty, None),
            layers,
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// It is none, but perhaps an index of several.
    pub fn parse(bytes: &[u8]) -> Result<Self, Cause> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| Cause::Manifest(error.to_string()))?;
        let is_one = manifest.schema_version == 2 && ["", MANIFEST].contains(&&manifest.media_type[..]);
        is_one.then_some(manifest).ok_or_else(|| Cause::Manifest("it is one of another kind".to_owned()))
    }

    /// As it is sent.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Its blob, if there is just one.
    pub fn only(&self) -> Option<Blob> {
        match &self.layers[..] {
            [layer] => layer.blob(),
            _ => None,
        }
    }
}

impl Descriptor {
    /// Of a blob; a title is the name that it has as a file.
    pub fn new(media_type: &str, blob: &Blob, title: Option<&str>) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{}", blob.digest),
            size: blob.size,
            annotations: title.map(|title| (TITLE.to_owned(), title.to_owned())).into_iter().collect(),
        }
    }

    /// What it describes; `None` where that has another digest than a SHA-256.
    pub fn blob(&self) -> Option<Blob> {
        let digest = self.digest.strip_prefix("sha256:")?.parse().ok()?;
        Some(Blob { digest, size: self.size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_and_read() {
        let blob = Blob { digest: Digest::of(b"content"), size: 7 };
        let manifest = Manifest::new("application/x", vec![Descriptor::new("text/plain", &blob, Some("a.txt"))]);
        let text = String::from_utf8(manifest.to_bytes()).unwrap();
        // The digest is the one that image-spec names, "Guidance for an Empty Descriptor".
        let empty = r#""config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}"#;
        assert!(text.contains(empty) && text.starts_with(r#"{"schemaVersion":2,"mediaType":"#), "{text}");
        assert!(text.contains(r#""annotations":{"org.opencontainers.image.title":"a.txt"}"#), "{text}");
        assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), manifest);
        assert_eq!(manifest.only(), Some(blob));
    }

    #[test]
    fn what_is_none() {
        let layer = |digest: &str| format!(r#"{{"mediaType":"a","digest":"{digest}","size":1}}"#);
        let (good, other) = (layer(&format!("sha256:{}", "0f".repeat(32))), layer("sha512:00"));
        let check = |version, layers: &[&str], reads, has_one| {
            let (layers, config) = (layers.join(","), &good);
            let text = format!(r#"{{"schemaVersion":{version},"config":{config},"layers":[{layers}],"more":1}}"#);
            let manifest = Manifest::parse(text.as_bytes());
            assert_eq!(manifest.is_ok(), reads, "{text}");
            assert_eq!(manifest.is_ok_and(|manifest| manifest.only().is_some()), has_one, "{text}");
        };
        check(2, &[&good], true, true);
        check(2, &[], true, false);
        check(2, &[&good, &good], true, false);
        check(2, &[&other], true, false);
        check(1, &[&good], false, false);
        let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
        assert!(Manifest::parse(index.as_bytes()).is_err() && Manifest::parse(b"<html>").is_err());
    }
}
