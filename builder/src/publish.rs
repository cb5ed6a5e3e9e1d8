//! Releases for devices: a static folder of files named by their content, and signed metadata about them (The Update
//! Framework, see `ashlar_formats::tuf`). Any HTTP server serves it, and so does a USB stick; a registry has the same files.
//!
//! | file | what |
//! |---|---|
//! | `metadata/N.root.json` | who signs what; made by `ashlar keys` |
//! | `metadata/N.targets.json` | what is offered |
//! | `metadata/N.snapshot.json`, `metadata/timestamp.json` | what belongs together, and that it is the newest |
//! | `targets/IMAGE/ARCH/VERSION/SHA256.FILE` | a release's root, hash tree and UKI |
//! | `targets/IMAGE/ARCH/VERSION/SHA256.FILE.from-OLDER` | a patch for those who run OLDER |
//!
//! Readers see the old state or the new one: the timestamp comes last, by a rename. Here: the verbs; `keys` has those
//! about keys, `keyring` the keys, `shop` what is published, `place` and `repository` where.

mod credentials;
mod keyring;
pub mod keys;
mod mirror;
mod patch;
mod place;
mod plan;
mod repository;
mod shop;

use std::cmp::Ordering;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ashlar_config::version;
use ashlar_fetch::Digest;
use ashlar_fetch::registry::Address;
use ashlar_formats::date::Date;
use ashlar_formats::tuf::{self, Target, patch_name, target_name};
use serde_json::{Value, json};

use crate::assemble::Release;
use crate::assemble::release::Piece;
use crate::cli::{MirrorArgs, PublishArgs, RegistryArgs, ShopArgs, WithdrawArgs};
use keyring::Keyring;
use place::{Folder, Place};
use repository::Repository;
use shop::Shop;

/// The target that carries what is said about a release.
const TOLD_WITH: &str = "root.verity";
const ROOT: &str = "root.erofs";

/// `ashlar publish`
///
/// # Errors
/// A release is not whole, or one of its version was published before with other content.
pub fn publish(args: &PublishArgs) -> anyhow::Result<()> {
    let mut shop = open(&args.shop)?;
    let releases = args.releases.iter().map(|folder| read(folder)).collect::<anyhow::Result<Vec<_>>>()?;
    if args.plan {
        for (folder, release) in args.releases.iter().zip(&releases) {
            plan::show(&shop, folder, release, &older(&shop, release, args.patches))?;
        }
        return Ok(());
    }
    for (folder, release) in args.releases.iter().zip(&releases) {
        add(&mut shop, folder, release, args)?;
    }
    for (folder, release) in args.releases.iter().zip(&releases) {
        add_patches(&mut shop, folder, release, args.patches)?;
    }
    shop.put_out()?;
    for release in &releases {
        println!("{}: {} {} for {}", args.shop.to, release.image, release.version, release.arch);
    }
    println!("{}: signed, good until {}", args.shop.to, shop.fresh_until());
    Ok(())
}

/// `ashlar withdraw`
///
/// # Errors
/// There is no such release.
pub fn withdraw(args: &WithdrawArgs) -> anyhow::Result<()> {
    let mut shop = open(&args.shop)?;
    let mut withdrawn = Vec::new();
    for (name, target) in shop.targets_mut() {
        let Some(release) = target.custom.get_mut("release") else { continue };
        let is_of_image = args.image.as_ref().is_none_or(|image| release["image"] == *image.as_str());
        if release["version"] == *args.version.as_str() && is_of_image {
            release["withdrawn"] = args.why.clone().into();
            withdrawn.push(name.rsplit_once('/').map_or(name.clone(), |(folder, _)| folder.to_owned()));
        }
    }
    if withdrawn.is_empty() {
        bail!("withdraw version {}: {} has no such release", args.version, args.shop.to);
    }
    shop.put_out()?;
    withdrawn.iter().for_each(|name| println!("{name}: withdrawn"));
    Ok(())
}

/// `ashlar mirror`
///
/// # Errors
/// Nothing is published there, or something newer is at the other place.
pub fn mirror(args: &MirrorArgs) -> anyhow::Result<()> {
    if !Address::is_meant(&args.from) && !Path::new(&args.from).exists() {
        bail!("mirror {}: there is no such folder", args.from);
    }
    if args.from == args.to {
        bail!("mirror {}: name another place with --to", args.from);
    }
    mirror::copy(&*place(&args.from, &args.registry)?, &*place(&args.to, &args.registry)?)?;
    println!("{}: as {}", args.to, args.from);
    Ok(())
}

fn open(args: &ShopArgs) -> anyhow::Result<Shop> {
    Shop::open(place(&args.to, &args.registry)?, Keyring::open(&args.keys)?, args.fresh)
}

fn place(text: &str, args: &RegistryArgs) -> anyhow::Result<Box<dyn Place>> {
    Ok(match Address::is_meant(text) {
        true => Box::new(Repository::open(text, args.authfile.as_deref(), &args.cache()?)?),
        false => Box::new(Folder::open(Path::new(text))?),
    })
}

fn read(folder: &Path) -> anyhow::Result<Release> {
    let path = folder.join("release.json");
    let text = fs::read_to_string(&path)
        .with_context(|| format!("read {}: is {} a folder of `ashlar build`?", path.display(), folder.display()))?;
    Release::from_json(&text).with_context(|| format!("publish {}", folder.display()))
}

fn add(shop: &mut Shop, folder: &Path, release: &Release, args: &PublishArgs) -> anyhow::Result<()> {
    let arch = release.arch.to_string();
    let name = |file: &str| target_name(&release.image, &arch, &release.version, file);
    let told = tuf::Release {
        image: release.image.clone(),
        arch: arch.clone(),
        version: release.version.clone(),
        date: Date::now(),
        root_hash: release.root_hash.to_string(),
        channels: args.channel.clone(),
        minimum: args.minimum.clone(),
        notes: args.notes.clone(),
        rollout: args.rollout.clone(),
        withdrawn: None,
        contents: Some(release.contents.clone()),
    };
    for file in tuf::FILES {
        let piece =
            release.files.get(file).with_context(|| format!("{}: release.json has no {file}", folder.display()))?;
        let path = folder.join(file);
        check(&path, piece)?;
        let custom = if file == TOLD_WITH { json!({ "release": told }) } else { Value::Null };
        let hashes = [("sha256".to_owned(), piece.sha256.to_string())].into();
        shop.add(&name(file), Target { length: piece.size, hashes, custom }, &path).with_context(|| {
            format!("publish {} as version {} of image {}", folder.display(), release.version, release.image)
        })?;
    }
    Ok(())
}

/// The last versions before a release, the newest first.
fn older(shop: &Shop, release: &Release, count: usize) -> Vec<tuf::Release> {
    let arch = release.arch.to_string();
    let is_older = |other: &tuf::Release| {
        let is_of_it = other.image == release.image && other.arch == arch;
        is_of_it && version::compare(&other.version, &release.version) == Ordering::Less
    };
    let mut older: Vec<tuf::Release> = shop.releases().filter(is_older).collect();
    older.sort_by(|one, two| version::compare(&two.version, &one.version));
    older.truncate(count);
    older
}

/// Adds patches from the last versions before a release. Those that are out already stay as they are.
fn add_patches(shop: &mut Shop, folder: &Path, release: &Release, count: usize) -> anyhow::Result<()> {
    for from in older(shop, release, count) {
        for file in tuf::FILES {
            let made = add_patch(shop, folder, release, &from, file);
            // What is half-written, or was taken, stays nowhere.
            let _ = fs::remove_file(shop.scratch());
            made.with_context(|| {
                format!("make the patch of {file} from version {} to {}", from.version, release.version)
            })?;
        }
    }
    Ok(())
}

fn add_patch(shop: &mut Shop, folder: &Path, release: &Release, from: &tuf::Release, file: &str) -> anyhow::Result<()> {
    let name = |version: &str, file: &str| target_name(&from.image, &from.arch, version, file);
    let makes = name(&release.version, file);
    let patch = patch_name(&makes, &from.version);
    if shop.has(&patch) {
        return Ok(());
    }
    let Some(old) = shop.file(&name(&from.version, file))? else {
        println!("{patch}: left out, that version's {file} is not kept any more");
        return Ok(());
    };
    let new = folder.join(file);
    let Some(head) = make_patch(shop, from, file, &new, &folder.join(TOLD_WITH))? else { return Ok(()) };
    let base = match file {
        ROOT => from.root_hash.clone(),
        _ => Digest::of_reader(&mut File::open(&old)?)?.to_string(),
    };
    let out = shop.scratch();
    let (length, whole) = (out.metadata()?.len(), new.metadata()?.len());
    println!("{patch}: {} kB, instead of {} kB", length / 1000, whole / 1000);
    if length < whole {
        let head_sha256 = Digest::of(&head.bytes()).to_string();
        let told = tuf::Patch { makes, base, head_length: head.len() as u64, head_sha256 };
        let sha256 = Digest::of_reader(&mut File::open(&out)?)?.to_string();
        let hashes = [("sha256".to_owned(), sha256)].into();
        shop.add(&patch, Target { length, hashes, custom: json!({ "patch": told }) }, &out)?;
    }
    Ok(())
}

/// Makes the patch of a file from a published version's, into the scratch file; `None` where there is nothing new. `tree` is
/// the new root's.
fn make_patch(
    shop: &Shop,
    from: &tuf::Release,
    file: &str,
    new: &Path,
    tree: &Path,
) -> anyhow::Result<Option<ashlar_formats::patch::Head>> {
    let old = kept(shop, from, file)?;
    if file != ROOT {
        return patch::of_file(&old, new, &shop.scratch());
    }
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let (before, after) = (read(&kept(shop, from, TOLD_WITH)?)?, read(tree)?);
    patch::of_root((&old, &before), (new, &after), &shop.scratch())
}

/// A file of a published version.
fn kept(shop: &Shop, from: &tuf::Release, file: &str) -> anyhow::Result<PathBuf> {
    let name = target_name(&from.image, &from.arch, &from.version, file);
    shop.file(&name)?.with_context(|| format!("{name} is not kept any more"))
}

/// What is signed is what was built.
fn check(path: &Path, piece: &Piece) -> anyhow::Result<()> {
    let read = || format!("read {}", path.display());
    let digest = Digest::of_reader(&mut File::open(path).with_context(read)?).with_context(read)?;
    if digest != piece.sha256 {
        bail!("{} is not the file that release.json names: build it again", path.display());
    }
    Ok(())
}
