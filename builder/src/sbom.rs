//! The bill of materials: SPDX 2.3 in JSON, of every Debian package in an image and every crate that our programs in
//! it are linked from. The same image gives the same bytes: the time is the packages', the document's name in the
//! world comes from its content.

mod crates;

use std::fmt::Write;

use ashlar_formats::uuid::Uuid;
use serde::Serialize;

use crate::debian::{Arch, Date, Package};

use crates::Crate;
pub use crates::Error;

const NONE: &str = "NOASSERTION";
const IMAGE: &str = "SPDXRef-Image";

/// The image that a document is of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Name of the image.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its architecture.
    pub arch: Arch,
    /// Debian suite that its packages come from.
    pub suite: &'a str,
    /// Time of the packages.
    pub date: Date,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: &'static str,
    data_license: &'static str,
    #[serde(rename = "SPDXID")]
    id: &'static str,
    name: String,
    document_namespace: String,
    creation_info: Creation,
    packages: Vec<Item>,
    relationships: Vec<Relationship>,
}

#[derive(Serialize)]
struct Creation {
    created: String,
    creators: [String; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    version_info: String,
    supplier: String,
    download_location: &'static str,
    files_analyzed: bool,
    license_concluded: &'static str,
    license_declared: &'static str,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_package_purpose: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_info: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Checksum>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<Reference>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checksum {
    algorithm: &'static str,
    checksum_value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    reference_category: &'static str,
    reference_type: &'static str,
    reference_locator: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship {
    spdx_element_id: &'static str,
    relationship_type: &'static str,
    related_spdx_element: String,
}

/// The document's text. `programs` are the names of the packages in `cargo_lock` whose programs are in the image;
/// all that they depend on is listed, which takes in a few crates that only their tests need: the file tells no
/// difference.
///
/// # Errors
/// The Cargo.lock does not read, or has no such package.
pub fn document(
    subject: &Subject<'_>,
    packages: &[&Package],
    cargo_lock: &str,
    programs: &[&str],
) -> Result<String, Error> {
    let crates = crates::linked(cargo_lock, programs)?;
    let mut items: Vec<Item> = vec![image(subject)];
    items.extend(packages.iter().map(|package| debian(package, subject.suite)));
    items.extend(crates.iter().map(cargo));
    items[1..].sort_by(|a, b| a.id.cmp(&b.id));
    let contains = |item: &Item| Relationship {
        spdx_element_id: IMAGE,
        relationship_type: "CONTAINS",
        related_spdx_element: item.id.clone(),
    };
    let describes = Relationship {
        spdx_element_id: "SPDXRef-DOCUMENT",
        relationship_type: "DESCRIBES",
        related_spdx_element: IMAGE.to_owned(),
    };
    let content: String = items.iter().map(|item| format!("{} {}\n", item.id, item.version_info)).collect();
    let document = Document {
        spdx_version: "SPDX-2.3",
        data_license: "CC0-1.0",
        id: "SPDXRef-DOCUMENT",
        name: format!("{}-{}-{}", subject.name, subject.version, subject.arch),
        document_namespace: format!("urn:uuid:{}", Uuid::derived("spdx", content.as_bytes())),
        creation_info: Creation {
            created: subject.date.to_string(),
            creators: [format!("Tool: ashlar-{}", env!("CARGO_PKG_VERSION"))],
        },
        relationships: std::iter::once(describes).chain(items[1..].iter().map(contains)).collect(),
        packages: items,
    };
    // Strings and lists only: nothing that JSON cannot hold.
    Ok(serde_json::to_string_pretty(&document).unwrap_or_default() + "\n")
}

impl Item {
    fn new(id: String, name: &str, version: &str, supplier: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            version_info: version.to_owned(),
            supplier: supplier.to_owned(),
            download_location: NONE,
            files_analyzed: false,
            license_concluded: NONE,
            license_declared: NONE,
            copyright_text: NONE,
            primary_package_purpose: None,
            source_info: None,
            checksums: Vec::new(),
            external_refs: Vec::new(),
        }
    }

    fn sha256(mut self, digest: Option<String>) -> Self {
        self.checksums.extend(digest.map(|checksum_value| Checksum { algorithm: "SHA256", checksum_value }));
        self
    }

    fn purl(mut self, reference_locator: String) -> Self {
        let (reference_category, reference_type) = ("PACKAGE-MANAGER", "purl");
        self.external_refs.push(Reference { reference_category, reference_type, reference_locator });
        self
    }
}

fn image(subject: &Subject<'_>) -> Item {
    let mut item = Item::new(IMAGE.to_owned(), subject.name, subject.version, "Organization: Ashlar");
    item.primary_package_purpose = Some("OPERATING-SYSTEM");
    item
}

fn debian(package: &Package, suite: &str) -> Item {
    let Package { name, version, arch, source, .. } = package;
    let mut item = Item::new(format!("SPDXRef-deb-{}", identifier(name)), name, version, "Organization: Debian");
    item.source_info = Some(format!("built from source package {}", source.as_deref().unwrap_or(name)));
    let purl = format!("pkg:deb/debian/{}@{}?arch={arch}&distro={suite}", escaped(name), escaped(version));
    item.sha256(Some(package.sha256.to_string())).purl(purl)
}

fn cargo(linked: &Crate) -> Item {
    let Crate { name, version, .. } = linked;
    let id = format!("SPDXRef-cargo-{}-{}", identifier(name), identifier(version));
    let supplier = if linked.is_ours { "Organization: Ashlar" } else { NONE };
    let item = Item::new(id, name, version, supplier).sha256(linked.checksum.clone());
    if linked.is_ours { item } else { item.purl(format!("pkg:cargo/{}@{}", escaped(name), escaped(version))) }
}

/// In the letters of an SPDX identifier.
fn identifier(text: &str) -> String {
    encoded(text, '.', |c| c.is_ascii_alphanumeric() || c == b'-')
}

/// In the letters of a package URL.
fn escaped(text: &str) -> String {
    encoded(text, '%', |c| c.is_ascii_alphanumeric() || b"-._~:".contains(&c))
}

fn encoded(text: &str, escape: char, is_plain: impl Fn(u8) -> bool) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match is_plain(byte) {
            true => encoded.push(byte.into()),
            // Writing to a string cannot fail.
            false => drop(write!(encoded, "{escape}{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_fetch::Digest;
    use serde_json::Value;

    fn package(name: &str, version: &str, source: Option<&str>) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            arch: "amd64".to_owned(),
            source: source.map(str::to_owned),
            archive: Default::default(),
            filename: "pool/x.deb".to_owned(),
            size: 1,
            sha256: Digest::of(name.as_bytes()),
            depends: Vec::new(),
        }
    }

    #[test]
    fn lists_packages_and_crates() {
        let subject = Subject {
            name: "base",
            version: "0.1.0",
            arch: Arch::X86_64,
            suite: "trixie",
            date: Date::from_seconds(1_795_252_544),
        };
        let packages = [package("libstdc++6", "14.2.0-19", Some("gcc-14")), package("dbus", "1:1.16~rc+1", None)];
        let packages: Vec<_> = packages.iter().collect();
        let text = document(&subject, &packages, crates::tests::LOCK, &["ashlar-boot"]).unwrap();
        assert_eq!(text, document(&subject, &packages, crates::tests::LOCK, &["ashlar-boot"]).unwrap());
        let value: Value = serde_json::from_str(&text).unwrap();
        let ids: Vec<_> =
            value["packages"].as_array().unwrap().iter().map(|item| item["SPDXID"].as_str().unwrap()).collect();
        let expect = [
            "SPDXRef-Image",
            "SPDXRef-cargo-ashlar-boot-0.2E1.2E0",
            "SPDXRef-cargo-libc-0.2E2.2E1",
            "SPDXRef-cargo-sha2-0.2E10.2E9",
            "SPDXRef-deb-dbus",
            "SPDXRef-deb-libstdc.2B.2B6",
        ];
        assert_eq!(ids, expect);
        assert_eq!(value["relationships"].as_array().unwrap().len(), expect.len());
        assert_eq!(value["creationInfo"]["created"], "2026-11-21T09:15:44Z");
        let purl = |n: usize| &value["packages"][n]["externalRefs"][0]["referenceLocator"];
        assert_eq!(purl(4), "pkg:deb/debian/dbus@1:1.16~rc%2B1?arch=amd64&distro=trixie");
        assert_eq!(purl(3), "pkg:cargo/sha2@0.10.9");
        assert_eq!(purl(1), &Value::Null);
        assert_eq!(value["packages"][5]["sourceInfo"], "built from source package gcc-14");
        assert_eq!(value["packages"][5]["checksums"][0]["checksumValue"], Digest::of(b"libstdc++6").to_string());
    }
}
