//! The kernel's log, before there is a journal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

/// Longest line that the kernel takes as one record.
pub const LINE_LIMIT: usize = 960;

/// /dev/kmsg, open for writing.
#[derive(Debug)]
pub struct Kmsg(File);

impl Kmsg {
    /// Opens it.
    pub fn open() -> io::Result<Self> {
        OpenOptions::new().write(true).open("/dev/kmsg").map(Self)
    }

    /// Writes one record: `level` as in syslog(3) (3 error, 4 warning, 6 information), facility "daemon".
    ///
    /// A log that cannot be written is no reason to fail.
    pub fn write(&mut self, level: u8, source: &str, text: &str) {
        const DAEMON: u8 = 3;
        for line in text.lines() {
            let mut record = format!("<{}>{source}: {line}", DAEMON << 3 | level);
            let end = (0..=LINE_LIMIT.min(record.len())).rev().find(|end| record.is_char_boundary(*end));
            record.truncate(end.unwrap_or(0));
            // Without an end the kernel keeps it back until the next record, in case that one continues it.
            record.push('\n');
            let _ = self.0.write_all(record.as_bytes());
        }
    }
}
