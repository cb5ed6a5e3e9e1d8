//! PKCS #7's SignedData (RFC 2315, 9), as UEFI firmware reads it in programs and in variables: one signer, RSA with
//! SHA-256, its certificate beside it. No time of signing, so the same key makes the same bytes.
//!
//! Signing takes two steps, so that the key may be anywhere: [`Request::message`] is what has to be signed, and
//! [`Request::signed`] takes the signature.

use cms::cert::x509::attr::{Attribute, AttributeValue};
use cms::cert::x509::der::asn1::{Any, ObjectIdentifier, OctetString, SetOfVec};
use cms::cert::x509::der::{Decode, Encode};
use cms::cert::x509::spki::AlgorithmIdentifierOwned;
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo};
use ring::signature::{self, RsaParameters, UnparsedPublicKey};
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// sha256WithRSAEncryption and its longer kin (RFC 4055, 5).
const RSA_SIGNATURES: [(ObjectIdentifier, &RsaParameters); 3] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"), &signature::RSA_PKCS1_2048_8192_SHA256),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"), &signature::RSA_PKCS1_2048_8192_SHA384),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"), &signature::RSA_PKCS1_2048_8192_SHA512),
];
/// More links between a signer and one who is trusted are a mistake or an attack.
const MAX_CHAIN: usize = 8;
/// Larger ones are none that firmware would read.
const LIMIT: usize = 256 << 10;

/// Something cannot be signed, or its signature does not count.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Not the form that was expected.
    #[error("it is damaged: {0}")]
    Form(String),
    /// The signature is no signature of this content by the key that it names.
    #[error("{0}")]
    Signature(&'static str),
    /// The signature is right, and nobody asked for it.
    #[error("it is signed by {0}, whom nobody here trusts")]
    Stranger(String),
}

impl From<cms::cert::x509::der::Error> for Error {
    fn from(error: cms::cert::x509::der::Error) -> Self {
        Self::Form(error.to_string())
    }
}

/// What somebody is to sign.
#[derive(Debug, Clone)]
pub struct Request {
    content: EncapsulatedContentInfo,
    attributes: Option<SetOfVec<Attribute>>,
    certificate: Certificate,
    message: Vec<u8>,
}

impl Request {
    /// Content that stands elsewhere, signed as it is.
    ///
    /// # Errors
    /// The certificate is none.
    pub fn detached(content: &[u8], certificate: &[u8]) -> Result<Self, Error> {
        let nothing = EncapsulatedContentInfo { econtent_type: DATA, econtent: None };
        let certificate = Certificate::from_der(certificate)?;
        Ok(Self { content: nothing, attributes: None, certificate, message: content.to_vec() })
    }

    /// Content of a type of its own, which is put in.
    ///
    /// # Errors
    /// The certificate is none, or the content is not in DER.
    pub fn enclosed(content_type: ObjectIdentifier, content: &[u8], certificate: &[u8]) -> Result<Self, Error> {
        let content = Any::from_der(content)?;
        let digest = OctetString::new(Sha256::digest(content.value()).as_slice())?;
        let attributes =
            SetOfVec::try_from(vec![attribute(CONTENT_TYPE, &content_type)?, attribute(MESSAGE_DIGEST, &digest)?])?;
        let message = attributes.to_der()?;
        let content = EncapsulatedContentInfo { econtent_type: content_type, econtent: Some(content) };
        let certificate = Certificate::from_der(certificate)?;
        Ok(Self { content, attributes: Some(attributes), certificate, message })
    }

    /// What the signature is of: RSASSA-PKCS1-v1_5 with SHA-256.
    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// SignedData with this signature, in DER.
    ///
    /// # Errors
    /// It would be too large for DER.
    pub fn signed(self, signature: Vec<u8>) -> Result<Vec<u8>, Error> {
        Ok(self.put_together(signature)?.to_der()?)
    }

    /// The same as a ContentInfo, which says what it is.
    ///
    /// # Errors
    /// It would be too large for DER.
    pub fn signed_info(self, signature: Vec<u8>) -> Result<Vec<u8>, Error> {
        let content = Any::encode_from(&self.put_together(signature)?)?;
        Ok(ContentInfo { content_type: SIGNED_DATA, content }.to_der()?)
    }

    fn put_together(self, signature: Vec<u8>) -> Result<SignedData, Error> {
        let sha256 = algorithm(SHA256);
        let names = &self.certificate.tbs_certificate;
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: names.issuer.clone(),
                serial_number: names.serial_number.clone(),
            }),
            digest_alg: sha256.clone(),
            signed_attrs: self.attributes,
            signature_algorithm: algorithm(RSA),
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        Ok(SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![sha256])?,
            encap_content_info: self.content,
            certificates: Some(SetOfVec::try_from(vec![CertificateChoices::Certificate(self.certificate)])?.into()),
            crls: None,
            signer_infos: SetOfVec::try_from(vec![signer])?.into(),
        })
    }
}

/// SignedData of somebody, read and found to be his. Whether he counts is another question.
#[derive(Debug)]
pub struct Signed {
    content: Any,
    signer: Certificate,
    certificates: Vec<Certificate>,
}

impl Signed {
    /// Reads a ContentInfo, and checks the signature of what is in it.
    ///
    /// # Errors
    /// It is damaged, of another type, or not signed by whom it names.
    pub fn open(bytes: &[u8], content_type: ObjectIdentifier) -> Result<Self, Error> {
        if bytes.len() > LIMIT {
            return Err(Error::Form(format!("it has {} bytes", bytes.len())));
        }
        let info = ContentInfo::from_der(bytes)?;
        let signed: SignedData = info.content.decode_as()?;
        let content = signed
            .encap_content_info
            .econtent
            .filter(|_| info.content_type == SIGNED_DATA && signed.encap_content_info.econtent_type == content_type);
        let content = content.ok_or(Error::Signature("it is a signature of something else"))?;
        let certificates: Vec<Certificate> = (signed.certificates.iter().flat_map(|set| set.0.iter()))
            .filter_map(|choice| match choice {
                CertificateChoices::Certificate(certificate) => Some(certificate.clone()),
                CertificateChoices::Other(_) => None,
            })
            .collect();
        let [info] = signed.signer_infos.0.as_slice() else {
            return Err(Error::Signature("it has not one signer"));
        };
        let signer = certificates.iter().find(|certificate| is_of(info, certificate)).cloned();
        let signer = signer.ok_or(Error::Signature("its signer's certificate is not there"))?;
        let message = message(info, content.value())?;
        let key = public_key(&signer).ok_or(Error::Signature("its signer's key is not RSA's"))?;
        let checked = UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, key)
            .verify(&message, info.signature.as_bytes());
        checked.map_err(|_| Error::Signature("its signature is not its signer's"))?;
        Ok(Self { content, signer, certificates })
    }

    /// What was signed.
    pub(crate) fn content(&self) -> &Any {
        &self.content
    }

    /// Whether one of these certificates is the signer's or has vouched for it, over links that came along, and none of
    /// the others is one of the chain's.
    ///
    /// # Errors
    /// None is, or one is revoked.
    pub fn is_trusted(&self, trusted: &[Vec<u8>], revoked: &[Vec<u8>]) -> Result<(), Error> {
        let anchors: Vec<Certificate> = trusted.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
        let mut link = &self.signer;
        for _ in 0..MAX_CHAIN {
            if revoked.contains(&link.to_der()?) {
                return Err(Error::Signature("its signer has been revoked"));
            }
            if anchors.iter().any(|anchor| anchor == link || vouches(anchor, link)) {
                return Ok(());
            }
            let next = self.certificates.iter().find(|other| *other != link && vouches(other, link));
            let Some(next) = next else { break };
            link = next;
        }
        Err(Error::Stranger(self.signer.tbs_certificate.subject.to_string()))
    }
}

fn algorithm(oid: ObjectIdentifier) -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid, parameters: Some(Any::null()) }
}

fn attribute(oid: ObjectIdentifier, value: &(impl Encode + cms::cert::x509::der::Tagged)) -> Result<Attribute, Error> {
    let value: AttributeValue = AttributeValue::new(value.tag(), value_bytes(value)?)?;
    Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
}

/// The content octets, without tag and length.
fn value_bytes(value: &impl Encode) -> Result<Vec<u8>, Error> {
    Ok(Any::from_der(&value.to_der()?)?.value().to_vec())
}

/// What a signer has signed: the attributes, where there are some, which then have to name the content.
fn message(info: &SignerInfo, content: &[u8]) -> Result<Vec<u8>, Error> {
    if info.digest_alg.oid != SHA256 {
        return Err(Error::Signature("its digest is not SHA-256"));
    }
    let Some(attributes) = &info.signed_attrs else { return Ok(content.to_vec()) };
    let digest = attributes.iter().find(|attribute| attribute.oid == MESSAGE_DIGEST);
    let named = digest.and_then(|attribute| attribute.values.get(0)).map(AttributeValue::value);
    if named != Some(Sha256::digest(content).as_slice()) {
        return Err(Error::Signature("it is a signature of other content"));
    }
    Ok(attributes.to_der()?)
}

fn is_of(info: &SignerInfo, certificate: &Certificate) -> bool {
    let own = &certificate.tbs_certificate;
    match &info.sid {
        SignerIdentifier::IssuerAndSerialNumber(id) => id.issuer == own.issuer && id.serial_number == own.serial_number,
        SignerIdentifier::SubjectKeyIdentifier(_) => false,
    }
}

/// The RSAPublicKey of a certificate (RFC 8017, A.1.1).
fn public_key(certificate: &Certificate) -> Option<&[u8]> {
    let info = &certificate.tbs_certificate.subject_public_key_info;
    (info.algorithm.oid == RSA).then(|| info.subject_public_key.raw_bytes())
}

/// Whether the first has signed the second.
fn vouches(issuer: &Certificate, certificate: &Certificate) -> bool {
    let check = || {
        let (_, parameters) = RSA_SIGNATURES.iter().find(|(oid, _)| *oid == certificate.signature_algorithm.oid)?;
        let message = certificate.tbs_certificate.to_der().ok()?;
        let key = UnparsedPublicKey::new(*parameters, public_key(issuer)?);
        key.verify(&message, certificate.signature.raw_bytes()).ok()
    };
    issuer.tbs_certificate.subject == certificate.tbs_certificate.issuer && check().is_some()
}
