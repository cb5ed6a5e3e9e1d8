//! Who this machine is: its machine-id(5), before and after /var is there, and its host name.
//!
//! Services start before /var is mounted and must not see one id at one boot and another at the next. So an id comes
//! from what the firmware says of the machine; only where it says nothing the first one is made up, kept in /var, and
//! known late at each boot.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use ashlar_config::systemd::Host;
use ashlar_config::systemd::calendar::{Moment, Zone};
use ashlar_sys::{clock, filesystem};

use crate::accounts::DIRECTORY;

const KEPT: &str = "/var/lib/ashlar/machine-id";
const SOURCES: [&str; 4] = [
    "/sys/class/dmi/id/product_uuid",
    "/sys/class/dmi/id/product_serial",
    "/sys/class/dmi/id/board_serial",
    "/proc/device-tree/serial-number",
];
/// What boards say that were never given an identity.
const MEANINGLESS: [&str; 7] =
    ["", "none", "not specified", "default string", "to be filled by o.e.m.", "0123456789", "system serial number"];

/// The first id of this boot.
pub fn early_id() -> String {
    let known = SOURCES.iter().filter_map(|path| fs::read_to_string(path).ok());
    let known: Vec<String> = known.map(|text| text.trim_matches(['\0', '\n', ' ']).to_lowercase()).collect();
    derived(&known).unwrap_or_else(made_up)
}

fn derived(known: &[String]) -> Option<String> {
    let telling = |text: &&String| {
        let mut letters: Vec<char> = text.chars().filter(char::is_ascii_alphanumeric).collect();
        letters.dedup();
        !MEANINGLESS.contains(&text.as_str()) && letters.len() > 2
    };
    let telling: Vec<&str> = known.iter().filter(telling).map(String::as_str).collect();
    (!telling.is_empty()).then(|| hash(&telling.join("\n")))
}

/// 128 bits over a text, as 32 hex digits. It tells machines apart; it keeps nothing secret.
fn hash(text: &str) -> String {
    let half = |seed: u64| {
        let mut state = seed;
        for byte in text.bytes() {
            state = (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(29);
        }
        state ^ (state >> 31)
    };
    format!("{:016x}{:016x}", half(0xcbf2_9ce4_8422_2325), half(0x9e37_79b9_7f4a_7c15))
}

fn made_up() -> String {
    let mut bytes = [0; 16];
    let read = fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    if read.is_err() {
        bytes[..8].copy_from_slice(&ashlar_sys::clock::real().to_ne_bytes());
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes the id where every container sees it.
pub fn publish(id: &str) -> io::Result<()> {
    let path = format!("{DIRECTORY}/machine-id");
    let fresh = format!("{path}.new");
    fs::write(&fresh, format!("{id}\n"))?;
    fs::rename(fresh, path)
}

/// /var is there: the id that is kept counts; without one the current one is kept from now on.
pub fn settle() -> io::Result<()> {
    match fs::read_to_string(KEPT) {
        Ok(id) if is_id(id.trim()) => publish(id.trim()),
        _ => {
            let current = fs::read_to_string(format!("{DIRECTORY}/machine-id"))?;
            if let Some(parent) = Path::new(KEPT).parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(KEPT, current)
        }
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Gives the kernel the host name that is written in /run/ashlar/etc.
pub fn set_host_name() -> io::Result<()> {
    let text = fs::read_to_string(format!("{DIRECTORY}/hostname")).unwrap_or_default();
    let name = text.trim();
    filesystem::set_host_name(if name.is_empty() { "ashlar" } else { name })
}

/// What an administrator writes is kept in /var, and shown where everybody looks for it.
const CONFIGURATION: [(&str, &str); 3] = [
    ("/var/lib/ashlar/etc/systemd/system", "/etc/systemd/system"),
    ("/var/lib/ashlar/etc/systemd/system.control", "/etc/systemd/system.control"),
    ("/var/lib/ashlar/etc/containers/systemd", "/etc/containers/systemd"),
];

/// Binds those folders into /etc, where the image has places for them.
pub fn bind_configuration() -> io::Result<()> {
    for (kept, shown) in CONFIGURATION {
        if !Path::new(shown).is_dir() {
            continue;
        }
        fs::create_dir_all(kept)?;
        filesystem::bind(Path::new(kept), Path::new(shown))?;
    }
    Ok(())
}

/// What specifiers of unit files say of this machine.
pub fn host_facts() -> Host {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let release = read("/usr/lib/os-release");
    let pairs = release.lines().filter_map(|line| line.split_once('='));
    Host {
        name: read("/proc/sys/kernel/hostname"),
        machine_id: read(&format!("{DIRECTORY}/machine-id")),
        boot_id: read("/proc/sys/kernel/random/boot_id").replace('-', ""),
        kernel: read("/proc/sys/kernel/osrelease"),
        architecture: crate::condition::architecture().to_owned(),
        os_release: pairs.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())).collect(),
    }
}

/// Local time, as /etc/localtime says.
pub struct Local;

/// The only one.
pub static LOCAL: Local = Local;

impl Zone for Local {
    fn seconds(&self, moment: Moment) -> Option<i64> {
        clock::of_local([moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second])
    }

    fn moment(&self, seconds: i64) -> Option<Moment> {
        let [year, month, day, hour, minute, second] = clock::local(seconds)?;
        Some(Moment { year, month, day, hour, minute, second })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_what_tells_machines_apart() {
        let id = |known: &[&str]| derived(&known.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(id(&[]), None);
        assert_eq!(id(&["default string", "none"]), None);
        assert_eq!(id(&["ffffffff-ffff-ffff-ffff-ffffffffffff", "00000000"]), None);
        let one = id(&["4c4c4544-0042-3310-8052-b2c04f4a4e32"]).unwrap();
        let two = id(&["4c4c4544-0042-3310-8052-b2c04f4a4e33"]).unwrap();
        assert!(is_id(&one) && is_id(&two) && one != two);
        assert!(is_id(&made_up()) && made_up() != made_up());
    }
}
