//! Releases for devices: a static folder of files named by their content, and signed metadata about them (The Update
//! Framework, see `ashlar_formats::tuf`). Any HTTP server serves it, and so does a USB stick.
//!
//! | file | what |
//! |---|---|
//! | `metadata/N.root.json` | who signs what; made by `ashlar keys` |
//! | `metadata/N.targets.json` | what is offered |
//! | `metadata/N.snapshot.json`, `metadata/timestamp.json` | what belongs together, and that it is the newest |
//! | `targets/IMAGE/ARCH/VERSION/SHA256.FILE` | a release's root, hash tree and UKI |
//!
//! Readers see the old state or the new one: the timestamp comes last, by a rename. Here: the verbs; `keyring` has the
//! private keys, `shop` the folder.

mod keyring;
mod shop;

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, bail};
use ashlar_fetch::Digest;
use ashlar_formats::date::Date;
use ashlar_formats::tuf::{self, Target, target_name};
use serde_json::{Value, json};

use crate::assemble::Release;
use crate::assemble::release::Piece;
use crate::cli::{KeysCommand, PublishArgs, ShopArgs, WithdrawArgs};
use keyring::Keyring;
pub use keyring::RoleName;
use shop::Shop;

/// The target that carries what is said about a release.
const TOLD_WITH: &str = "root.verity";

/// `ashlar keys`
///
/// # Errors
/// The folder is not as it has to be, here and below.
pub fn keys(command: &KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::New { folder } => {
            let root = Keyring::make(folder)?;
            println!("{}: keys of root, timestamp, snapshot and targets", folder.display());
            println!("{}: for images: [update] root = {:?}", root.display(), root.display().to_string());
        }
        KeysCommand::Rotate { folder, role } => {
            let root = Keyring::open(folder)?.rotate(*role)?;
            println!("{}: the next root; `ashlar publish` puts it out", root.display());
        }
    }
    Ok(())
}

/// `ashlar publish`
///
/// # Errors
/// A release is not whole, or one of its version was published before with other content.
pub fn publish(args: &PublishArgs) -> anyhow::Result<()> {
    let mut shop = open(&args.shop)?;
    let releases = args.releases.iter().map(|folder| read(folder)).collect::<anyhow::Result<Vec<_>>>()?;
    for (folder, release) in args.releases.iter().zip(&releases) {
        add(&mut shop, folder, release, args)?;
    }
    shop.put_out()?;
    for release in &releases {
        println!("{}: {} {} for {}", args.shop.to.display(), release.image, release.version, release.arch);
    }
    println!("{}: signed, good until {}", args.shop.to.display(), shop.fresh_until());
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
        bail!("withdraw version {}: {} has no such release", args.version, args.shop.to.display());
    }
    shop.put_out()?;
    withdrawn.iter().for_each(|name| println!("{name}: withdrawn"));
    Ok(())
}

fn open(args: &ShopArgs) -> anyhow::Result<Shop> {
    Shop::open(&args.to, Keyring::open(&args.keys)?, args.fresh)
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
        withdrawn: None,
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

/// What is signed is what was built.
fn check(path: &Path, piece: &Piece) -> anyhow::Result<()> {
    let read = || format!("read {}", path.display());
    let digest = Digest::of_reader(&mut File::open(path).with_context(read)?).with_context(read)?;
    if digest != piece.sha256 {
        bail!("{} is not the file that release.json names: build it again", path.display());
    }
    Ok(())
}
