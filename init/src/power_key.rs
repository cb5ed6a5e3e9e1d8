//! The power button, for when logind does not look after it: input devices that have KEY_POWER.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Where the nodes of input devices are.
pub const DEVICES: &str = "/dev/input";
const KEY_POWER: u16 = 116;
const EV_KEY: u16 = 1;
const NONBLOCK: i32 = 0o4000;
/// struct input_event: two words of time, type, code, value.
const EVENT: usize = size_of::<usize>() * 2 + 8;

/// The devices that are open, by the number of their node.
#[derive(Debug, Default)]
pub struct Keys(BTreeMap<u16, File>);

impl Keys {
    /// Looks for devices in sysfs and opens those with the key that are not open yet; their numbers. One that is open
    /// stays so: what it has to say would be lost with its descriptor.
    pub fn look(&mut self) -> Vec<u16> {
        let Ok(entries) = fs::read_dir("/sys/class/input") else { return Vec::new() };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let numbers: Vec<u16> = names.filter_map(|name| name.strip_prefix("event")?.parse().ok()).collect();
        let new = numbers.into_iter().filter(|number| !self.0.contains_key(number) && is_power_key(*number));
        let open = |number| {
            let path = format!("{DEVICES}/event{number}");
            Some((number, fs::OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path).ok()?))
        };
        let new: Vec<(u16, File)> = new.filter_map(open).collect();
        let numbers = new.iter().map(|(number, _)| *number).collect();
        self.0.extend(new);
        numbers
    }

    pub fn descriptor(&self, number: u16) -> Option<BorrowedFd<'_>> {
        self.0.get(&number).map(AsFd::as_fd)
    }

    /// Reads what a device has to say; whether the power key went down. One that is gone is closed.
    pub fn pressed(&mut self, number: u16) -> bool {
        let Some(device) = self.0.get_mut(&number) else { return false };
        let mut pressed = false;
        let mut buffer = [0; EVENT * 16];
        loop {
            match device.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => pressed |= buffer[..count].chunks_exact(EVENT).any(is_press),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return pressed,
                Err(_) => break,
            }
        }
        self.0.remove(&number);
        pressed
    }
}

fn is_power_key(number: u16) -> bool {
    let path = format!("/sys/class/input/event{number}/device/capabilities/key");
    fs::read_to_string(path).is_ok_and(|bits| has_key(&bits, KEY_POWER))
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
