//! Signatures of programs ("Windows Authenticode Portable Executable Signature Format"), as UEFI Secure Boot asks for
//! them (UEFI specification, 32.5): of a digest of all that is loaded, behind the file's last section.

use cms::cert::x509::der::Reader as _;
use cms::cert::x509::der::asn1::{Any, ObjectIdentifier, OctetString};
use cms::cert::x509::spki::AlgorithmIdentifierOwned;
use sha2::{Digest as _, Sha256};

use super::{Error, Image, OPTIONAL, SECURITY};
use crate::field::{array, put, u16, u32};
use crate::signed_data::{self, Request, Signed};

/// SPC_INDIRECT_DATA_OBJID.
const INDIRECT_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.311.2.1.4");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// SpcIndirectDataContent up to the digest: an SpcPeImageData without flags, whose link to a file is `<<<Obsolete>>>`, as
/// all have it, and the algorithm SHA-256.
const INDIRECT_DATA_HEAD: [u8; 74] = *b"\x30\x68\x30\x33\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x0f\
    \x30\x25\x03\x01\x00\xa0\x20\xa2\x1e\x80\x1c\
    \0<\0<\0<\0O\0b\0s\0o\0l\0e\0t\0e\0>\0>\0>\
    \x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
/// WIN_CERTIFICATE: length, WIN_CERT_REVISION_2_0, WIN_CERT_TYPE_PKCS_SIGNED_DATA.
const CERTIFICATE: usize = 8;
const REVISION: u16 = 0x0200;
const PKCS_SIGNED_DATA: u16 = 2;
/// More signatures than that are none that somebody made.
const MAX_SIGNATURES: usize = 16;

/// Where the checksum, the directory of signatures, and the signatures themselves are: what no digest covers.
struct Places {
    checksum: usize,
    directory: usize,
    /// The end of what is loaded.
    end: usize,
}

impl Places {
    fn of(bytes: &[u8]) -> Result<Self, Error> {
        let image = Image::parse(bytes)?;
        if u32(bytes, image.optional + 108) as usize <= SECURITY {
            return Err(Error::Form("its headers have no place for a signature"));
        }
        let directory = image.optional + OPTIONAL + 8 * SECURITY;
        let [at, length] = [0, 4].map(|field| u32(bytes, directory + field) as usize);
        let end = match at {
            0 => bytes.len(),
            // Nothing may stand behind the signatures, where no digest would see it.
            _ if at >= image.sections && at.checked_add(length) == Some(bytes.len()) => at,
            _ => return Err(Error::Form("its signatures are not at its end")),
        };
        Ok(Self { checksum: image.optional + 64, directory, end })
    }
}

/// The digest that signatures are of.
///
/// # Errors
/// It is no PE file, or its headers have no place for a signature.
pub fn digest(bytes: &[u8]) -> Result<[u8; 32], Error> {
    let Places { checksum, directory, end } = Places::of(bytes)?;
    // A file is filled up for its signatures.
    let fill = [0; 8];
    let hash = Sha256::new()
        .chain_update(&bytes[..checksum])
        .chain_update(&bytes[checksum + 4..directory])
        .chain_update(&bytes[directory + 8..end])
        .chain_update(&fill[..end.next_multiple_of(8) - end]);
    Ok(hash.finalize().into())
}

/// What has to be signed, to sign a program.
///
/// # Errors
/// It is no PE file, or the certificate is none.
pub fn request(bytes: &[u8], certificate: &[u8]) -> Result<Request, Error> {
    let content = [&INDIRECT_DATA_HEAD[..], &digest(bytes)?].concat();
    Ok(Request::enclosed(INDIRECT_DATA, &content, certificate)?)
}

/// The program with a signature ([`Request::signed_info`]) behind those that it has.
///
/// # Errors
/// It is no PE file, or would be larger than the format allows.
pub fn attach(bytes: &[u8], signature: &[u8]) -> Result<Vec<u8>, Error> {
    let Places { directory, end, .. } = Places::of(bytes)?;
    let large = |_| Error::TooLarge("of signatures");
    let length = u32::try_from(CERTIFICATE + signature.len()).map_err(large)?;
    let mut output = bytes.to_vec();
    output.resize(bytes.len().next_multiple_of(8), 0);
    let begin = if end == bytes.len() { output.len() } else { end };
    output.extend_from_slice(&length.to_le_bytes());
    output.extend_from_slice(&REVISION.to_le_bytes());
    output.extend_from_slice(&PKCS_SIGNED_DATA.to_le_bytes());
    output.extend_from_slice(signature);
    output.resize(output.len().next_multiple_of(8), 0);
    let [at, length] = [begin, output.len() - begin].map(u32::try_from);
    put(&mut output, directory, &at.map_err(large)?.to_le_bytes());
    put(&mut output, directory + 4, &length.map_err(large)?.to_le_bytes());
    Ok(output)
}

/// Checks that a program has a signature by one of these certificates, or by somebody they vouch for, and by none that is
/// revoked.
///
/// # Errors
/// It has none, or none that counts; the last one's mistake is told.
pub fn verify(bytes: &[u8], trusted: &[Vec<u8>], revoked: &[Vec<u8>]) -> Result<(), Error> {
    let digest = digest(bytes)?;
    let mut found = Err(Error::Unsigned);
    for signature in signatures(bytes)?.into_iter().take(MAX_SIGNATURES) {
        match check(signature, &digest, trusted, revoked) {
            Ok(()) => return Ok(()),
            mistake => found = mistake.map_err(Error::Signature),
        }
    }
    found
}

fn check(
    signature: &[u8],
    digest: &[u8; 32],
    trusted: &[Vec<u8>],
    revoked: &[Vec<u8>],
) -> Result<(), signed_data::Error> {
    let signed = Signed::open(signature, INDIRECT_DATA)?;
    if signed_digest(signed.content())?.as_deref() != Some(digest) {
        return Err(signed_data::Error::Signature("it is a signature of another program"));
    }
    signed.is_trusted(trusted, revoked)
}

/// What an SpcIndirectDataContent says of the program, if it is SHA-256.
fn signed_digest(content: &Any) -> Result<Option<Vec<u8>>, signed_data::Error> {
    Ok(content.sequence(|fields| {
        let _program: Any = fields.decode()?;
        let info: Any = fields.decode()?;
        info.sequence(|fields| {
            let algorithm: AlgorithmIdentifierOwned = fields.decode()?;
            let digest: OctetString = fields.decode()?;
            Ok((algorithm.oid == SHA256).then(|| digest.into_bytes()))
        })
    })?)
}

/// The bytes of each; a length that leads nowhere ends them.
fn signatures(bytes: &[u8]) -> Result<Vec<&[u8]>, Error> {
    let mut rest = &bytes[Places::of(bytes)?.end..];
    let mut found = Vec::new();
    while rest.len() > CERTIFICATE {
        let length = u32::from_le_bytes(array(rest, 0)) as usize;
        let Some(signature) = rest.get(CERTIFICATE..length) else { break };
        if u16(rest, 4) == REVISION && u16(rest, 6) == PKCS_SIGNED_DATA {
            found.push(signature);
        }
        rest = rest.get(length.next_multiple_of(8)..).unwrap_or_default();
    }
    Ok(found)
}
