//! A role's file: what is signed, and the signatures. It is verified as it came, with all fields that we do not know, and
//! only then read.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, Key, KeyId, Metadata, Role, SigningKey, canonical, limit};

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Whose.
    pub keyid: KeyId,
    /// In hexadecimal digits.
    pub sig: String,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// By whom.
    pub signatures: Vec<Signature>,
    signed: Value,
}

impl Document {
    /// Reads a file; nothing of it is believed yet.
    ///
    /// # Errors
    /// It is no such file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|error| Error::Form(error.to_string()))
    }

    /// A new file without signatures.
    ///
    /// # Errors
    /// The content has no canonical form.
    pub fn new(content: &impl Metadata) -> Result<Self, Error> {
        let signed = serde_json::to_value(content).map_err(|error| Error::Form(error.to_string()))?;
        canonical(&signed)?;
        Ok(Self { signatures: Vec::new(), signed })
    }

    /// What is signed.
    ///
    /// # Errors
    /// It has no canonical form.
    pub fn message(&self) -> Result<Vec<u8>, Error> {
        canonical(&self.signed)
    }

    /// Adds a signature.
    ///
    /// # Errors
    /// See [`Self::message`].
    pub fn sign(&mut self, key: &SigningKey) -> Result<(), Error> {
        self.add(&key.public(), key.sign(&self.message()?))
    }

    /// Adds a signature that was made elsewhere, in hexadecimal digits, in place of one that the key had.
    ///
    /// # Errors
    /// It is not that key's, or see [`Self::message`].
    pub fn add(&mut self, key: &Key, sig: String) -> Result<(), Error> {
        let keyid = key.id()?;
        if !key.verifies(&self.message()?, &sig) {
            return Err(Error::Signature(keyid));
        }
        self.signatures.retain(|other| other.keyid != keyid);
        self.signatures.push(Signature { keyid, sig });
        Ok(())
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, whole numbers and maps with strings as keys: nothing that JSON cannot hold.
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads the content, which [`Self::verify`] has to have agreed to.
    ///
    /// # Errors
    /// It is another role's, or not of the form.
    pub fn content<M: Metadata>(&self) -> Result<M, Error> {
        let content: M = M::deserialize(&self.signed).map_err(|error| Error::Form(error.to_string()))?;
        content.common().check::<M>()?;
        Ok(content)
    }

    /// Checks that enough keys of a role signed. Bad signatures beside enough good ones are no matter.
    ///
    /// # Errors
    /// Not enough did, or the signatures are not in order.
    pub fn verify(&self, role: &Role, keys: &BTreeMap<KeyId, Key>) -> Result<(), Error> {
        let (valid, threshold) = (self.signers(role, keys)?.len() as u32, role.threshold.get());
        if valid < threshold { Err(Error::Threshold { valid, threshold }) } else { Ok(()) }
    }

    /// The valid signatures of a role's keys.
    ///
    /// # Errors
    /// The signatures are not in order.
    pub fn signers(&self, role: &Role, keys: &BTreeMap<KeyId, Key>) -> Result<Vec<&Signature>, Error> {
        if self.signatures.len() > limit::SIGNATURES {
            return Err(Error::Signatures(self.signatures.len()));
        }
        let mut named = BTreeSet::new();
        if let Some(twice) = self.signatures.iter().find(|signature| !named.insert(&signature.keyid)) {
            return Err(Error::Repeated(twice.keyid.clone()));
        }
        let message = self.message()?;
        // A key counts once, by however many ids it is named.
        let mut signers = BTreeMap::new();
        for signature in self.signatures.iter().filter(|signature| role.keyids.contains(&signature.keyid)) {
            let Some(key) = keys.get(&signature.keyid) else { continue };
            let identity = key.identity();
            if !signers.contains_key(&identity) && key.verifies(&message, &signature.sig) {
                signers.insert(identity, signature);
            }
        }
        Ok(signers.into_values().collect())
    }
}

impl super::Root {
    /// A root that is signed by its own keys: what somebody decides to trust.
    ///
    /// # Errors
    /// It does not read, or is not.
    pub fn trusted(bytes: &[u8]) -> Result<Self, Error> {
        let document = Document::parse(bytes)?;
        let root: Self = document.content()?;
        check_keys(&root.keys)?;
        document.verify(&root.roles.root, &root.keys)?;
        Ok(root)
    }

    /// The root that follows this one: signed by the keys of both, and exactly the next version (TUF specification, 5.3).
    ///
    /// # Errors
    /// It is not.
    pub fn next(&self, bytes: &[u8]) -> Result<Self, Error> {
        let root = Self::trusted(bytes)?;
        Document::parse(bytes)?.verify(&self.roles.root, &self.keys)?;
        if root.common.version != self.common.version + 1 {
            return Err(Error::Form(format!("it says that it is version {}", root.common.version)));
        }
        Ok(root)
    }
}

/// Checks that every key is the one that its id names (TUF specification, 4.3).
fn check_keys(keys: &BTreeMap<KeyId, Key>) -> Result<(), Error> {
    let wrong = keys.iter().find(|(id, key)| key.id().as_ref() != Ok(*id));
    wrong.map_or(Ok(()), |(id, _)| Err(Error::KeyId(id.clone())))
}

impl super::Targets {
    /// Checks the keys and roles that it delegates to.
    ///
    /// # Errors
    /// A key is not the one that its id names, or two roles have one name.
    pub fn check_delegations(&self) -> Result<(), Error> {
        let Some(delegations) = &self.delegations else { return Ok(()) };
        check_keys(&delegations.keys)?;
        let mut names = BTreeSet::new();
        let twice = delegations.roles.iter().flatten().find(|delegated| !names.insert(&delegated.name));
        twice.map_or(Ok(()), |role| Err(Error::Form(format!("it delegates to `{}` twice", role.name))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use crate::date::Date;
    use std::num::NonZeroU32;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn role(seeds: &[u8], threshold: u32) -> (Role, BTreeMap<KeyId, Key>) {
        let keys: BTreeMap<KeyId, Key> =
            seeds.iter().map(|seed| (key(*seed).public().id().unwrap(), key(*seed).public())).collect();
        let keyids = keys.keys().cloned().collect();
        (Role { keyids, threshold: NonZeroU32::new(threshold).unwrap() }, keys)
    }

    use std::collections::BTreeMap;

    fn document(seeds: &[u8]) -> Document {
        let targets = Targets::new(1, Date::from_seconds(0));
        let mut document = Document::new(&targets).unwrap();
        seeds.iter().for_each(|seed| document.sign(&key(*seed)).unwrap());
        document
    }

    #[test]
    fn thresholds() {
        fn check(signers: &[u8], keys: &[u8], threshold: u32, expect: Result<(), Error>) {
            let (role, keys) = role(keys, threshold);
            assert_eq!(document(signers).verify(&role, &keys), expect, "{signers:?}");
        }
        let missing = |valid, threshold| Err(Error::Threshold { valid, threshold });
        check(&[1], &[1], 1, Ok(()));
        check(&[], &[1], 1, missing(0, 1));
        check(&[2], &[1], 1, missing(0, 1));
        check(&[1, 2], &[1, 2, 3], 2, Ok(()));
        check(&[1, 9], &[1, 2, 3], 2, missing(1, 2));
    }

    #[test]
    fn a_key_counts_once() {
        let (mut role, mut keys) = role(&[1], 2);
        let mut twice = document(&[1]);
        twice.signatures.push(twice.signatures[0].clone());
        assert!(matches!(twice.verify(&role, &keys), Err(Error::Repeated(_))));
        // The same key by another id, which metadata can make up with a field that nobody knows.
        let id = "other".to_owned();
        keys.insert(id.clone(), key(1).public());
        role.keyids.push(id.clone());
        twice.signatures[1].keyid = id;
        assert_eq!(twice.verify(&role, &keys), Err(Error::Threshold { valid: 1, threshold: 2 }));
    }

    #[test]
    fn every_byte_of_the_content_counts() {
        let (role, keys) = role(&[1], 1);
        let bytes = document(&[1]).to_bytes();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert_eq!(Document::parse(&bytes).unwrap().verify(&role, &keys), Ok(()));
        let changed = text.replace("\"version\": 1", "\"version\": 2");
        assert!(Document::parse(changed.as_bytes()).unwrap().verify(&role, &keys).is_err());
        let more = text.replace("\"version\": 1", "\"version\": 1, \"more\": 1");
        assert!(Document::parse(more.as_bytes()).unwrap().verify(&role, &keys).is_err());
    }

    #[test]
    fn kinds_and_versions() {
        let check = |change: (&str, &str), part: &str| {
            let text = String::from_utf8(document(&[]).to_bytes()).unwrap().replace(change.0, change.1);
            let error = Document::parse(text.as_bytes()).and_then(|document| document.content::<Targets>().map(drop));
            assert!(error.clone().unwrap_err().to_string().contains(part), "{error:?}");
        };
        check(("\"_type\": \"targets\"", "\"_type\": \"root\""), "it is a `root`, not a `targets`");
        check(("1.0.34", "2.0"), "specification \"2.0\"");
        check(("\"version\": 1", "\"version\": -1"), "does not read");
        check(("1970-01-01T00:00:00Z", "soon"), "does not read");
        assert!(serde_json::from_str::<Role>(r#"{"keyids":[],"threshold":0}"#).is_err());
    }
}
