//! What the first stage says, where a person at any console of the machine reads it.

use std::fs::{self, OpenOptions};
use std::io::Write;

use ashlar_sys::kmsg::Kmsg;

const CRITICAL: u8 = 2;
const INFORMATION: u8 = 6;
const SOURCE: &str = "boot";

/// Something that went as it should: in the kernel's log.
pub fn note(text: &str) {
    if let Ok(mut kmsg) = Kmsg::open() {
        kmsg.write(INFORMATION, SOURCE, text);
    }
}

/// Something that a person has to read: the kernel's log brings it to every console, unless it was told to be silent or
/// is not there yet.
pub fn alarm(text: &str) {
    let logged = Kmsg::open().map(|mut kmsg| kmsg.write(CRITICAL, SOURCE, text)).is_ok();
    if !logged || !prints(&fs::read_to_string("/proc/sys/kernel/printk").unwrap_or_default()) {
        let line = format!("{SOURCE}: {text}\r\n");
        // While /dev is on its way into the root, the console that the kernel opened for us is still there.
        match OpenOptions::new().write(true).open("/dev/console") {
            Ok(mut console) => drop(console.write_all(line.as_bytes())),
            Err(_) => drop(std::io::stderr().write_all(line.as_bytes())),
        }
    }
}

/// Whether the kernel prints critical messages: the first number of the setting is the level that is not printed.
fn prints(setting: &str) -> bool {
    let level = setting.split_ascii_whitespace().next().and_then(|number| number.parse::<u8>().ok());
    level.is_some_and(|level| level > CRITICAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_prints() {
        let check = |setting, expect| assert_eq!(prints(setting), expect, "{setting}");
        check("7\t4\t1\t7\n", true);
        check("2\t4\t1\t7\n", false);
        check("", false);
    }
}
