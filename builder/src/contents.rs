//! What a root is made of, unit by unit, so that a machine can go from one version to another while it runs: what is the
//! same in both goes on undisturbed.
//!
//! The version itself does not count: os-release is left out of every digest.

use std::collections::HashMap;

use anyhow::Context as _;
use ashlar_config::unit::Body;
use ashlar_fetch::Digest;
use ashlar_formats::tuf::Contents;
use serde::Serialize;

use crate::bundle::Bundle;
use crate::system::{BASE_FILES, OS_RELEASE};
use crate::tree::Tree;

/// In the machine's root: what it says of itself, and what is the kernel's.
const OF_ITSELF: [&str; 2] = ["usr/share/ashlar", "usr/lib/modules"];
/// Digits are for telling two versions apart, and bound by the signature of whatever they stand in.
const DIGITS: usize = 16;

/// Gives each unit the digest of what its container has in it, and sums all of it up.
///
/// # Errors
/// A unit cannot be written as JSON.
pub fn tell(bundles: &mut [Bundle], machine: &Tree, kernel: &[u8]) -> anyhow::Result<Contents> {
    let mut known = HashMap::new();
    let own = machine.part(|path, _| !OF_ITSELF.iter().any(|folder| path.starts_with(folder)) && path != OS_RELEASE);
    let own = own.digest_with(&mut known);
    let accounts = machine.part(|path, _| path.starts_with(BASE_FILES)).digest_with(&mut known);
    let mut contents = Contents { kernel: short(Digest::of(kernel)), accounts: short(accounts), ..Contents::default() };
    for bundle in bundles {
        let root = bundle.rootfs.as_ref().map(|tree| tree.part(|path, _| path != OS_RELEASE).digest_with(&mut known));
        let content = Digest::of(format!("{}\0{}", bundle.config, root.unwrap_or(own)).as_bytes());
        for unit in &mut bundle.units {
            if let Body::Service(service) = &mut unit.body {
                service.content = short(content);
                if service.state_versioned {
                    contents.versioned.insert(unit.name.clone());
                }
            }
            contents.units.insert(unit.name.clone(), short(Digest::of(json(unit)?.as_bytes())));
        }
    }
    Ok(contents)
}

/// As it stands in a file of the root.
///
/// # Errors
/// It cannot be written as JSON.
pub fn json(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value).context("write JSON")? + "\n")
}

fn short(digest: Digest) -> String {
    let mut text = digest.to_string();
    text.truncate(DIGITS);
    text
}
