//! The EFI system partition of a fresh disk: boot loader, its settings, one unified kernel image, and a folder for
//! the machine's configuration.

use ashlar_formats::fat;
use ashlar_formats::verity::RootHash;

use super::{Error, Inputs};
use crate::debian::Arch;

/// Where unified kernel images are. A rename there is one write of one sector, whole or not at all, only while the
/// directory has no more than one sector: `.`, `..`, two images, and room for the new name of one. A name of up to
/// 26 characters has three entries, a longer one four.
const ENTRIES: &str = "EFI/Linux";
const MAX_NAME: usize = 26;
/// Entries that an upgrade adds: the second image under its temporary short name, its own, and a new name.
const FOR_UPGRADE: usize = 1 + 3 + 3;
/// What the boot loader's counting puts into the name of an entry that is on trial.
const COUNTER: usize = "+3-0".len();
/// No menu, and no command line that somebody at the console could change.
const LOADER_CONF: &str = "timeout 0\neditor no\n";

/// What firmware starts, signed if the image is to be, and the loader's settings.
pub(super) struct Programs {
    pub loader: Vec<u8>,
    pub uki: Vec<u8>,
    pub settings: String,
}

impl Programs {
    pub(super) fn of(inputs: &Inputs<'_>, uki: Vec<u8>) -> Result<Self, Error> {
        let Some(signer) = inputs.signer else {
            return Ok(Self { loader: inputs.loader.to_vec(), uki, settings: LOADER_CONF.to_owned() });
        };
        let sign = |what, bytes| signer.sign(bytes).map_err(|source| Error::Sign { what, source });
        let settings = format!("{LOADER_CONF}secure-boot-enroll {}\n", signer.enroll().word());
        Ok(Self { loader: sign("boot loader", inputs.loader)?, uki: sign("unified kernel image", &uki)?, settings })
    }
}

/// The file name of a version's boot entry that is not on trial.
pub fn entry_name(version: &str) -> String {
    format!("ashlar_{version}.efi")
}

/// Whether a version can be part of a boot entry's name.
///
/// # Errors
/// It cannot.
pub fn check_version(version: &str) -> Result<(), Error> {
    let wrong = |why| Err(Error::Version { version: version.to_owned(), why });
    // A plus sign would begin a counter.
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".~^_-".contains(c);
    match version {
        "" => wrong("is empty"),
        _ if !version.chars().all(allowed) => wrong("has characters other than letters, digits and .~^_-"),
        _ if entry_name(version).len() + COUNTER > MAX_NAME => {
            wrong("is longer than 11 characters, which would make renaming its boot entry unsafe")
        }
        _ => Ok(()),
    }
}

/// The volume, ready to be written.
///
/// # Errors
/// A name cannot be used, or two unified kernel images do not fit.
pub(super) fn volume<'a>(inputs: &Inputs<'a>, programs: &'a Programs, root: RootHash) -> Result<fat::Image<'a>, Error> {
    let Programs { loader, uki, .. } = programs;
    let [removable, installed] = match inputs.arch {
        Arch::X86_64 => ["EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi"],
        Arch::Aarch64 => ["EFI/BOOT/BOOTAA64.EFI", "EFI/systemd/systemd-bootaa64.efi"],
    };
    let mut tree = fat::Directory::default();
    tree.add(removable, loader)?;
    tree.add(installed, loader)?;
    tree.add(&format!("{ENTRIES}/{}", entry_name(inputs.version)), uki)?;
    tree.add("loader/loader.conf", programs.settings.as_bytes())?;
    tree.folder("ashlar")?;
    for (path, content) in inputs.signer.iter().flat_map(|signer| signer.variables()) {
        tree.add(path, content)?;
    }
    for (path, content) in inputs.esp_files {
        tree.add(path, content)?;
    }
    let entries = tree.folder(ENTRIES)?.entries() + FOR_UPGRADE;
    if entries * fat::ENTRY > fat::SECTOR {
        return Err(Error::BootEntries(ENTRIES, entries));
    }
    let others: usize = inputs.esp_files.iter().map(|(_, content)| content.len()).sum();
    // An upgrade puts a second image beside this one, and a little is lost to clusters and tables.
    let needs = 2 * (uki.len() + loader.len()) as u64 + others as u64 + (4 << 20);
    let has = inputs.sizes.esp;
    if needs > has {
        return Err(Error::TooLarge { what: "the boot loader and two kernel images", partition: "ESP", needs, has });
    }
    let volume_id = u32::from_le_bytes([root.0[0], root.0[1], root.0[2], root.0[3]]);
    Ok(fat::Image { bytes: has, volume_id, label: "ESP", modified: inputs.date.seconds(), root: tree })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_versions() {
        fn check(version: &str, expect: bool) {
            assert_eq!(check_version(version).is_ok(), expect, "{version}");
        }
        check("0.1.0", true);
        check("2026.11.25", true);
        check("1.0~rc1", true);
        check("12345678901", true);
        check("123456789012", false);
        check("1.0+3", false);
        check("1/0", false);
        check("", false);
    }
}
