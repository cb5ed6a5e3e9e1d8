//! Keys: ed25519 (RFC 8032), and the ids by which metadata names them. A key of another kind is kept, since its id has
//! to be right, and never verifies anything.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use ed25519_dalek::Signer as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Error, canonical};

const ED25519: &str = "ed25519";

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

    /// The id that it has.
    ///
    /// # Errors
    /// It is no key that has one.
    pub fn id(&self) -> Result<KeyId, Error> {
        Ok(hex(&Sha256::digest(canonical(&self.0)?)))
    }

    /// What tells keys apart: two ids can name the same one.
    pub(super) fn public(&self) -> &str {
        self.0["keyval"]["public"].as_str().unwrap_or_default()
    }

    /// Whether a signature in hexadecimal digits is this key's, of this message.
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        self.check(message, signature).is_some()
    }

    fn check(&self, message: &[u8], signature: &str) -> Option<()> {
        let is_known = self.0["keytype"] == ED25519 && self.0["scheme"] == ED25519;
        let public: [u8; 32] = unhex(self.public()).filter(|_| is_known)?.try_into().ok()?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&public).ok()?;
        let signature: [u8; 64] = unhex(signature)?.try_into().ok()?;
        // Strict: no key of small order, which would sign anything.
        key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&signature)).ok()
    }
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
        assert_eq!(key.public().public(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        let signature = key.sign(b"");
        assert!(signature.starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"));
        assert!(key.public().verifies(b"", &signature));
        assert!(!key.public().verifies(b"x", &signature));
        for bad in ["", "00", &signature[2..], &signature.replace('e', "f"), &"0".repeat(128)] {
            assert!(!key.public().verifies(b"", bad), "{bad}");
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
