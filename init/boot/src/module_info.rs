//! What a kernel module says of itself, in the section `.modinfo` of its ELF file: which devices it drives, which modules
//! it needs. Offsets are those of elf(5), 64 bits, little-endian.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const SECTION: &[u8] = b".modinfo\0";
const ELF_HEADER: usize = 64;
const SECTION_HEADER: usize = 64;
/// Far above what modules have.
const MOST_SECTIONS: usize = 4096;
const MOST_BYTES: usize = 1 << 20;

/// The part that decides whether a module is loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Patterns of the devices that it drives, such as `pci:v00001AF4d*`. Empty: it is no driver.
    pub devices: Vec<String>,
    /// Modules that have to be there before.
    pub needs: Vec<String>,
}

impl ModuleInfo {
    /// Reads it; `None` if the file is no ELF file, as a compressed one is none.
    pub fn read(file: &File) -> io::Result<Option<Self>> {
        let at = |offset: u64, length: usize| {
            let mut bytes = vec![0; length.min(MOST_BYTES)];
            file.read_exact_at(&mut bytes, offset).map(|()| bytes)
        };
        let header = at(0, ELF_HEADER)?;
        if !header.starts_with(b"\x7fELF\x02\x01") {
            return Ok(None);
        }
        let count = usize::from(short(&header, 60)).min(MOST_SECTIONS);
        let table = at(long(&header, 40), count * SECTION_HEADER)?;
        let sections: Vec<&[u8]> = table.chunks_exact(SECTION_HEADER).collect();
        let content = |section: &[u8]| at(long(section, 24), usize::try_from(long(section, 32)).unwrap_or(MOST_BYTES));
        let Some(names) = sections.get(usize::from(short(&header, 62))) else { return Ok(None) };
        let names = content(names)?;
        let is_it =
            |section: &&&[u8]| names.get(word(section, 0) as usize..).is_some_and(|name| name.starts_with(SECTION));
        match sections.iter().find(is_it) {
            Some(section) => Ok(Some(Self::parse(&content(section)?))),
            None => Ok(None),
        }
    }

    /// Reads the section: `key=value`, each with a zero behind it.
    fn parse(section: &[u8]) -> Self {
        let mut info = Self::default();
        for field in section.split(|byte| *byte == 0) {
            match String::from_utf8_lossy(field).split_once('=') {
                // A device's alias begins with its bus; those of file systems, algorithms and nodes do not.
                Some(("alias", alias)) if alias.contains(':') && !alias.starts_with("devname:") => {
                    info.devices.push(alias.to_owned());
                }
                Some(("depends", list)) => {
                    info.needs.extend(list.split(',').filter(|name| !name.is_empty()).map(module_name));
                }
                _ => {}
            }
        }
        info
    }

    /// Whether it drives one of these devices.
    pub fn drives(&self, devices: &[String]) -> bool {
        self.devices.iter().any(|pattern| devices.iter().any(|device| matches(pattern.as_bytes(), device.as_bytes())))
    }
}

/// A module's name as the kernel has it, from how it or its file is called.
pub fn module_name(text: &str) -> String {
    text.split('.').next().unwrap_or_default().replace('-', "_")
}

/// A shell pattern of `*` and `?`. One with a list of letters is taken to match: a driver too many does no harm.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) | (Some(b'['), _) => true,
        (Some(b'*'), None) => matches(&pattern[1..], text),
        (Some(b'*'), Some(_)) => matches(&pattern[1..], text) || matches(pattern, &text[1..]),
        (Some(letter), Some(other)) if letter == other || *letter == b'?' => matches(&pattern[1..], &text[1..]),
        _ => false,
    }
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(short(bytes, at)) | u32::from(short(bytes, at + 2)) << 16
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections() {
        let section = b"license=GPL\0alias=devname:mapper/control\0alias=fs-erofs\0\0alias=virtio:d00000002v*\0\
                        depends=scsi_mod,scsi-common\0depends=\0rest";
        let info = ModuleInfo::parse(section);
        assert_eq!(info.devices, ["virtio:d00000002v*"]);
        assert_eq!(info.needs, ["scsi_mod", "scsi_common"]);
    }

    #[test]
    fn patterns() {
        let check = |pattern: &str, text: &str, expect| {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expect, "{pattern} {text}");
        };
        check("virtio:d00000002v*", "virtio:d00000002v00001AF4", true);
        check("virtio:d00000002v*", "virtio:d00000008v00001AF4", false);
        check("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", true);
        check("pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv00001AF4sd00001100bc02sc00i00", false);
        check(
            "cpu:type:x86,ven*fam*mod*:feature:*0089*",
            "cpu:type:x86,ven0002fam000Fmod006B:feature:,0000,0089",
            true,
        );
        check("a?c", "abc", true);
        check("", "a", false);
        check("x[0-9]", "x7", true);
    }

    #[test]
    fn names() {
        let check = |text, expect| assert_eq!(module_name(text), expect);
        check("dm-verity.ko.xz", "dm_verity");
        check("scsi_mod", "scsi_mod");
    }

    #[test]
    fn what_is_no_elf_file_says_nothing() {
        let path = std::env::temp_dir().join(format!("ashlar-module-{}", std::process::id()));
        let check = |bytes: &[u8], expect: Option<Option<ModuleInfo>>| {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(ModuleInfo::read(&File::open(&path).unwrap()).ok(), expect);
        };
        check(&[0xfd; 100], Some(None));
        check(b"short", None);
        let mut lying = vec![0xff; 64];
        lying[..6].copy_from_slice(b"\x7fELF\x02\x01");
        check(&lying, None);
        std::fs::remove_file(path).unwrap();
    }
}
