//! Keys, and the ids by which metadata names them: ed25519 (RFC 8032), which ours are, and those that a hardware module or
//! a key service may have instead, ECDSA over P-256 and RSA with PSS (TUF specification, 4.2). A key of another kind is
//! kept, since its id has to be right, and never verifies anything.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use ed25519_dalek::Signer as _;
use ring::signature::{ECDSA_P256_SHA256_ASN1, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use spki::der::asn1::BitStringRef;
use spki::der::pem::LineEnding;
use spki::der::{self, Document};
use spki::{AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::{Error, canonical};

const ED25519: &str = "ed25519";
const ECDSA: &str = "ecdsa-sha2-nistp256";
const RSA_PSS: &str = "rsassa-pss-sha256";
/// RFC 8410.
const EDWARDS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 7468, 13.
const PEM: &str = "PUBLIC KEY";

/// SHA-256 of a key's canonical form, in hexadecimal digits.
pub type KeyId = String;

/// A public key, as metadata holds it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(Value);

impl Key {
    /// An ed25519 key.
    pub fn ed25519(public: [u8; 32]) -> Self {
        Self(json!({ "keytype": ED25519, "scheme": ED25519, "keyval": { "public": hex(&public) } }))
    }

    /// The key in a PEM file `PUBLIC KEY` (SubjectPublicKeyInfo, RFC 5280, 4.1).
    ///
    /// # Errors
    /// There is none in it, or one of a kind that verifies nothing here.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        if let Some(Ok(public)) = of_pem(text, EDWARDS, None).map(TryInto::try_into) {
            return Ok(Self::ed25519(public));
        }
        let kind = |kind: &str, scheme: &str| {
            // Written in one way only: the id is over the text.
            let (_, document) = Document::from_pem(text).ok()?;
            let public = document.to_pem(PEM, LineEnding::LF).ok()?;
            let key = Self(json!({ "keytype": kind, "scheme": scheme, "keyval": { "public": public } }));
            key.public().map(|_| key)
        };
        let key = kind("ecdsa", ECDSA).or_else(|| kind("rsa", RSA_PSS));
        key.ok_or_else(|| Error::Form("it is no public key of ed25519, P-256 or RSA as PEM".to_owned()))
    }

    /// As such a PEM file.
    ///
    /// # Errors
    /// It is of a kind that verifies nothing here.
    pub fn to_pem(&self) -> Result<String, Error> {
        let text = match self.public() {
            Some(Public::Ed25519(public)) => pem_of(&public).ok(),
            Some(_) => Some(self.text().to_owned()),
            None => None,
        };
        text.ok_or_else(|| Error::Form(format!("{self:?} has no form as PEM")))
    }

    /// The id that it has.
    ///
    /// # Errors
    /// It is no key that has one.
    pub fn id(&self) -> Result<KeyId, Error> {
        Ok(hex(&Sha256::digest(canonical(&self.0)?)))
    }

    /// What tells keys apart: two ids can name the same one, and so can two ways of writing it.
    pub(super) fn identity(&self) -> Vec<u8> {
        self.public().map_or_else(|| self.text().into(), |public| public.bytes())
    }

    fn text(&self) -> &str {
        self.0["keyval"]["public"].as_str().unwrap_or_default()
    }

    fn public(&self) -> Option<Public> {
        let word = |name: &str| self.0[name].as_str();
        match (word("keytype")?, word("scheme")?) {
            (ED25519, ED25519) => Some(Public::Ed25519(unhex(self.text())?.try_into().ok()?)),
            ("ecdsa" | ECDSA, ECDSA) => Some(Public::P256(point(self.text())?)),
            ("rsa", RSA_PSS) => Some(Public::Rsa(of_pem(self.text(), RSA, None)?)),
            _ => None,
        }
    }

    /// Whether a signature in hexadecimal digits is this key's, of this message.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let check = |public: Public| public.check(message, &unhex(signature)?);
        self.public().and_then(check).is_some()
    }
}

/// A key that can verify something.
enum Public {
    Ed25519([u8; 32]),
    /// An uncompressed point.
    P256(Vec<u8>),
    /// RSAPublicKey (RFC 8017, A.1.1).
    Rsa(Vec<u8>),
}

impl Public {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(bytes) => bytes.to_vec(),
            Self::P256(bytes) | Self::Rsa(bytes) => bytes.clone(),
        }
    }

    fn check(&self, message: &[u8], signature: &[u8]) -> Option<()> {
        let of_ring = |algorithm: &'static dyn VerificationAlgorithm, bytes: &[u8]| {
            UnparsedPublicKey::new(algorithm, bytes).verify(message, signature).ok()
        };
        match self {
            Self::Ed25519(bytes) => {
                let key = ed25519_dalek::VerifyingKey::from_bytes(bytes).ok()?;
                let signature = ed25519_dalek::Signature::from_bytes(signature.try_into().ok()?);
                // Strict: no key of small order, which would sign anything.
                key.verify_strict(message, &signature).ok()
            }
            Self::P256(bytes) => of_ring(&ECDSA_P256_SHA256_ASN1, bytes),
            Self::Rsa(bytes) => of_ring(&RSA_PSS_2048_8192_SHA256, bytes),
        }
    }
}

/// As PEM, or as old metadata has it: the point's hexadecimal digits.
fn point(text: &str) -> Option<Vec<u8>> {
    of_pem(text, EC, Some(P256)).or_else(|| unhex(text).filter(|point| point.len() == 65))
}

/// The key in a SubjectPublicKeyInfo (RFC 5280, 4.1) of that algorithm, and of that curve.
fn of_pem(text: &str, algorithm: ObjectIdentifier, curve: Option<ObjectIdentifier>) -> Option<Vec<u8>> {
    let (label, document) = Document::from_pem(text).ok()?;
    let info = SubjectPublicKeyInfoRef::try_from(document.as_bytes()).ok().filter(|_| label == PEM)?;
    let is_of_curve = curve.is_none_or(|curve| info.algorithm.parameters_oid() == Ok(curve));
    (info.algorithm.oid == algorithm && is_of_curve).then(|| info.subject_public_key.raw_bytes().to_vec())
}

fn pem_of(ed25519: &[u8; 32]) -> der::Result<String> {
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid: EDWARDS, parameters: None },
        subject_public_key: BitStringRef::from_bytes(ed25519)?,
    };
    Document::encode_msg(&info)?.to_pem(PEM, LineEnding::LF)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

/// A private key.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// From its 32 bytes.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Its 32 bytes.
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> Key {
        Key::ed25519(self.0.verifying_key().to_bytes())
    }

    /// A signature in hexadecimal digits.
    pub fn sign(&self, message: &[u8]) -> String {
        hex(&self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// What a new key is made of.
///
/// # Errors
/// The system gives no random bytes.
pub fn random_seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(seed)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_vector_of_rfc_8032() {
        let seed = unhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = SigningKey::from_seed(&seed.try_into().unwrap());
        assert_eq!(key.public().text(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let signature = key.sign(b"");
        assert!(signature.starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"));
        assert!(key.public().verifies(b"", &signature));
        assert!(!key.public().verifies(b"x", &signature));
        for bad in ["", "00", &signature[2..], &signature.replace('e', "f"), &"0".repeat(128)] {
            assert!(!key.public().verifies(b"", bad), "{bad}");
        }
    }

    #[test]
    fn pem() {
        // The example of RFC 8410, 10.1.
        let text = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
            -----END PUBLIC KEY-----\n";
        let key = Key::from_pem(text).unwrap();
        assert_eq!(key.text(), "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
        assert_eq!(key.to_pem().as_deref(), Ok(text));
        // However its lines are broken, a key has one id.
        let point = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEE+flzbaI75l9mSkXwXl647IuxzxM\
            JHUHFZ9mm/1S1k2/n5cGDLkyveiQFGX8yOr5Tt8Nh3wT7mKJuKzxFcQ6iA==";
        let lines = |width: usize, end: &str| {
            let lines = point.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap().to_owned() + end);
            format!("-----BEGIN PUBLIC KEY-----{end}{}-----END PUBLIC KEY-----{end}", lines.collect::<String>())
        };
        let key = Key::from_pem(&lines(64, "\r\n")).unwrap();
        assert_eq!(Key::from_pem(&lines(64, "\n")).unwrap(), key);
        assert_eq!(key.to_pem(), Ok(lines(64, "\n")));
        for bad in ["", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", &text.replace("UB", "RI")] {
            assert!(Key::from_pem(bad).unwrap_err().to_string().contains("no public key of ed25519"), "{bad}");
        }
    }

    #[test]
    fn a_key_that_signs_everything_signs_nothing() {
        // The neutral element, for which R = S = 0 holds over any message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let signature = hex(&neutral) + &"0".repeat(64);
        assert!(!Key::ed25519(neutral).verifies(b"anything", &signature));
    }
}
