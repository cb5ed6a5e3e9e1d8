//! Which partition the boot loader was started from: an EFI variable of the Boot Loader Interface.

use std::fs;
use std::path::Path;

use ashlar_formats::uuid::Uuid;
use ashlar_sys::filesystem as fsys;

const VARIABLES: &str = "/sys/firmware/efi/efivars";
const DEVICE: &str = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/// Attributes stand before the value.
const ATTRIBUTES: usize = 4;

/// The partition's GUID, if the firmware is UEFI and the loader said it. Nothing depends on variables: a store that
/// cannot be read is none. It stays mounted, for those who ask whether Secure Boot is on.
pub fn partition() -> Option<Uuid> {
    let folder = Path::new(VARIABLES);
    if !folder.exists() {
        return None;
    }
    let flags = fsys::READ_ONLY | fsys::NO_SUID | fsys::NO_DEVICES | fsys::NO_EXEC;
    fsys::mount("efivarfs", folder, "efivarfs", flags, "").ok()?;
    parse(&fs::read(folder.join(DEVICE)).ok()?)
}

/// UTF-16 in little-endian order, with a zero at the end.
fn parse(value: &[u8]) -> Option<Uuid> {
    let units = value.get(ATTRIBUTES..)?.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
    let text: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16(&text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let value = |text: &str| {
            let mut bytes = vec![6, 0, 0, 0];
            bytes.extend(text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
            bytes
        };
        let id = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";
        let check = |bytes: &[u8], expect: Option<Uuid>| assert_eq!(parse(bytes), expect, "{bytes:?}");
        check(&value(id), id.parse().ok());
        check(&value(&id.to_uppercase()), id.parse().ok());
        check(&value("what"), None);
        check(&[1, 2], None);
    }
}
