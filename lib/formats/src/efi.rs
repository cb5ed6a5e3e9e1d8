//! Secure Boot's variables (UEFI specification, 8.2.2 and 32.4.1): lists of certificates and digests, and the signed form
//! in which a firmware takes them.

use x509_cert::der::DateTime;

use crate::field::{array, put, u32};
use crate::signed_data::{Error, Request};
use crate::uuid::Uuid;

/// EFI_GLOBAL_VARIABLE: of PK and KEK.
pub const GLOBAL: Uuid = Uuid::from_u128(0x8be4df61_93ca_11d2_aa0d_00e098032b8c);
/// EFI_IMAGE_SECURITY_DATABASE: of db and dbx.
pub const IMAGE_SECURITY: Uuid = Uuid::from_u128(0xd719b2cb_3d3a_4596_a3bc_dad00e67656f);
/// EFI_CERT_X509: a certificate in DER.
pub const X509: Uuid = Uuid::from_u128(0xa5c059a1_94e4_4aa7_87b5_ab155c2bf072);
/// EFI_CERT_SHA256: the digest of a program.
pub const SHA256: Uuid = Uuid::from_u128(0xc1c41626_504c_4092_aca9_41f936934328);
/// EFI_CERT_TYPE_PKCS7.
const PKCS7: Uuid = Uuid::from_u128(0x4aafd29d_68df_49ee_8aa9_347d375665a7);

/// Non-volatile, for boot and run time, and only by whoever signs with a time that is later.
const ATTRIBUTES: u32 = 0x27;
/// EFI_SIGNATURE_LIST up to its header.
const LIST: usize = 28;
const GUID: usize = 16;
/// WIN_CERTIFICATE_UEFI_GUID up to its data.
const CERTIFICATE: u32 = 24;
const REVISION: u16 = 0x0200;
const EFI_GUID: u16 = 0x0ef1;
/// Firmware's stores are a fraction of that.
const LIMIT: usize = 1 << 20;

/// A list with one certificate, and who put it there.
pub fn list(owner: Uuid, certificate: &[u8]) -> Vec<u8> {
    let size = (GUID + certificate.len()) as u32;
    let mut list = X509.swapped().0.to_vec();
    for field in [LIST as u32 + size, 0, size] {
        list.extend_from_slice(&field.to_le_bytes());
    }
    list.extend_from_slice(&owner.swapped().0);
    list.extend_from_slice(certificate);
    list
}

/// What lists hold of a type: certificates, or digests. What is cut ends them.
pub fn entries(mut lists: &[u8], of: Uuid) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    if lists.len() > LIMIT {
        return found;
    }
    while lists.len() > LIST {
        let [whole, header, each] = [16, 20, 24].map(|field| u32(lists, field) as usize);
        let begin = LIST.saturating_add(header);
        let Some(content) = lists.get(begin..whole).filter(|_| each > GUID) else { break };
        if Uuid(array(lists, 0)).swapped() == of {
            found.extend(content.chunks_exact(each).map(|entry| entry[GUID..].to_vec()));
        }
        lists = &lists[whole..];
    }
    found
}

/// A new value of a variable, to be signed by whoever may set it.
#[derive(Debug)]
pub struct Update<'a> {
    /// `PK`, `KEK`, `db` or `dbx`.
    pub name: &'a str,
    /// [`GLOBAL`] or [`IMAGE_SECURITY`].
    pub vendor: Uuid,
    /// When it is signed: only what is later replaces it.
    pub time: DateTime,
    /// Lists.
    pub value: &'a [u8],
}

impl Update<'_> {
    /// What has to be signed.
    ///
    /// # Errors
    /// The certificate is none.
    pub fn request(&self, certificate: &[u8]) -> Result<Request, Error> {
        let name = self.name.encode_utf16().flat_map(u16::to_le_bytes);
        let mut message: Vec<u8> = name.collect();
        message.extend_from_slice(&self.vendor.swapped().0);
        message.extend_from_slice(&ATTRIBUTES.to_le_bytes());
        message.extend_from_slice(&self.efi_time());
        message.extend_from_slice(self.value);
        Request::detached(&message, certificate)
    }

    /// EFI_TIME, in UTC.
    fn efi_time(&self) -> [u8; 16] {
        let time = &self.time;
        let [low, high] = time.year().to_le_bytes();
        let mut bytes = [0; 16];
        put(&mut bytes, 0, &[low, high, time.month(), time.day(), time.hour(), time.minutes(), time.seconds()]);
        bytes
    }

    /// EFI_VARIABLE_AUTHENTICATION_2 and the value: what a firmware is given, and what files named `.auth` hold.
    pub fn signed(&self, signed_data: &[u8]) -> Vec<u8> {
        let mut bytes = self.efi_time().to_vec();
        bytes.extend_from_slice(&(CERTIFICATE + signed_data.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&REVISION.to_le_bytes());
        bytes.extend_from_slice(&EFI_GUID.to_le_bytes());
        bytes.extend_from_slice(&PKCS7.swapped().0);
        bytes.extend_from_slice(signed_data);
        bytes.extend_from_slice(self.value);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_are_written() {
        let owner = Uuid::derived("owner", b"");
        let mut lists = [list(owner, b"one certificate"), list(owner, b"another")].concat();
        let expect = [b"one certificate".to_vec(), b"another".to_vec()];
        assert_eq!(entries(&lists, X509), expect);
        assert_eq!(entries(&lists, SHA256), Vec::<Vec<u8>>::new());
        lists.truncate(lists.len() - 1);
        assert_eq!(entries(&lists, X509), expect[..1]);
        for at in 16..LIST {
            let mut lists = lists.clone();
            lists[at] = 255;
            assert!(entries(&lists, X509).len() <= 1, "{at}");
        }
    }
}
