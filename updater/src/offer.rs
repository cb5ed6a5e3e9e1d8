//! Which release: what the publisher offers to this image on this architecture, and which of it is the next one here.

use std::cmp::Ordering;

use ashlar_config::version::compare;
use ashlar_formats::tuf::{FILES, Patch, Release, Targets, target_name};
use ashlar_formats::verity::RootHash;

use crate::error::Error;

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where it is published.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// A patch that makes a file of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// The file's name as a target.
    pub makes: String,
    /// What it needs: a root hash, or the SHA-256 of any other file.
    pub base: String,
    /// The patch itself.
    pub file: Piece,
    /// Bytes of its head.
    pub head_length: u64,
    /// SHA-256 of its head.
    pub head_sha256: String,
}

/// A release that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What is said about it.
    pub release: Release,
    /// What pins its root.
    pub root_hash: RootHash,
    /// Root image.
    pub root: Piece,
    /// Hash tree.
    pub tree: Piece,
    /// Unified kernel image.
    pub uki: Piece,
    /// What makes its root and its UKI of others.
    pub patches: Vec<Offered>,
}

impl Offer {
    /// The patch that makes a file of this base.
    pub fn patch(&self, file: &str, base: &str) -> Option<&Offered> {
        let makes = self.target(file);
        self.patches.iter().find(|patch| patch.makes == makes && patch.base == base)
    }

    fn target(&self, file: &str) -> String {
        target_name(&self.release.image, &self.release.arch, &self.release.version, file)
    }
}

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The version that runs.
    pub running: &'a str,
    /// Only that version.
    pub version: Option<&'a str>,
    /// Whose releases count.
    pub channel: &'a str,
}

/// All of them, of an image on an architecture. What is not whole is none.
pub fn offers(targets: &Targets, image: &str, arch: &str) -> Vec<Offer> {
    let releases = targets.targets.values().filter_map(|target| target.custom.get("release"));
    let releases = releases.filter_map(|release| serde_json::from_value::<Release>(release.clone()).ok());
    releases
        .filter(|release| release.image == image && release.arch == arch)
        .filter_map(|r| offer(targets, r))
        .collect()
}

fn offer(targets: &Targets, release: Release) -> Option<Offer> {
    let name = |file: &str| target_name(&release.image, &release.arch, &release.version, file);
    let [root, tree, uki] = FILES.map(|file| piece(targets, &name(file)));
    let root_hash = release.root_hash.parse().ok()?;
    let folder = name("");
    let patches = targets.targets.keys().filter(|name| name.starts_with(&folder));
    let patches = patches.filter_map(|name| patch(targets, name)).collect();
    Some(Offer { root: root?, tree: tree?, uki: uki?, root_hash, release, patches })
}

fn piece(targets: &Targets, name: &str) -> Option<Piece> {
    let target = targets.targets.get(name)?;
    let sha256 = target.sha256()?.to_owned();
    let (folder, file) = name.rsplit_once('/')?;
    Some(Piece { path: format!("targets/{folder}/{sha256}.{file}"), size: target.length, sha256 })
}

fn patch(targets: &Targets, name: &str) -> Option<Offered> {
    let told: Patch = serde_json::from_value(targets.targets.get(name)?.custom.get("patch")?.clone()).ok()?;
    let Patch { makes, base, head_length, head_sha256 } = told;
    Some(Offered { makes, base, file: piece(targets, name)?, head_length, head_sha256 })
}

/// The next one; `None` where there is nothing newer.
pub fn choose(offers: Vec<Offer>, wish: &Wish<'_>) -> Result<Option<Offer>, Error> {
    if let Some(version) = wish.version {
        return named(offers, version, wish.running);
    }
    let is_newer = |offer: &Offer| compare(&offer.release.version, wish.running) == Ordering::Greater;
    let is_ours = |offer: &Offer| offer.release.channels.iter().any(|channel| channel == wish.channel);
    let can_be_next = |offer: &Offer| barrier(offer, wish.running).is_none() && offer.release.withdrawn.is_none();
    let next = offers.into_iter().filter(|offer| is_ours(offer) && is_newer(offer) && can_be_next(offer));
    Ok(next.max_by(|one, two| compare(&one.release.version, &two.release.version)))
}

fn named(offers: Vec<Offer>, version: &str, running: &str) -> Result<Option<Offer>, Error> {
    let known = || offers.iter().map(|offer| offer.release.version.as_str()).collect::<Vec<_>>().join(", ");
    let Some(offer) = offers.iter().find(|offer| offer.release.version == version) else {
        return Err(Error::Request(format!("version {version} is not offered to this machine; there is {}", known())));
    };
    if let Some(why) = &offer.release.withdrawn {
        return Err(Error::Held(format!("version {version} was withdrawn by its publisher: {why}")));
    }
    if let Some(minimum) = barrier(offer, running) {
        return Err(Error::Held(format!(
            "version {version} can be taken from {minimum} on, and {running} runs: upgrade to that first"
        )));
    }
    match compare(version, running) {
        Ordering::Equal => Ok(None),
        // Whoever names an older one wants it.
        Ordering::Greater | Ordering::Less => Ok(Some(offer.clone())),
    }
}

/// The version that has to run first.
fn barrier<'a>(offer: &'a Offer, running: &str) -> Option<&'a str> {
    offer.release.minimum.as_deref().filter(|minimum| compare(running, minimum) == Ordering::Less)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_formats::date::Date;
    use ashlar_formats::tuf::Target;
    use serde_json::{Value, json};

    fn targets(releases: &[Value]) -> Targets {
        let mut targets = Targets::new(1, Date::from_seconds(0));
        for release in releases {
            let version = release["version"].as_str().unwrap();
            for file in FILES {
                let custom = if file == "root.verity" { json!({ "release": release }) } else { Value::Null };
                let hashes = [("sha256".to_owned(), "0f".repeat(32))].into();
                let name = target_name("base", "x86_64", version, file);
                targets.targets.insert(name, Target { length: 1, hashes, custom });
            }
        }
        targets
    }

    fn release(version: &str, more: Value) -> Value {
        let mut release = json!({
            "image": "base", "arch": "x86_64", "version": version, "date": "2026-11-25T00:00:00Z",
            "root_hash": "00".repeat(32), "channels": ["stable"],
        });
        release.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        release
    }

    fn several() -> Vec<Offer> {
        let releases = [
            release("0.1.9", json!({})),
            release("0.1.10", json!({})),
            release("0.2.0", json!({ "minimum": "0.1.10" })),
            release("0.3.0", json!({ "channels": ["beta"] })),
            release("0.4.0", json!({ "withdrawn": "it does not boot" })),
            release("9", json!({ "arch": "aarch64" })),
            release("9.1", json!({ "image": "other" })),
            release("9.2", json!({ "root_hash": "x" })),
        ];
        offers(&targets(&releases), "base", "x86_64")
    }

    #[test]
    fn the_next_one() {
        #[track_caller]
        fn check(running: &str, version: Option<&str>, channel: &str, expect: Result<Option<&str>, &str>) {
            let chosen = choose(several(), &Wish { running, version, channel });
            match (chosen, expect) {
                (Ok(offer), Ok(expect)) => assert_eq!(offer.map(|offer| offer.release.version).as_deref(), expect),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (chosen, _) => panic!("{chosen:?}"),
            }
        }
        check("0.1.0", None, "stable", Ok(Some("0.1.10")));
        check("0.1.10", None, "stable", Ok(Some("0.2.0")));
        check("0.2.0", None, "stable", Ok(None));
        check("0.2.0", None, "beta", Ok(Some("0.3.0")));
        check("0.2.0", None, "nightly", Ok(None));
        check("0.1.0", Some("0.3.0"), "stable", Ok(Some("0.3.0")));
        check("0.3.0", Some("0.3.0"), "stable", Ok(None));
        check("0.1.0", Some("0.2.0"), "stable", Err("can be taken from 0.1.10 on"));
        check("0.1.0", Some("0.4.0"), "stable", Err("withdrawn by its publisher: it does not boot"));
        check("0.2.0", Some("0.1.9"), "stable", Ok(Some("0.1.9")));
        check("0.2.0", Some("9"), "stable", Err("there is 0.1.10, 0.1.9, 0.2.0, 0.3.0, 0.4.0"));
    }

    #[test]
    fn names_are_by_content() {
        let digest = "0f".repeat(32);
        let first = &several()[0];
        assert_eq!(first.root.path, format!("targets/base/x86_64/0.1.10/{digest}.root.erofs"));
        assert_eq!(first.uki.path, format!("targets/base/x86_64/0.1.10/{digest}.ashlar.efi"));
        let mut targets = targets(&[release("1", json!({}))]);
        let told = json!({ "patch": { "makes": "base/x86_64/1/ashlar.efi", "base": "0b", "head_length": 7, "head_sha256": "0c" } });
        let hashes = [("sha256".to_owned(), digest.clone())].into();
        let name = "base/x86_64/1/ashlar.efi.from-0.9";
        targets.targets.insert(name.to_owned(), Target { length: 9, hashes, custom: told });
        let offer = &offers(&targets, "base", "x86_64")[0];
        let patch = offer.patch("ashlar.efi", "0b").unwrap();
        assert_eq!(patch.file.path, format!("targets/base/x86_64/1/{digest}.ashlar.efi.from-0.9"));
        assert_eq!((patch.file.size, patch.head_length), (9, 7));
        assert_eq!((offer.patch("ashlar.efi", "0c"), offer.patch("root.erofs", "0b")), (None, None));
        targets.targets.remove("base/x86_64/1/ashlar.efi");
        assert_eq!(offers(&targets, "base", "x86_64"), []);
    }
}
