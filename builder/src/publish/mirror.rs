//! `ashlar mirror`: what is published at one place to another, byte by byte and as it is signed. Needs no keys, and trusts
//! nobody: machines look at the signatures.

use std::cmp::Ordering;
use std::fs::File;

use anyhow::{Context as _, bail};
use ashlar_fetch::{Blob, Digest};
use ashlar_formats::tuf::{Document, MetaFile, Metadata, Snapshot, Targets, Timestamp};

use super::place::Place;
use super::shop::{TIMESTAMP, releases};

/// Brings a place to the state of another. What a reader sees meanwhile is the old state.
pub fn copy(from: &dyn Place, to: &dyn Place) -> anyhow::Result<()> {
    let none = || format!("{} has no {TIMESTAMP}: nothing is published there", from.name());
    let (stamp, timestamp) = read::<Timestamp>(from, TIMESTAMP)?.with_context(none)?;
    if let Some((there, old)) = read::<Timestamp>(to, TIMESTAMP)? {
        let older = |what: &str| format!("{} {what} than what is at {}", from.name(), to.name());
        match timestamp.common.version.cmp(&old.common.version) {
            Ordering::Less => bail!(older("is older")),
            Ordering::Equal if there == stamp => return Ok(()),
            Ordering::Equal => bail!(older("has another history")),
            Ordering::Greater => {}
        }
    }
    let snapshot = named("snapshot", timestamp.meta.get("snapshot.json"))?;
    let (_, together) = read::<Snapshot>(from, &snapshot)?.with_context(|| format!("{snapshot} is not there"))?;
    let targets = named("targets", together.meta.get("targets.json"))?;
    let (_, list) = read::<Targets>(from, &targets)?.with_context(|| format!("{targets} is not there"))?;
    for (release, files) in releases(&list.targets)? {
        copy_release(from, to, release, &files)?;
    }
    for number in 1.. {
        if !copy_file(from, to, &format!("{number}.root.json"))? {
            break;
        }
    }
    copy_file(from, to, &targets)?;
    copy_file(from, to, &snapshot)?;
    to.write(TIMESTAMP, &stamp)
}

fn read<M: Metadata>(place: &dyn Place, name: &str) -> anyhow::Result<Option<(Vec<u8>, M)>> {
    let Some(bytes) = place.read(name)? else { return Ok(None) };
    let content = Document::parse(&bytes).and_then(|document| document.content());
    Ok(Some((bytes, content.with_context(|| format!("read {name} of {}", place.name()))?)))
}

fn named(role: &str, about: Option<&MetaFile>) -> anyhow::Result<String> {
    let about = about.with_context(|| format!("there are no {role} in what is published"))?;
    Ok(format!("{}.{role}.json", about.version))
}

/// A file of metadata, unless it is there; `false` if there is nothing to copy.
fn copy_file(from: &dyn Place, to: &dyn Place, name: &str) -> anyhow::Result<bool> {
    let Some(bytes) = from.read(name)? else { return Ok(false) };
    if to.read(name)?.as_ref() != Some(&bytes) {
        to.write(name, &bytes)?;
    }
    Ok(true)
}

/// The files of a release, as far as they are kept.
fn copy_release(from: &dyn Place, to: &dyn Place, release: &str, files: &[(&str, Blob)]) -> anyhow::Result<()> {
    let mut kept = Vec::new();
    for &(file, blob) in files {
        let target = format!("{release}/{file}");
        if !to.has(&target, &blob)? {
            let Some(path) = from.file(&target, &blob)? else {
                println!("{target}: left out, {} does not keep it any more", from.name());
                continue;
            };
            let digest = File::open(&path).and_then(|mut file| Digest::of_reader(&mut file));
            if digest.with_context(|| format!("read {}", path.display()))? != blob.digest {
                bail!("{}: it is not the file that was signed", path.display());
            }
            to.add(&target, &blob, &path)?;
        }
        kept.push((file, blob));
    }
    if kept.is_empty() { Ok(()) } else { to.keep(release, &kept) }
}
