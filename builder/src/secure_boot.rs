//! Secure Boot: keys of one's own, with which an image's boot loader and its kernel are signed, and what a firmware takes
//! them from (UEFI specification, 32.3).
//!
//! A folder holds, for each of PK (whose machine it is), KEK (who may change what starts) and db (who signs what starts),
//! the private key `NAME.key`, the certificate `NAME.crt`, both PEM as OpenSSL reads them, and the variable `NAME.auth`.
//! An image needs only db's key, and the three variables on its EFI system partition.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use ashlar_config::image::{Enroll, Named};
use ashlar_formats::efi::{self, Update};
use ashlar_formats::pe::{self, authenticode};
use ashlar_formats::signed_data::{self, Request};
use ashlar_formats::uuid::Uuid;
use pkcs8::LineEnding;
use rand_core::{OsRng, RngCore as _};
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _};
use rsa::sha2::{Digest as _, Sha256};
use rsa::signature::{SignatureEncoding as _, Signer as _};
use rsa::{RsaPrivateKey, RsaPublicKey};
use x509_cert::certificate::{Certificate, TbsCertificate, Version};
use x509_cert::der::asn1::{Any, BitString, ObjectIdentifier, OctetString};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{DateTime, Decode as _, DecodePem as _, Encode as _, EncodePem as _};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, BasicConstraints, SubjectKeyIdentifier};
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

use crate::passphrase;

/// The variables, in the order in which each is signed by the one before, the first by itself.
const VARIABLES: [(&str, Uuid); 3] = [("PK", efi::GLOBAL), ("KEK", efi::GLOBAL), ("db", efi::IMAGE_SECURITY)];
const SIGNER: &str = "db";
/// What all firmware knows.
const BITS: usize = 2048;
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
/// Firmware does not look at the time; people's tools do.
const VALID: Duration = Duration::from_secs(20 * 365 * 86_400);
/// Where systemd-boot looks for keys to enroll (systemd-boot(7)).
const ON_ESP: &str = "loader/keys/auto";

/// The form in which a signature is wanted.
type Finish = fn(Request, Vec<u8>) -> Result<Vec<u8>, signed_data::Error>;

/// Makes a folder of keys.
///
/// # Errors
/// There is something in it already, it cannot be written, or what is to be trusted is no certificate.
pub fn make(folder: &Path, name: &str, trust: &[PathBuf]) -> anyhow::Result<()> {
    let others = trust.iter().map(|path| read_certificate(path)).collect::<anyhow::Result<Vec<_>>>()?;
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("make {}: there is something in it already; name a new folder", folder.display());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("make {}", folder.display()))?;
    let now = SystemTime::now();
    let mut by: Option<Pair> = None;
    for (variable, vendor) in VARIABLES {
        let own = Pair::make(&format!("{name} {variable}"), now).with_context(|| format!("make {variable}"))?;
        let owner = Uuid::derived("owner of keys", name.as_bytes());
        let mut value = efi::list(owner, &own.certificate);
        if variable == SIGNER {
            others.iter().for_each(|other| value.extend_from_slice(&efi::list(owner, other)));
        }
        let time = DateTime::from_system_time(now).context("read the clock")?;
        let update = Update { name: variable, vendor, time, value: &value };
        let signer = by.as_ref().unwrap_or(&own);
        let signed = signer.sign(update.request(&signer.certificate)?, Request::signed)?;
        own.write(folder, variable)?;
        write(&folder.join(format!("{variable}.auth")), 0o644, &update.signed(&signed))?;
        by = Some(own);
    }
    Ok(())
}

/// What signs an image, and what its machines are to trust.
#[derive(Debug)]
pub struct Signer {
    pair: Pair,
    enroll: Enroll,
    variables: Vec<(String, Vec<u8>)>,
}

impl Signer {
    /// Opens the folder of keys that an image names.
    ///
    /// # Errors
    /// A file is missing or is not what it should be, or the key is not the certificate's.
    pub fn open(named: &Named, enroll: Enroll) -> anyhow::Result<Self> {
        let place = || format!("{}:{}: `keys` in `secure-boot`", named.file, named.line);
        Self::read(Path::new(&named.name), enroll).with_context(place)
    }

    fn read(folder: &Path, enroll: Enroll) -> anyhow::Result<Self> {
        if !folder.is_dir() {
            bail!("there is no folder {}; `ashlar keys secure-boot` makes one", folder.display());
        }
        let pair = Pair::read(folder, SIGNER)?;
        let variables = VARIABLES.map(|(name, _)| {
            let file = format!("{name}.auth");
            let path = folder.join(&file);
            let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            anyhow::Ok((format!("{ON_ESP}/{file}"), content))
        });
        Ok(Self { pair, enroll, variables: variables.into_iter().collect::<anyhow::Result<_>>()? })
    }

    /// A program, signed.
    ///
    /// # Errors
    /// It is none that can be signed.
    pub fn sign(&self, program: &[u8]) -> Result<Vec<u8>, pe::Error> {
        let request = authenticode::request(program, &self.pair.certificate)?;
        authenticode::attach(program, &self.pair.sign(request, Request::signed_info)?)
    }

    /// Files of the EFI system partition: the variables, for systemd-boot to enroll them.
    pub fn variables(&self) -> &[(String, Vec<u8>)] {
        &self.variables
    }

    /// Which machines take them.
    pub fn enroll(&self) -> Enroll {
        self.enroll
    }

    /// What follows from it, as far as anybody can see: the key's own certificate, and what goes to machines.
    pub fn fingerprint(&self) -> Vec<u8> {
        let variables = self.variables.iter().flat_map(|(_, content)| content);
        self.pair.certificate.iter().chain(variables).copied().chain(self.enroll.word().bytes()).collect()
    }
}

/// A private key and its certificate, in DER.
struct Pair {
    key: RsaPrivateKey,
    certificate: Vec<u8>,
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair").finish_non_exhaustive()
    }
}

impl Pair {
    /// A key, vouched for by itself.
    fn make(name: &str, now: SystemTime) -> anyhow::Result<Self> {
        let key = RsaPrivateKey::new(&mut OsRng, BITS)?;
        let name = Name::from_str(&format!("CN={}", name.replace(['\\', ',', '+', '='], " ")))?;
        let mut serial = [0; 16];
        OsRng.fill_bytes(&mut serial);
        // A positive number, of a length that stays.
        serial[0] = serial[0] & 0x3f | 0x40;
        let algorithm = AlgorithmIdentifierOwned { oid: SHA256_WITH_RSA, parameters: Some(Any::null()) };
        let public = key.to_public_key().to_public_key_der()?;
        let subject_public_key_info = SubjectPublicKeyInfoOwned::from_der(public.as_bytes())?;
        let content = TbsCertificate {
            version: Version::V3,
            serial_number: SerialNumber::new(&serial)?,
            signature: algorithm.clone(),
            issuer: name.clone(),
            validity: Validity { not_before: Time::try_from(now)?, not_after: Time::try_from(now + VALID)? },
            subject: name,
            extensions: Some(extensions(&subject_public_key_info)?),
            subject_public_key_info,
            issuer_unique_id: None,
            subject_unique_id: None,
        };
        let signature = signature(&key, &content.to_der()?);
        let signature = BitString::from_bytes(&signature)?;
        let certificate = Certificate { tbs_certificate: content, signature_algorithm: algorithm, signature };
        Ok(Self { key, certificate: certificate.to_der()? })
    }

    fn sign(&self, request: Request, finish: Finish) -> Result<Vec<u8>, signed_data::Error> {
        let signature = signature(&self.key, request.message());
        finish(request, signature)
    }

    fn write(&self, folder: &Path, name: &str) -> anyhow::Result<()> {
        let key = match passphrase::read() {
            Some(word) => self.key.to_pkcs8_encrypted_pem(OsRng, word, LineEnding::LF),
            None => self.key.to_pkcs8_pem(LineEnding::LF),
        };
        write(&folder.join(format!("{name}.key")), 0o600, key?.as_bytes())?;
        let certificate = Certificate::from_der(&self.certificate)?.to_pem(LineEnding::LF)?;
        write(&folder.join(format!("{name}.crt")), 0o644, certificate.as_bytes())
    }

    fn read(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let path = folder.join(format!("{name}.key"));
        let read = || format!("read key {}", path.display());
        let text = fs::read_to_string(&path).with_context(read)?;
        let key = if text.contains("ENCRYPTED PRIVATE KEY") {
            let word = passphrase::read()
                .with_context(|| format!("it is encrypted; set {}", passphrase::VARIABLE))
                .with_context(read)?;
            RsaPrivateKey::from_pkcs8_encrypted_pem(&text, word)
        } else {
            RsaPrivateKey::from_pkcs8_pem(&text)
        };
        let key = key.with_context(read)?;
        let at = folder.join(format!("{name}.crt"));
        let certificate = read_certificate(&at)?;
        let public = Certificate::from_der(&certificate)?.tbs_certificate.subject_public_key_info;
        if public.to_der()? != RsaPublicKey::from(&key).to_public_key_der()?.as_bytes() {
            bail!("use {}: it is not the certificate of {}", at.display(), path.display());
        }
        Ok(Self { key, certificate })
    }
}

/// Those that `openssl req -x509` writes: firmware wants none, Linux takes a certificate without them for damaged.
fn extensions(key: &SubjectPublicKeyInfoOwned) -> anyhow::Result<Vec<Extension>> {
    // RFC 7093, 2, method 1.
    let digest = Sha256::digest(key.subject_public_key.raw_bytes());
    let id = OctetString::new(&digest[..20])?;
    let issuer = AuthorityKeyIdentifier { key_identifier: Some(id.clone()), ..AuthorityKeyIdentifier::default() };
    Ok(vec![
        extension(false, &SubjectKeyIdentifier(id))?,
        extension(false, &issuer)?,
        extension(true, &BasicConstraints { ca: true, path_len_constraint: None })?,
    ])
}

fn extension<T: AssociatedOid + x509_cert::der::Encode>(critical: bool, value: &T) -> anyhow::Result<Extension> {
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(value.to_der()?)? })
}

/// RSASSA-PKCS1-v1_5 with SHA-256.
fn signature(key: &RsaPrivateKey, message: &[u8]) -> Vec<u8> {
    SigningKey::<Sha256>::new(key.clone()).sign(message).to_vec()
}

/// DER, of a file in DER or PEM.
fn read_certificate(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = || format!("read certificate {}", path.display());
    let bytes = fs::read(path).with_context(read)?;
    let certificate = match bytes.starts_with(b"-----BEGIN") {
        true => Certificate::from_pem(&bytes),
        false => Certificate::from_der(&bytes),
    };
    Ok(certificate.with_context(read)?.to_der()?)
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> anyhow::Result<()> {
    let write = || File::options().write(true).create_new(true).mode(mode).open(path)?.write_all(bytes);
    write().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assemble::tests::program;
    use std::process::Command;

    fn keys(folder: &Path) -> Signer {
        make(folder, "Ashlar, Ltd", &[]).unwrap();
        Signer::read(folder, Enroll::IfSafe).unwrap()
    }

    fn run(program: &str, arguments: &[&Path]) -> (bool, String) {
        let ran = Command::new(program).args(arguments).output().unwrap();
        (ran.status.success(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
    }

    #[test]
    fn others_read_our_signatures_and_we_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let [ours, strange] = ["ours", "strange"].map(|name| keys(&folder.path().join(name)));
        let program = program(pe::X86_64);
        let signed = ours.sign(&program).unwrap();
        assert_eq!(signed, ours.sign(&program).unwrap(), "the same key makes the same bytes");
        let trusted = [ours.pair.certificate.clone()];
        let check = |bytes: &[u8], expect: &str| {
            let found = authenticode::verify(bytes, &trusted, &[]).map_err(|error| error.to_string());
            assert_eq!(found.err().unwrap_or_default(), expect);
        };
        check(&signed, "");
        check(&program, "it is not signed");
        let other = strange.sign(&program).unwrap();
        check(&other, "it is signed by CN=Ashlar  Ltd db, whom nobody here trusts");
        // Signed by both: whoever trusts one of them takes it.
        let twice = ours.sign(&other).unwrap();
        check(&twice, "");
        authenticode::verify(&twice, std::slice::from_ref(&strange.pair.certificate), &[]).unwrap();
        let revoked = authenticode::verify(&signed, &trusted, &trusted).unwrap_err();
        assert_eq!(revoked.to_string(), "its signer has been revoked");
        for at in [0x40, 0x601, signed.len() - 20] {
            let mut bytes = signed.clone();
            bytes[at] ^= 1;
            assert!(authenticode::verify(&bytes, &trusted, &[]).is_err(), "{at}");
        }

        let [plain, ours_at, theirs_at] = ["plain", "ours.efi", "theirs.efi"].map(|name| folder.path().join(name));
        let [crt, key] = ["db.crt", "db.key"].map(|name| folder.path().join("ours").join(name));
        let stranger = folder.path().join("strange/db.crt");
        fs::write(&plain, &program).unwrap();
        fs::write(&ours_at, &signed).unwrap();
        let option = Path::new("--cert");
        let (good, said) = run("sbverify", &[option, &crt, &ours_at]);
        assert!(good, "{said}");
        assert!(!run("sbverify", &[option, &stranger, &ours_at]).0);
        let (good, said) =
            run("sbsign", &[option, &crt, Path::new("--key"), &key, Path::new("--output"), &theirs_at, &plain]);
        assert!(good, "{said}");
        check(&fs::read(&theirs_at).unwrap(), "");
        let (good, said) = run(
            "openssl",
            &["x509", "-noout", "-subject", "-in"].map(Path::new).into_iter().chain([&*crt]).collect::<Vec<_>>(),
        );
        assert!(good && said.contains("CN = Ashlar  Ltd db"), "{said}");
    }

    #[test]
    fn says_what_is_wrong_with_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let keys_at = folder.path().join("keys");
        let check = |expect: &str| {
            let error = format!("{:#}", Signer::read(&keys_at, Enroll::IfSafe).unwrap_err());
            assert!(error.contains(expect), "{error}");
        };
        check("there is no folder");
        keys(&keys_at);
        let error = make(&keys_at, "x", &[]).unwrap_err().to_string();
        assert!(error.contains("something in it already"), "{error}");
        fs::copy(keys_at.join("KEK.crt"), keys_at.join("db.crt")).unwrap();
        check("db.crt: it is not the certificate of");
        fs::write(keys_at.join("db.key"), "no key").unwrap();
        check("read key");
        let error = format!("{:#}", make(&folder.path().join("other"), "x", &[keys_at.join("db.key")]).unwrap_err());
        assert!(error.contains("read certificate"), "{error}");
    }
}
