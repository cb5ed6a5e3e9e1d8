//! Secure Boot, as far as an upgrade has to know of it: what this firmware would start. The boot loader goes on to the next
//! entry when tries are used up, not when firmware refuses a program: that would stop the machine.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ashlar_formats::efi::{self, GLOBAL, IMAGE_SECURITY};
use ashlar_formats::pe::authenticode;
use ashlar_formats::uuid::Uuid;
use ashlar_sys::filesystem as fsys;

use crate::error::{Error, at};

const MOUNT: &str = "/run/efivars";
/// Attributes stand before the value.
const ATTRIBUTES: usize = 4;

/// What starts and what does not, where Secure Boot is on.
#[derive(Debug, Default)]
pub struct Firmware {
    db: Vec<u8>,
    dbx: Vec<u8>,
}

impl Firmware {
    /// This machine's; nothing, where its firmware starts anything.
    pub fn read() -> Result<Option<Self>, Error> {
        let folder = PathBuf::from(MOUNT);
        fs::create_dir_all(&folder).map_err(at("make", &folder))?;
        let flags = fsys::READ_ONLY | fsys::NO_SUID | fsys::NO_DEVICES | fsys::NO_EXEC;
        // Without UEFI there are no variables, and nothing that would refuse.
        if fsys::mount("efivarfs", &folder, "efivarfs", flags, "").is_err() {
            return Ok(None);
        }
        let read = Self::read_in(&folder);
        let _ = fsys::unmount(&folder, true);
        read
    }

    fn read_in(folder: &Path) -> Result<Option<Self>, Error> {
        let is_on = variable(folder, "SecureBoot", GLOBAL)? == [1];
        let lists = |name| variable(folder, name, IMAGE_SECURITY);
        if is_on { Ok(Some(Self { db: lists("db")?, dbx: lists("dbx")? })) } else { Ok(None) }
    }

    /// Whether it would start this program.
    pub fn would_start(&self, program: &[u8]) -> Result<(), Error> {
        let refuse = |error: String| {
            Error::Trust(format!(
                "Secure Boot is on, and this machine's firmware would not start the version's kernel image: {error}; \
                 nothing was switched"
            ))
        };
        let listed = |lists, digest: &[u8]| efi::entries(lists, efi::SHA256).iter().any(|one| one == digest);
        let digest = authenticode::digest(program).map_err(|error| refuse(error.to_string()))?;
        if listed(&self.dbx, &digest) {
            return Err(refuse("it has been revoked".to_owned()));
        }
        if listed(&self.db, &digest) {
            return Ok(());
        }
        let [trusted, revoked] = [&self.db, &self.dbx].map(|lists| efi::entries(lists, efi::X509));
        authenticode::verify(program, &trusted, &revoked).map_err(|error| refuse(error.to_string()))
    }
}

/// A variable's value; nothing, where there is no such variable.
fn variable(folder: &Path, name: &str, vendor: Uuid) -> Result<Vec<u8>, Error> {
    let path = folder.join(format!("{name}-{vendor}"));
    match fs::read(&path) {
        Ok(mut bytes) => Ok(bytes.split_off(ATTRIBUTES.min(bytes.len()))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(at("read", path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_secure_boot_is_on() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, vendor, value: &[u8]| {
            let path = folder.path().join(format!("{name}-{vendor}"));
            fs::write(path, [&[6, 0, 0, 0], value].concat()).unwrap();
        };
        let is_on = || Firmware::read_in(folder.path()).unwrap().is_some();
        assert!(!is_on());
        put("SecureBoot", GLOBAL, &[0]);
        assert!(!is_on());
        put("SecureBoot", GLOBAL, &[1]);
        assert!(is_on());
        put("db", IMAGE_SECURITY, b"lists");
        assert_eq!(Firmware::read_in(folder.path()).unwrap().unwrap().db, b"lists");
        let error = Firmware::default().would_start(b"no program").unwrap_err().to_string();
        assert!(error.contains("would not start") && error.contains("nothing was switched"), "{error}");
    }
}
