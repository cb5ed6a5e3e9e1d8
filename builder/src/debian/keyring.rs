//! Whose signature counts: OpenPGP certificates in keyring files, and the check of a cleartext-signed document.
//!
//! A key counts when its certificate binds it for signing with a valid, newest self-signature, and neither it
//! nor its certificate is revoked or expired. A document counts when one such key signed it with SHA-2 or SHA-3.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag, VerifyingKey};

use super::date::Date;

const FOLDER: &str = "/usr/share/keyrings";
/// A keyring file of Debian's has some 100 KB.
const MAX_KEYRING: u64 = 16 << 20;
/// Clocks differ; a signature from further ahead than this is refused.
const TOLERANCE: u64 = 24 * 3600;

/// Keys that may sign a release.
pub struct Keyring {
    signers: Vec<Signer>,
}

/// A key that may sign, with the end of its validity.
struct Signer {
    key: Key,
    created: u64,
    expires: Option<u64>,
}

enum Key {
    Primary(Box<SignedPublicKey>),
    Subkey(Box<SignedPublicSubKey>),
}

/// A document's signature does not count.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no keyring for the suite.
    #[error("find the keys of {0}: there is no debian-archive keyring in {FOLDER}; name a file with --keyring")]
    None(String),
    /// A keyring file cannot be read.
    #[error("read keyring {path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Not a cleartext-signed document.
    #[error("read the signature: {0}")]
    Form(String),
    /// None of the signatures is by a key of the keyring.
    #[error("check the signature: none of the keyring's keys made it (it is by {0})")]
    Unknown(String),
    /// A key of the keyring signed something else.
    #[error("check the signature: the content is not what key {0} signed")]
    Wrong(String),
    /// A key of the keyring signed it in a way that does not count.
    #[error("check the signature by key {key}: {why}")]
    Refused {
        /// The key.
        key: String,
        /// Why it does not count.
        why: &'static str,
    },
}

impl Keyring {
    /// The keyring files that Debian's own package installs for a suite.
    ///
    /// # Errors
    /// There are none.
    pub fn files_for(suite: &str) -> Result<Vec<PathBuf>, Error> {
        let base = suite.split('-').next().unwrap_or(suite);
        let mut files: Vec<PathBuf> = fs::read_dir(FOLDER)
            .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
            .unwrap_or_default();
        files.sort();
        let named = |prefix: &str| -> Vec<PathBuf> {
            let fits = |path: &&PathBuf| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let stem = name.strip_suffix(".gpg").or_else(|| name.strip_suffix(".pgp"));
                stem.is_some_and(|stem| stem.starts_with(prefix))
            };
            files.iter().filter(fits).cloned().collect()
        };
        let of_suite = named(&format!("debian-archive-{base}-"));
        let found = if of_suite.is_empty() { named("debian-archive-keyring") } else { of_suite };
        if found.is_empty() { Err(Error::None(suite.to_owned())) } else { Ok(found) }
    }

    /// Reads keyring files, binary or armored.
    ///
    /// # Errors
    /// A file cannot be read, or holds no key that may sign.
    pub fn load(files: &[PathBuf]) -> Result<Self, Error> {
        let mut signers = Vec::new();
        for path in files {
            let fail = |why: String| Error::File { path: path.clone(), why };
            let certificates = read_certificates(path).map_err(fail)?;
            let before = signers.len();
            certificates.iter().for_each(|certificate| signers.extend(signers_of(certificate)));
            if signers.len() == before {
                return Err(fail("it holds no key that may sign".to_owned()));
            }
        }
        Ok(Self { signers })
    }

    /// The text of a document that a key of this ring signed, exactly as it was signed.
    ///
    /// # Errors
    /// No signature counts; the error is about the one that came nearest.
    pub fn verify(&self, document: &str, now: Date) -> Result<String, Error> {
        let (message, _) = CleartextSignedMessage::from_string(document).map_err(|e| Error::Form(e.to_string()))?;
        let text = message.signed_text();
        let mut nearest = Error::Unknown(issuers(message.signatures()));
        for signature in message.signatures() {
            for signer in self.signers.iter().filter(|signer| signer.is_named_by(signature)) {
                match signer.check(signature, &text, now.seconds()) {
                    Ok(()) => return Ok(text),
                    Err(error) => nearest = error,
                }
            }
        }
        Err(nearest)
    }
}

fn read_certificates(path: &Path) -> Result<Vec<SignedPublicKey>, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    if file.metadata().map_err(|e| e.to_string())?.len() > MAX_KEYRING {
        return Err(format!("it is larger than {MAX_KEYRING} bytes"));
    }
    let (keys, _) = SignedPublicKey::from_reader_many_buf(BufReader::new(file)).map_err(|e| e.to_string())?;
    keys.collect::<Result<_, _>>().map_err(|e| e.to_string())
}

fn issuers(signatures: &[Signature]) -> String {
    let ids: Vec<_> =
        signatures.iter().flat_map(Signature::issuer_key_id).map(|id| id.to_string().to_uppercase()).collect();
    if ids.is_empty() { "nobody".to_owned() } else { ids.join(", ") }
}

/// The keys of a certificate that may sign documents.
fn signers_of(certificate: &SignedPublicKey) -> Vec<Signer> {
    let primary = &certificate.primary_key;
    let details = &certificate.details;
    let certifies =
        |signature: &Signature, user: &_| signature.verify_certification(primary, Tag::UserId, user).is_ok();
    let by_user = details.users.iter().flat_map(|user| user.signatures.iter().filter(|s| certifies(s, &user.id)));
    let direct = details.direct_signatures.iter().filter(|signature| signature.verify_key(primary).is_ok());
    // A revocation that does not verify still counts: keyring files are ours, doubt is for the careful side.
    let Some(own) = newest(by_user.chain(direct)).filter(|_| details.revocation_signatures.is_empty()) else {
        return Vec::new();
    };
    let end = expiry(primary.created_at().as_secs(), own);
    let mut signers = Vec::new();
    if own.key_flags().sign() {
        let key = Key::Primary(Box::new(certificate.clone()));
        signers.push(Signer { key, created: primary.created_at().as_secs().into(), expires: end });
    }
    signers.extend(certificate.public_subkeys.iter().filter_map(|subkey| {
        let binding = signing_binding(certificate, subkey)?;
        let created = subkey.key.created_at().as_secs();
        let expires = [expiry(created, binding), end].into_iter().flatten().min();
        Some(Signer { key: Key::Subkey(Box::new(subkey.clone())), created: created.into(), expires })
    }));
    signers
}

/// The newest valid binding of a subkey, if it is for signing and the subkey agrees (its back-signature).
fn signing_binding<'a>(certificate: &SignedPublicKey, subkey: &'a SignedPublicSubKey) -> Option<&'a Signature> {
    let primary = &certificate.primary_key;
    let is = |signature: &Signature, kind| signature.typ() == Some(kind);
    if subkey.signatures.iter().any(|signature| is(signature, SignatureType::SubkeyRevocation)) {
        return None;
    }
    let binds = |signature: &&Signature| {
        is(signature, SignatureType::SubkeyBinding) && signature.verify_subkey_binding(primary, &subkey.key).is_ok()
    };
    let binding = newest(subkey.signatures.iter().filter(binds))?;
    let agreed = binding.embedded_signature()?.verify_primary_key_binding(&subkey.key, primary).is_ok();
    (binding.key_flags().sign() && agreed).then_some(binding)
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|signature| signature.created().map_or(0, |time| time.as_secs()))
}

/// When a key of that age ends by a self-signature; a validity of zero means for ever.
fn expiry(created: u32, own: &Signature) -> Option<u64> {
    let validity = own.key_expiration_time()?.as_secs();
    (validity > 0).then(|| u64::from(created) + u64::from(validity))
}

impl Signer {
    fn id(&self) -> String {
        match &self.key {
            Key::Primary(key) => format!("{:X}", key.fingerprint()),
            Key::Subkey(key) => format!("{:X}", key.fingerprint()),
        }
    }

    fn is_named_by(&self, signature: &Signature) -> bool {
        let (id, fingerprint) = match &self.key {
            Key::Primary(key) => (key.legacy_key_id(), key.fingerprint()),
            Key::Subkey(key) => (key.legacy_key_id(), key.fingerprint()),
        };
        signature.issuer_key_id().contains(&&id) || signature.issuer_fingerprint().contains(&&fingerprint)
    }

    fn check(&self, signature: &Signature, text: &str, now: u64) -> Result<(), Error> {
        match &self.key {
            Key::Primary(key) => self.check_by(&**key, signature, text),
            Key::Subkey(key) => self.check_by(&**key, signature, text),
        }?;
        let made = signature.created().map_or(0, |time| u64::from(time.as_secs()));
        let validity = signature.signature_expiration_time().map_or(0, |time| u64::from(time.as_secs()));
        let strong = matches!(
            signature.hash_alg(),
            Some(
                HashAlgorithm::Sha256
                    | HashAlgorithm::Sha384
                    | HashAlgorithm::Sha512
                    | HashAlgorithm::Sha3_256
                    | HashAlgorithm::Sha3_512
            )
        );
        let document = matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary));
        let why = match () {
            () if !strong => "its hash algorithm is too weak",
            () if !document => "it is not a signature of a document",
            () if made < self.created => "it is older than the key",
            () if made > now + TOLERANCE => "it is from the future; is this machine's clock right?",
            () if self.expires.is_some_and(|end| end <= now) => "the key has expired",
            () if validity > 0 && made + validity <= now => "it has expired",
            () => return Ok(()),
        };
        Err(Error::Refused { key: self.id(), why })
    }

    fn check_by(&self, key: &impl VerifyingKey, signature: &Signature, text: &str) -> Result<(), Error> {
        signature.verify(&key, text.as_bytes()).map_err(|_| Error::Wrong(self.id()))
    }
}

#[cfg(test)]
pub(in crate::debian) mod tests {
    use super::*;
    use pgp::composed::{KeyType, SecretKeyParamsBuilder, SignedSecretKey, SubkeyParamsBuilder};
    use pgp::types::{Password, Timestamp};
    use rand::SeedableRng;

    const TEXT: &str = "Suite: stable\n- dashed\n\nend: x";

    fn generator() -> rand_chacha::ChaCha8Rng {
        rand_chacha::ChaCha8Rng::seed_from_u64(7)
    }

    /// A key that signs itself or, as Debian's do, by a subkey.
    pub fn key(kind: KeyType, by_subkey: bool, created: u32) -> SignedSecretKey {
        let created = Timestamp::from_secs(created);
        let mut params = SecretKeyParamsBuilder::default();
        params.key_type(kind.clone()).can_certify(true).can_sign(!by_subkey).created_at(created);
        params.primary_user_id("Test <test@example.org>".into());
        if by_subkey {
            let mut subkey = SubkeyParamsBuilder::default();
            subkey.key_type(kind).can_sign(true).created_at(created);
            params.subkey(subkey.build().unwrap());
        }
        params.build().unwrap().generate(generator()).unwrap()
    }

    pub fn sign(key: &SignedSecretKey, by_subkey: bool, text: &str) -> String {
        let password = Password::empty();
        let message = if by_subkey {
            CleartextSignedMessage::sign(generator(), text, &key.secret_subkeys[0].key, &password)
        } else {
            CleartextSignedMessage::sign(generator(), text, &key.primary_key, &password)
        };
        message.unwrap().to_armored_string(Default::default()).unwrap()
    }

    pub fn armor(key: &SignedSecretKey) -> Vec<u8> {
        SignedPublicKey::from(key.clone()).to_armored_bytes(Default::default()).unwrap()
    }

    fn ring(keys: &[&SignedSecretKey]) -> Keyring {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<_> = (0..keys.len()).map(|n| folder.path().join(n.to_string())).collect();
        files.iter().zip(keys).for_each(|(file, key)| fs::write(file, armor(key)).unwrap());
        Keyring::load(&files).unwrap()
    }

    #[track_caller]
    fn check(ring: &Keyring, document: &str, now: Date, expect: Result<(), &str>) {
        match (ring.verify(document, now), expect) {
            (Ok(text), Ok(())) => assert_eq!(text, TEXT.replace('\n', "\r\n")),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (outcome, _) => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn accepts_what_is_signed_and_only_that() {
        let kinds = [(KeyType::Rsa(2048), false), (KeyType::Ed25519Legacy, true)];
        for (kind, by_subkey) in kinds {
            let key = key(kind, by_subkey, 1_700_000_000);
            let (ring, document, now) = (ring(&[&key]), sign(&key, by_subkey, TEXT), Date::now());
            check(&ring, &document, now, Ok(()));
            check(&ring, &document.replace("stable", "stabble"), now, Err("is not what key"));
            check(&ring, &document.replace("- - dashed", "- dashed"), now, Err("is not what key"));
            check(&ring, &format!("Suite: evil\n{document}"), now, Err("read the signature"));
            check(&ring, &format!("{document}Suite: evil\n"), now, Err("read the signature"));
            check(&ring, &document[..document.len() - 60], now, Err("read the signature"));
            check(&ring, TEXT, now, Err("read the signature"));
            check(&ring, &document, Date::from_seconds(1_700_000_000), Err("from the future"));
        }
    }

    #[test]
    fn a_flipped_bit_of_the_signature_shows() {
        let key = key(KeyType::Ed25519Legacy, false, 1_700_000_000);
        let (ring, document) = (ring(&[&key]), sign(&key, false, TEXT));
        let body = document.find("BEGIN PGP SIGNATURE").unwrap();
        let at = body + document[body..].find("\n\n").unwrap() + 40;
        let mut flipped = document.clone().into_bytes();
        flipped[at] = if flipped[at] == b'A' { b'B' } else { b'A' };
        assert!(ring.verify(&String::from_utf8(flipped).unwrap(), Date::now()).is_err());
    }

    #[test]
    fn names_the_unknown_signer() {
        let [known, other] = [1_700_000_000, 1_700_000_001].map(|time| key(KeyType::Ed25519Legacy, false, time));
        let id = other.primary_key.legacy_key_id().to_string().to_uppercase();
        check(&ring(&[&known]), &sign(&other, false, TEXT), Date::now(), Err(&id));
        check(&ring(&[&known, &other]), &sign(&other, false, TEXT), Date::now(), Ok(()));
    }

    #[test]
    fn refuses_files_without_keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ring.gpg");
        for content in [&b""[..], b"not a keyring", &[0x99, 0xff, 0xff, 1, 2, 3]] {
            fs::write(&file, content).unwrap();
            assert!(Keyring::load(std::slice::from_ref(&file)).is_err(), "{content:?}");
        }
    }
}
