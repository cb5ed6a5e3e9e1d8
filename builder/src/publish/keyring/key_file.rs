//! A key in a file. What is in it says who signs:
//!
//! | file | in it | who signs |
//! |---|---|---|
//! | `NAME.pem` | a private key of ed25519 (PKCS #8, as OpenSSL reads it; may be encrypted), and its public half | we do |
//! | `NAME.toml` | a public key, and a command: gets the bytes on its input, prints the signature | the command does |
//! | `NAME.pub` | a public key | somebody else, elsewhere |
//!
//! Public keys are PEM, of ed25519, ECDSA over P-256 or RSA.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use ashlar_formats::tuf::{Document, Key, KeyId, SigningKey, random_seed};
use nix::sys::memfd::{MFdFlags, memfd_create};
use pkcs8::{EncryptedPrivateKeyInfo, LineEnding, PrivateKeyInfo, SecretDocument};
use serde::Deserialize;

use crate::passphrase::{self, VARIABLE};

/// RFC 8410.
const ED25519: pkcs8::ObjectIdentifier = pkcs8::ObjectIdentifier::new_unwrap("1.3.101.112");
/// An octet string of 32 bytes, as the private key stands inside of PKCS #8.
const OCTETS: [u8; 2] = [4, 32];
const PUBLIC: &str = "PUBLIC KEY";
const PRIVATE: &str = "PRIVATE KEY";
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// No metadata: whoever gets hold of its signature has nothing. So often that it is as long: some commands take a
/// kilobyte only.
const TRIAL: &[u8] = b"Ashlar tries a key, which signs this and nothing more.\n";
const TIMES: usize = 1000;

/// A key that is in a file.
#[derive(Debug)]
pub struct KeyFile {
    pub path: PathBuf,
    pub public: Key,
    pub id: KeyId,
    private: Private,
}

/// Where the private half is.
enum Private {
    /// Here, as PEM.
    Here(String),
    /// Where only a command gets at it.
    Command(Vec<String>),
    Elsewhere,
}

/// `NAME.toml`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Signer {
    command: Vec<String>,
    public: String,
}

impl KeyFile {
    /// Makes a key.
    pub fn make(path: &Path) -> anyhow::Result<Self> {
        let key = SigningKey::from_seed(&random_seed().context("make a key")?);
        let write = || format!("write {}", path.display());
        let text = private_pem(&key).map_err(|error| anyhow::anyhow!("{error}")).with_context(write)?;
        let text = text + &key.public().to_pem()?;
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(path).with_context(write)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).with_context(write)?;
        Self::new(path, key.public(), Private::Here(text))
    }

    /// Reads a file. What is encrypted stays so.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let read = || format!("read key {}", path.display());
        let text = fs::read_to_string(path).with_context(read)?;
        if path.extension().is_some_and(|extension| extension == "toml") {
            let signer: Signer = toml::from_str(&text).with_context(read)?;
            return Self::new(
                path,
                Key::from_pem(signer.public.trim()).with_context(read)?,
                Private::Command(signer.command),
            );
        }
        let is_private = block(&text, PRIVATE).or(block(&text, ENCRYPTED)).is_some();
        let public = match block(&text, PUBLIC) {
            Some(public) => Key::from_pem(public).with_context(read)?,
            None if is_private => decrypt(&text).with_context(read)?.public(),
            None => bail!("{}: there is no key in it as PEM ({PUBLIC}, {PRIVATE} or {ENCRYPTED})", read()),
        };
        Self::new(path, public, if is_private { Private::Here(text) } else { Private::Elsewhere })
    }

    fn new(path: &Path, public: Key, private: Private) -> anyhow::Result<Self> {
        Ok(Self { path: path.to_owned(), id: public.id()?, public, private })
    }

    /// The file's name.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Lower is asked first: what costs nobody a touch or a PIN, and last what never signs.
    pub fn cost(&self) -> u8 {
        match self.private {
            Private::Here(_) => 0,
            Private::Command(_) => 1,
            Private::Elsewhere => 2,
        }
    }

    /// Whether it can sign here.
    pub fn can_sign(&self) -> bool {
        !matches!(self.private, Private::Elsewhere)
    }

    /// Adds its signature.
    pub fn sign(&self, document: &mut Document) -> anyhow::Result<()> {
        let signature = self.signature(&document.message()?)?;
        Ok(document.add(&self.public, signature)?)
    }

    /// Has a command sign something, before anything depends on it.
    pub fn try_out(&self) -> anyhow::Result<()> {
        match self.private {
            Private::Command(_) => self.signature(&TRIAL.repeat(TIMES)).map(drop),
            _ => Ok(()),
        }
    }

    /// In hexadecimal digits.
    fn signature(&self, message: &[u8]) -> anyhow::Result<String> {
        let sign = || format!("sign with {}", self.path.display());
        let signature = match &self.private {
            Private::Here(text) => decrypt(text).with_context(sign)?.sign(message),
            Private::Command(command) => {
                let bytes = ask(command, &self.path, message).with_context(sign)?;
                bytes.iter().map(|byte| format!("{byte:02x}")).collect()
            }
            Private::Elsewhere => bail!("{}: only the public half is in it", sign()),
        };
        if !self.public.verifies(message, &signature) {
            bail!(
                "{}: these {} bytes are no signature of the public key that stands there (ed25519: 64 bytes; ECDSA: \
                 SHA-256, as DER; RSA: PSS, SHA-256, a salt of 32 bytes, a key of at least 2048 bits)",
                sign(),
                signature.len() / 2
            );
        }
        Ok(signature)
    }
}

/// Runs a command in its file's folder. Its input is a file: some programs want to know its size first.
fn ask(command: &[String], path: &Path, message: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (program, arguments) = command.split_first().context("`command` is empty")?;
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let program = if program.contains('/') { folder.join(program) } else { program.into() };
    let mut input = File::from(memfd_create(c"to-sign", MFdFlags::empty())?);
    input.write_all(message)?;
    input.rewind()?;
    // What it says goes to the terminal: it may ask for a PIN or a touch.
    let ran = Command::new(&program).args(arguments).current_dir(folder).stdin(input).stderr(Stdio::inherit()).output();
    let output = ran.with_context(|| format!("run {}", program.display()))?;
    if !output.status.success() {
        bail!("`{}` ended with {}; it may have said above why", command.join(" "), output.status);
    }
    Ok(output.stdout)
}

/// A block of a PEM file, with its first and last line.
fn block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let from = text.find(&begin)?;
    let to = from + text[from..].find(&end)? + end.len();
    Some(&text[from..to])
}

fn private_pem(key: &SigningKey) -> pkcs8::Result<String> {
    let content = [&OCTETS[..], &key.seed()].concat();
    let algorithm = pkcs8::AlgorithmIdentifierRef { oid: ED25519, parameters: None };
    let plain = PrivateKeyInfo::new(algorithm, &content);
    let pem = match passphrase::read() {
        Some(word) => plain.encrypt(rand_core::OsRng, word)?.to_pem(ENCRYPTED, LineEnding::LF)?,
        None => SecretDocument::try_from(plain)?.to_pem(PRIVATE, LineEnding::LF)?,
    };
    Ok(pem.to_string())
}

fn decrypt(text: &str) -> anyhow::Result<SigningKey> {
    let failed = |error: pkcs8::Error| anyhow::anyhow!("{error}");
    let pem = block(text, PRIVATE).or(block(text, ENCRYPTED)).unwrap_or_default();
    let (label, document) = SecretDocument::from_pem(pem).map_err(|error| failed(error.into()))?;
    let document = if label == ENCRYPTED {
        let word = passphrase::read().with_context(|| format!("it is encrypted; set {VARIABLE}"))?;
        let encrypted = EncryptedPrivateKeyInfo::try_from(document.as_bytes()).map_err(failed)?;
        encrypted.decrypt(word).map_err(|_| anyhow::anyhow!("{VARIABLE} is not its passphrase"))?
    } else {
        document
    };
    let plain = PrivateKeyInfo::try_from(document.as_bytes()).map_err(failed)?;
    let seed = plain.private_key.strip_prefix(&OCTETS).filter(|_| plain.algorithm.oid == ED25519);
    let seed: &[u8; 32] = seed
        .and_then(|seed| seed.try_into().ok())
        .context("it is no ed25519 key: keep it elsewhere, and have a command sign with it, from a file NAME.toml")?;
    Ok(SigningKey::from_seed(seed))
}

impl std::fmt::Debug for Private {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Here(_) => "Here",
            Self::Command(_) => "Command",
            Self::Elsewhere => "Elsewhere",
        })
    }
}

#[cfg(test)]
mod tests;
