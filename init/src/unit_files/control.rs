//! What `systemctl set-property` changes: one drop-in for each setting (systemctl(1), set-property).

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use ashlar_config::systemd::kind_of;

/// For good, and until the next boot.
pub const FOLDERS: [&str; 2] = ["/etc/systemd/system.control", "/run/systemd/system.control"];

const HEADER: &str = "# Written by `systemctl set-property`; `systemctl revert` removes it.\n";

/// Writes down settings of a unit, each as a file would say it; one of several lines comes several times.
pub fn keep(folder: &Path, unit: &str, settings: &[(String, String)]) -> io::Result<()> {
    let mut files = BTreeMap::<&str, String>::new();
    for (name, value) in settings {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_name || value.contains(char::is_control) {
            return Err(io::Error::other(format!("{name} is no setting of one line")));
        }
        files.entry(name).or_default().push_str(&format!("{name}={value}\n"));
    }
    let folder = folder.join(format!("{unit}.d"));
    fs::create_dir_all(&folder)?;
    let section = section(unit);
    for (name, lines) in files {
        // Whoever reads meanwhile finds the old one.
        let fresh = folder.join(format!(".{name}.new"));
        fs::write(&fresh, format!("{HEADER}[{section}]\n{lines}"))?;
        fs::rename(fresh, folder.join(format!("50-{name}.conf")))?;
    }
    Ok(())
}

/// Service of `x.service`.
fn section(unit: &str) -> String {
    let kind = kind_of(unit);
    let (first, rest) = kind.split_at(kind.len().min(1));
    first.to_ascii_uppercase() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_is_a_file() {
        let folder = std::env::temp_dir().join(format!("ashlar-control-{}", std::process::id()));
        let keep = |settings: &[(&str, &str)]| {
            let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            super::keep(&folder, "x.slice", &settings.iter().map(own).collect::<Vec<_>>())
        };
        keep(&[("MemoryMax", "1"), ("DeviceAllow", ""), ("DeviceAllow", "/dev/null rw")]).unwrap();
        keep(&[("MemoryMax", "2")]).unwrap();
        let read = |file: &str| fs::read_to_string(folder.join("x.slice.d").join(file)).unwrap();
        assert_eq!(read("50-MemoryMax.conf"), format!("{HEADER}[Slice]\nMemoryMax=2\n"));
        assert_eq!(read("50-DeviceAllow.conf"), format!("{HEADER}[Slice]\nDeviceAllow=\nDeviceAllow=/dev/null rw\n"));
        for bad in [("../x", "1"), ("", "1"), ("MemoryMax", "1\n[Unit]")] {
            assert!(keep(&[bad]).is_err(), "{bad:?}");
        }
        assert_eq!(fs::read_dir(folder.join("x.slice.d")).unwrap().count(), 2);
        fs::remove_dir_all(folder).unwrap();
    }
}
