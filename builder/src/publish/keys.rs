//! `ashlar keys`: the verbs.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ashlar_formats::tuf::{KeyId, RoleName, Root};

use super::keyring::{Folder, KeyFile, PENDING, Share, add, describe, parse, replace, short};
use crate::cli::{KeysCommand, Quorum};
use crate::secure_boot;

/// `ashlar keys`
///
/// # Errors
/// The folder is not as it has to be, or a key does not read, or does not sign.
pub fn run(command: &KeysCommand) -> anyhow::Result<()> {
    match command {
        KeysCommand::New { folder, threshold, key } => new(folder, threshold, key),
        KeysCommand::Make { file } => make(file),
        KeysCommand::Show { path } if path.is_file() => {
            let document = parse(path)?;
            print!("{}: {}", path.display(), describe(&document)?);
            let signers: Vec<&str> = document.signatures.iter().map(|signature| short(&signature.keyid)).collect();
            println!("  signatures: {}", if signers.is_empty() { "none".to_owned() } else { signers.join(", ") });
            Ok(())
        }
        KeysCommand::Show { path } => show(&Folder::open(path)?),
        KeysCommand::Add { folder, role, file } => change(folder, |folder, root| {
            let key = match file {
                Some(file) => folder.take(*role, &KeyFile::read(file)?)?,
                None => folder.make_key(&folder.free_name(*role))?,
            };
            add(root, *role, key)
        }),
        KeysCommand::Remove { folder, role, key } => change(folder, |folder, root| {
            let id = folder.find(root, *role, key)?;
            root.roles.get_mut(*role).keyids.retain(|other| *other != id);
            Ok(())
        }),
        KeysCommand::Rotate { folder, role, key, with } => change(folder, |folder, root| {
            let old = which(folder, root, *role, key.as_deref())?;
            let key = match with {
                Some(file) => folder.take(*role, &KeyFile::read(file)?)?,
                None => folder.make_key(&folder.free_name(*role))?,
            };
            root.roles.get_mut(*role).keyids.retain(|other| *other != old);
            add(root, *role, key)
        }),
        KeysCommand::Threshold { folder, role, count } => change(folder, |_, root| {
            root.roles.get_mut(*role).threshold = *count;
            Ok(())
        }),
        KeysCommand::Sign { documents, key } => sign(documents, key),
        KeysCommand::Collect { folder, copies } => {
            let mut folder = Folder::open(folder)?;
            copies.iter().try_for_each(|copy| folder.collect(copy))?;
            show(&folder)
        }
        KeysCommand::SecureBoot(args) => {
            secure_boot::make(&args.folder, &args.name, &args.trust)?;
            let folder = args.folder.display().to_string();
            println!("{folder}: PK, KEK and db, for images: [secure-boot] keys = {folder:?}");
            Ok(())
        }
    }
}

fn new(folder: &Path, quorums: &[Quorum], keys: &[(RoleName, PathBuf)]) -> anyhow::Result<()> {
    let mut shares = BTreeMap::new();
    for role in RoleName::ALL {
        let taken = keys.iter().filter(|(of, _)| *of == role).map(|(_, file)| KeyFile::read(file));
        let taken: Vec<KeyFile> = taken.collect::<anyhow::Result<_>>()?;
        let quorum = quorums.iter().rfind(|quorum| quorum.role == role);
        let threshold = quorum.map_or(NonZeroU32::MIN, |quorum| quorum.threshold);
        // Where it is not said, the keys that are given are all; where none is, those that have to sign.
        let given = if taken.is_empty() { threshold.get() } else { taken.len() as u32 };
        let count = quorum.and_then(|quorum| quorum.keys).unwrap_or(given) as usize;
        if count < taken.len() || count < threshold.get() as usize {
            bail!(
                "make {}: {role} would have {count} keys, of which {} are given, and {threshold} have to sign; say how many \
                 it has: --threshold {role}={threshold}/{}",
                folder.display(),
                taken.len(),
                taken.len().max(threshold.get() as usize)
            );
        }
        shares.insert(role, Share { threshold, made: count - taken.len(), taken });
    }
    let made = Folder::make(folder, shares)?;
    if made.newest.is_none() {
        return show(&made);
    }
    println!("{}: keys of root, timestamp, snapshot and targets", folder.display());
    let root = made.root_path(1).display().to_string();
    println!("{root}: for images: [update] root = {root:?}");
    Ok(())
}

fn make(file: &Path) -> anyhow::Result<()> {
    if file.extension().is_none_or(|extension| extension != "pem") {
        bail!("make {}: name it NAME.pem", file.display());
    }
    let key = KeyFile::make(file)?;
    let public = file.with_extension("pub");
    replace(&public, key.public.to_pem()?.as_bytes())?;
    println!("{}: keep it", file.display());
    println!("{}: for the publisher; key {}", public.display(), short(&key.id));
    Ok(())
}

/// Makes the next root, and says what it is, or whom it waits for.
fn change(path: &Path, alter: impl FnOnce(&mut Folder, &mut Root) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut folder = Folder::open(path)?;
    let before = folder.roots.len();
    folder.change(alter)?;
    print!("{}", folder.state()?);
    if folder.roots.len() > before {
        println!(
            "{}: the next root; `ashlar publish` puts it out",
            folder.root_path(folder.roots.len() as u64).display()
        );
    }
    Ok(())
}

/// The key of a role that is to go: the only one, unless it is said.
fn which(folder: &Folder, root: &Root, role: RoleName, key: Option<&str>) -> anyhow::Result<KeyId> {
    let keyids = &root.roles.get(role).keyids;
    match (key, keyids.as_slice()) {
        (Some(key), _) => folder.find(root, role, key),
        (None, [only]) => Ok(only.clone()),
        (None, several) => {
            let names: Vec<String> = several.iter().map(|id| folder.name(id)).collect();
            bail!("exchange a key of {role}: say which one of {}", names.join(", "))
        }
    }
}

fn sign(documents: &[PathBuf], keys: &[PathBuf]) -> anyhow::Result<()> {
    let keys = keys.iter().map(|file| KeyFile::read(file)).collect::<anyhow::Result<Vec<_>>>()?;
    for path in documents {
        let mut document = parse(path)?;
        print!("{}: {}", path.display(), describe(&document)?);
        for key in &keys {
            key.sign(&mut document).with_context(|| format!("sign {}", path.display()))?;
            println!("  signed with {}: key {}", key.path.display(), short(&key.id));
        }
        replace(path, &document.to_bytes())?;
        let pending = path.canonicalize()?;
        let pending = pending.parent().filter(|folder| folder.ends_with(PENDING));
        match pending.and_then(Path::parent) {
            Some(folder) => show(&Folder::open(folder)?)?,
            None => println!("  give it back to the publisher: `ashlar keys collect KEYS {}`", path.display()),
        }
    }
    Ok(())
}

fn show(folder: &Folder) -> anyhow::Result<()> {
    print!("{}", folder.state()?);
    Ok(())
}
