//! The publisher's private keys: a folder with a file `ROLE.pem` for each role (PKCS #8, as OpenSSL reads it; encrypted
//! where a passphrase is given) and all roots so far, `N.root.json`.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::num::NonZeroU32;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use ashlar_formats::date::Date;
use ashlar_formats::tuf::{Common, Document, Metadata, Role, RoleName, Roles, Root, SigningKey, random_seed};
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument};

/// For keys that are encrypted, or are to be.
const PASSPHRASE: &str = "ASHLAR_KEY_PASSPHRASE";
/// RFC 8410.
const ED25519: pkcs8::ObjectIdentifier = pkcs8::ObjectIdentifier::new_unwrap("1.3.101.112");
/// An octet string of 32 bytes, as the private key stands inside of PKCS #8.
const OCTETS: [u8; 2] = [4, 32];
const DAY: u64 = 86_400;
/// A root is replaced before that.
const ROOT_DAYS: u64 = 10 * 365;

/// The folder, and its newest root.
#[derive(Debug)]
pub struct Keyring {
    folder: PathBuf,
    /// Bytes of all roots, by version.
    roots: BTreeMap<u64, Vec<u8>>,
    root: Root,
}

impl Keyring {
    /// Makes a folder with a key for each role, and returns the path of the first root.
    pub fn make(folder: &Path) -> anyhow::Result<PathBuf> {
        let make = || format!("make {}", folder.display());
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{}: there is something in it already; name a new folder", make());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(make)?;
        let mut keys = BTreeMap::new();
        for role in RoleName::ALL {
            keys.insert(role, make_key(&key_path(folder, role))?);
        }
        let common = Common::new::<Root>(1, in_days(ROOT_DAYS));
        let root = root(common, &RoleName::ALL.map(|role| (role, keys[&role].public())).into())?;
        write_root(folder, &root, &[&keys[&RoleName::Root]])
    }

    /// Opens a folder. Its roots are checked, one after the other.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let mut roots = BTreeMap::new();
        for version in 1.. {
            let Ok(bytes) = fs::read(root_path(folder, version)) else { break };
            roots.insert(version, bytes);
        }
        let first = roots.get(&1).with_context(|| {
            format!("open keys {}: there is no 1.root.json; `ashlar keys new` makes such a folder", folder.display())
        })?;
        let mut root = Root::trusted(first).with_context(|| format!("read {}", root_path(folder, 1).display()))?;
        for (version, bytes) in roots.range(2..) {
            root = root.next(bytes).with_context(|| format!("read {}", root_path(folder, *version).display()))?;
        }
        Ok(Self { folder: folder.to_owned(), roots, root })
    }

    /// The newest root.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Bytes of all roots, by version.
    pub fn roots(&self) -> &BTreeMap<u64, Vec<u8>> {
        &self.roots
    }

    /// A new key for a role: the next root is signed by the old key of the root and by the new one. Returns its path.
    pub fn rotate(&self, role: RoleName) -> anyhow::Result<PathBuf> {
        let old = self.key(RoleName::Root)?;
        let path = key_path(&self.folder, role);
        let fresh = path.with_extension("pem.new");
        let new = make_key(&fresh)?;
        let mut keys = BTreeMap::new();
        for name in RoleName::ALL {
            keys.insert(name, if name == role { new.public() } else { self.key(name)?.public() });
        }
        let common = Common::new::<Root>(self.root.common.version + 1, in_days(ROOT_DAYS));
        let signers = if role == RoleName::Root { vec![&old, &new] } else { vec![&old] };
        let root = write_root(&self.folder, &root(common, &keys)?, &signers)?;
        // Kept: until the next root is everywhere, what the old key signed may be wanted.
        let kept = self.folder.join(format!("{role}.{}.pem", self.root.common.version));
        fs::rename(&path, &kept).with_context(|| format!("keep {} as {}", path.display(), kept.display()))?;
        fs::rename(&fresh, &path).with_context(|| format!("write {}", path.display()))?;
        Ok(root)
    }

    /// A signed file of a role.
    pub fn signed<M: Metadata>(&self, role: RoleName, content: &M) -> anyhow::Result<Vec<u8>> {
        let mut document = Document::new(content)?;
        document.sign(&self.key(role)?)?;
        let expected = match role {
            RoleName::Root => &self.root.roles.root,
            RoleName::Timestamp => &self.root.roles.timestamp,
            RoleName::Snapshot => &self.root.roles.snapshot,
            RoleName::Targets => &self.root.roles.targets,
        };
        document.verify(expected, &self.root.keys).with_context(|| {
            format!("sign for {role}: {} is not the key that the root names", key_path(&self.folder, role).display())
        })?;
        Ok(document.to_bytes())
    }

    fn key(&self, role: RoleName) -> anyhow::Result<SigningKey> {
        read_key(&key_path(&self.folder, role))
    }
}

fn key_path(folder: &Path, role: RoleName) -> PathBuf {
    folder.join(format!("{role}.pem"))
}

fn root_path(folder: &Path, version: u64) -> PathBuf {
    folder.join(format!("{version}.root.json"))
}

/// A point of time, so many days from now.
pub fn in_days(days: u64) -> Date {
    Date::from_seconds(Date::now().seconds() + days * DAY)
}

fn root(common: Common, public: &BTreeMap<RoleName, ashlar_formats::tuf::Key>) -> anyhow::Result<Root> {
    let mut keys = BTreeMap::new();
    let mut roles = BTreeMap::new();
    for (name, key) in public {
        let id = key.id()?;
        keys.insert(id.clone(), key.clone());
        roles.insert(*name, Role { keyids: vec![id], threshold: NonZeroU32::MIN });
    }
    let role = |name| roles.get(&name).cloned().with_context(|| format!("there is no key of {name}"));
    let roles = Roles {
        root: role(RoleName::Root)?,
        timestamp: role(RoleName::Timestamp)?,
        snapshot: role(RoleName::Snapshot)?,
        targets: role(RoleName::Targets)?,
    };
    Ok(Root { common, consistent_snapshot: true, keys, roles })
}

fn write_root(folder: &Path, root: &Root, signers: &[&SigningKey]) -> anyhow::Result<PathBuf> {
    let mut document = Document::new(root)?;
    signers.iter().try_for_each(|key| document.sign(key))?;
    let path = root_path(folder, root.common.version);
    fs::write(&path, document.to_bytes()).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

/// What private keys are encrypted with, if with anything.
pub fn passphrase() -> Option<String> {
    std::env::var(PASSPHRASE).ok().filter(|text| !text.is_empty())
}

fn make_key(path: &Path) -> anyhow::Result<SigningKey> {
    let key = SigningKey::from_seed(&random_seed().context("make a key")?);
    let content = [&OCTETS[..], &key.seed()].concat();
    let algorithm = pkcs8::AlgorithmIdentifierRef { oid: ED25519, parameters: None };
    let plain = PrivateKeyInfo::new(algorithm, &content);
    let failed = |error: pkcs8::Error| anyhow::anyhow!("write {}: {error}", path.display());
    let text = match passphrase() {
        Some(word) => plain
            .encrypt(rand_core::OsRng, word)
            .and_then(|key| Ok(key.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)?)),
        None => SecretDocument::try_from(plain).and_then(|key| Ok(key.to_pem("PRIVATE KEY", LineEnding::LF)?)),
    };
    let text = text.map_err(failed)?;
    let write = || File::options().write(true).create_new(true).mode(0o600).open(path)?.write_all(text.as_bytes());
    write().with_context(|| format!("write {}", path.display()))?;
    Ok(key)
}

fn read_key(path: &Path) -> anyhow::Result<SigningKey> {
    let text = fs::read_to_string(path).with_context(|| format!("read key {}", path.display()))?;
    let failed = |error: pkcs8::Error| anyhow::anyhow!("read key {}: {error}", path.display());
    let (label, document) = SecretDocument::from_pem(&text).map_err(|error| failed(error.into()))?;
    let document = if label == "ENCRYPTED PRIVATE KEY" {
        let word =
            passphrase().with_context(|| format!("read key {}: it is encrypted; set {PASSPHRASE}", path.display()))?;
        let encrypted = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(failed)?;
        encrypted
            .decrypt(word)
            .map_err(|_| anyhow::anyhow!("read key {}: {PASSPHRASE} is not its passphrase", path.display()))?
    } else {
        document
    };
    let plain = PrivateKeyInfo::try_from(document.as_bytes()).map_err(failed)?;
    let seed = plain.private_key.strip_prefix(&OCTETS).filter(|_| plain.algorithm.oid == ED25519);
    let seed: &[u8; 32] = seed
        .and_then(|seed| seed.try_into().ok())
        .with_context(|| format!("read key {}: it is no ed25519 key", path.display()))?;
    Ok(SigningKey::from_seed(seed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_formats::tuf::Targets;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    fn targets() -> Targets {
        Targets::new(1, in_days(1))
    }

    #[test]
    fn keys_are_kept_to_oneself_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let first = Keyring::make(&keys).unwrap();
        assert_eq!(first, keys.join("1.root.json"));
        assert_eq!(fs::metadata(keys.join("root.pem")).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Keyring::make(&keys).unwrap_err().to_string().contains("something in it already"));
        let ring = Keyring::open(&keys).unwrap();
        let bytes = ring.signed(RoleName::Targets, &targets()).unwrap();
        let document = Document::parse(&bytes).unwrap();
        assert_eq!(document.verify(&ring.root().roles.targets, &ring.root().keys), Ok(()));
        fs::copy(keys.join("snapshot.pem"), keys.join("targets.pem")).unwrap();
        let error = ring.signed(RoleName::Targets, &targets()).unwrap_err().to_string();
        assert!(error.contains("targets.pem is not the key that the root names"), "{error}");
    }

    #[test]
    fn openssl_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        let key = make_key(&path).unwrap();
        let ran = Command::new("openssl").args(["pkey", "-noout", "-text", "-in"]).arg(&path).output();
        // It is on every machine that builds for others; where it is not, the next one tells.
        let Ok(ran) = ran else { return };
        let text = String::from_utf8_lossy(&ran.stdout).replace([':', ' ', '\n'], "");
        let seed: String = key.seed().iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(text.starts_with("ED25519Private-Key") && text.contains(&seed), "{text}");
    }

    #[test]
    fn roots_follow_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        Keyring::make(&keys).unwrap();
        for (number, role) in (2..).zip(RoleName::ALL) {
            assert_eq!(Keyring::open(&keys).unwrap().rotate(role).unwrap(), root_path(&keys, number));
            let ring = Keyring::open(&keys).unwrap();
            assert_eq!(ring.root().common.version, number);
            ring.signed(RoleName::Targets, &targets()).unwrap();
        }
        fs::copy(keys.join("3.root.json"), keys.join("4.root.json")).unwrap();
        let error = format!("{:#}", Keyring::open(&keys).unwrap_err());
        assert!(error.contains("4.root.json"), "{error}");
        let error = format!("{:#}", Keyring::open(folder.path()).unwrap_err());
        assert!(error.contains("ashlar keys new"), "{error}");
    }
}
