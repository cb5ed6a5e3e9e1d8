//! The power button, for when logind does not look after it: input devices that have KEY_POWER.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Where the nodes of input devices are.
pub const DEVICES: &str = "/dev/input";
const KEY_POWER: u16 = 116;
const EV_KEY: u16 = 1;
const NONBLOCK: i32 = 0o4000;
/// struct input_event: two words of time, type, code, value.
const EVENT: usize = size_of::<usize>() * 2 + 8;

/// The devices that are open.
#[derive(Debug, Default)]
pub struct Keys(Vec<File>);

impl Keys {
    /// Looks for devices in sysfs and opens the ones with the key.
    pub fn open() -> Self {
        let Ok(entries) = fs::read_dir("/sys/class/input") else { return Self::default() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let events = names.filter(|name| name.starts_with("event"));
        let with_key = events.filter(|name| {
            let path = format!("/sys/class/input/{name}/device/capabilities/key");
            fs::read_to_string(path).is_ok_and(|bits| has_key(&bits, KEY_POWER))
        });
        let open = |name: String| {
            fs::OpenOptions::new().read(true).custom_flags(NONBLOCK).open(format!("{DEVICES}/{name}")).ok()
        };
        Self(with_key.filter_map(open).collect())
    }

    pub fn descriptors(&self) -> impl Iterator<Item = (u16, BorrowedFd<'_>)> {
        self.0.iter().enumerate().map(|(place, file)| (place as u16, file.as_fd()))
    }

    /// Reads what a device has to say; whether the power key went down.
    pub fn pressed(&mut self, place: u16) -> bool {
        let Some(device) = self.0.get_mut(usize::from(place)) else { return false };
        let mut pressed = false;
        let mut buffer = [0; EVENT * 16];
        while let Ok(count) = device.read(&mut buffer) {
            if count == 0 {
                break;
            }
            pressed |= buffer[..count].chunks_exact(EVENT).any(is_press);
        }
        pressed
    }
}

fn is_press(event: &[u8]) -> bool {
    let tail = &event[EVENT - 8..];
    let half = |at: usize| u16::from_ne_bytes([tail[at], tail[at + 1]]);
    let value = i32::from_ne_bytes([tail[4], tail[5], tail[6], tail[7]]);
    half(0) == EV_KEY && half(2) == KEY_POWER && value == 1
}

/// Whether a sysfs bit mask, words in hex with the highest first, has a bit.
fn has_key(mask: &str, key: u16) -> bool {
    let bits = usize::BITS as usize;
    let word = mask.split_whitespace().rev().nth(usize::from(key) / bits);
    let word = word.and_then(|word| usize::from_str_radix(word, 16).ok()).unwrap_or(0);
    word >> (usize::from(key) % bits) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        let check = |mask, expect| assert_eq!(has_key(mask, KEY_POWER), expect, "{mask}");
        check("10000000000000 0", true);
        check("8000 10000000000000 0", true);
        check("10000000000000", false);
        check("0", false);
        check("", false);
    }
}
