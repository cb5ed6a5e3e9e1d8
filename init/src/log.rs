//! What PID 1 says: to the journal once there is one, to the kernel's log before and whenever the journal does not
//! listen, and in a few words to the console. Never waits for a reader.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;

use ashlar_sys::kmsg::Kmsg;
use ashlar_sys::socket::{self, Kind};

/// syslog(3) priorities.
pub const ERROR: u8 = 3;
pub const WARNING: u8 = 4;
pub const NOTICE: u8 = 5;
pub const INFO: u8 = 6;
/// Their names (systemctl(1), log-level), by number.
pub const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

const JOURNAL: &str = "/run/systemd/journal/socket";
const SOURCE: &str = "init";

/// Where messages go.
#[derive(Debug)]
pub struct Log {
    kmsg: Option<Kmsg>,
    journal: Option<OwnedFd>,
    /// What matters less is not said.
    pub level: u8,
}

impl Log {
    pub fn open() -> Self {
        Self { kmsg: Kmsg::open().ok(), journal: None, level: INFO }
    }

    /// Says something, about a unit or about the machine.
    pub fn say(&mut self, level: u8, unit: Option<&str>, text: &str) {
        if level > self.level || self.tell_journal(level, unit, text) {
            return;
        }
        let text = unit.map_or_else(|| text.to_owned(), |unit| format!("{unit}: {text}"));
        match &mut self.kmsg {
            Some(kmsg) => kmsg.write(level, SOURCE, &text),
            None => eprintln!("{SOURCE}: {text}"),
        }
    }

    /// systemd's native protocol: lines of NAME=value. The fields are the ones that `journalctl -u` looks for.
    fn tell_journal(&mut self, level: u8, unit: Option<&str>, text: &str) -> bool {
        if self.journal.is_none() {
            self.journal = socket::connect_unix(Path::new(JOURNAL), Kind::Datagram).ok();
        }
        let Some(journal) = &self.journal else { return false };
        let text = text.replace('\n', " ");
        let mut entry = format!("PRIORITY={level}\nSYSLOG_FACILITY=3\nSYSLOG_IDENTIFIER={SOURCE}\n");
        if let Some(unit) = unit {
            entry += &format!("UNIT={unit}\n");
        }
        entry += &format!("MESSAGE={}{text}\n", unit.map(|unit| format!("{unit}: ")).unwrap_or_default());
        let sent = socket::send(journal, entry.as_bytes(), &[]).is_ok();
        if !sent {
            // The socket may have been made anew: connect again the next time.
            self.journal = None;
        }
        sent
    }
}

/// Prints one line on the console. A console that does not take it is not waited for.
pub fn console(line: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    const NONBLOCK_NOCTTY: i32 = 0o4000 | 0o400;
    if let Ok(mut console) = OpenOptions::new().write(true).custom_flags(NONBLOCK_NOCTTY).open("/dev/console") {
        let _ = console.write_all(format!("{line}\r\n").as_bytes());
    }
}
