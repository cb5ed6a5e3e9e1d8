//! sd_notify(3) datagrams as text: what a service says of itself. Pure; who may say it is the core's business.
//!
//! Unknown fields are ignored, as the protocol wants it. Senders are not trusted.

use ashlar_config::unit::NotifyAccess;

/// Longest datagram.
pub const DATAGRAM_LIMIT: usize = 4096;
/// Most lines of one.
const LINE_LIMIT: usize = 64;
/// Longest name of a stored descriptor.
const NAME_LIMIT: usize = 255;

/// One datagram's fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notification {
    pub ready: bool,
    pub reloading: bool,
    pub stopping: bool,
    /// When a reload began, in microseconds of the monotonic clock.
    pub monotonic: Option<u64>,
    pub status: Option<String>,
    pub errno: Option<i32>,
    pub main_pid: Option<u32>,
    pub watchdog: Option<Watchdog>,
    /// Longest silence from now on, in microseconds.
    pub watchdog_usec: Option<u64>,
    /// More time for the state that it is in, in microseconds.
    pub extend_usec: Option<u64>,
    pub access: Option<NotifyAccess>,
    pub fd_store: bool,
    pub fd_remove: bool,
    pub fd_name: Option<String>,
    /// FDPOLL=0: a stored descriptor stays when its other side hangs up.
    pub fd_keep: bool,
    /// The datagram is nothing but a barrier.
    pub barrier: bool,
}

/// WATCHDOG=.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watchdog {
    /// Alive.
    Pet,
    /// Act as if it had been silent for too long.
    Trigger,
}

/// Reads a datagram; `None` if it has to be dropped as a whole.
pub fn parse(bytes: &[u8]) -> Option<Notification> {
    if bytes.is_empty() || bytes.len() > DATAGRAM_LIMIT {
        return None;
    }
    // One NUL at the end is a C programmer's habit; inside it is an attempt to hide something.
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.contains(&0) {
        return None;
    }
    let mut notification = Notification::default();
    let mut lines = 0;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        lines += 1;
        if lines > LINE_LIMIT {
            return None;
        }
        if let Ok(line) = str::from_utf8(line)
            && let Some((key, value)) = line.split_once('=')
        {
            field(&mut notification, key, value);
        }
    }
    if notification.barrier && lines != 1 {
        return None;
    }
    Some(notification)
}

fn field(n: &mut Notification, key: &str, value: &str) {
    match (key, value) {
        ("READY", "1") => n.ready = true,
        ("RELOADING", "1") => n.reloading = true,
        ("STOPPING", "1") => n.stopping = true,
        ("MONOTONIC_USEC", _) => n.monotonic = value.parse().ok(),
        ("STATUS", _) => n.status = Some(value.to_owned()),
        ("ERRNO", _) => n.errno = value.parse().ok(),
        ("MAINPID", _) => n.main_pid = value.parse().ok().filter(|pid| *pid > 1),
        ("WATCHDOG", "1") => n.watchdog = Some(Watchdog::Pet),
        ("WATCHDOG", "trigger") => n.watchdog = Some(Watchdog::Trigger),
        ("WATCHDOG_USEC", _) => n.watchdog_usec = value.parse().ok(),
        ("EXTEND_TIMEOUT_USEC", _) => n.extend_usec = value.parse().ok(),
        ("NOTIFYACCESS", "none") => n.access = Some(NotifyAccess::None),
        ("NOTIFYACCESS", "main") => n.access = Some(NotifyAccess::Main),
        ("NOTIFYACCESS", "exec") => n.access = Some(NotifyAccess::Exec),
        ("NOTIFYACCESS", "all") => n.access = Some(NotifyAccess::All),
        ("FDSTORE", "1") => n.fd_store = true,
        ("FDSTOREREMOVE", "1") => n.fd_remove = true,
        ("FDNAME", _) if is_fd_name(value) => n.fd_name = Some(value.to_owned()),
        ("FDPOLL", "0") => n.fd_keep = true,
        ("BARRIER", "1") => n.barrier = true,
        _ => {}
    }
}

/// LISTEN_FDNAMES separates names by colons.
fn is_fd_name(name: &str) -> bool {
    name.len() <= NAME_LIMIT && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let check = |input: &str, expect: Option<Notification>| assert_eq!(parse(input.as_bytes()), expect, "{input}");
        let none = Notification::default();
        check("READY=1", Some(Notification { ready: true, ..none.clone() }));
        check(
            "READY=1\nSTATUS=up: 3 of 3\n",
            Some(Notification { ready: true, status: Some("up: 3 of 3".into()), ..none.clone() }),
        );
        check("READY=0\nX=1\nnonsense", Some(none.clone()));
        check(
            "RELOADING=1\nMONOTONIC_USEC=77",
            Some(Notification { reloading: true, monotonic: Some(77), ..none.clone() }),
        );
        check("MAINPID=1", Some(none.clone()));
        check("MAINPID=12", Some(Notification { main_pid: Some(12), ..none.clone() }));
        check("WATCHDOG=trigger", Some(Notification { watchdog: Some(Watchdog::Trigger), ..none.clone() }));
        check("WATCHDOG_USEC=-1", Some(none.clone()));
        check(
            "FDSTORE=1\nFDNAME=a\nFDPOLL=0",
            Some(Notification { fd_store: true, fd_name: Some("a".into()), fd_keep: true, ..none.clone() }),
        );
        check("FDSTORE=1\nFDNAME=a:b", Some(Notification { fd_store: true, ..none.clone() }));
        check("BARRIER=1", Some(Notification { barrier: true, ..none.clone() }));
        check("BARRIER=1\nREADY=1", None);
        check("READY=1\0", Some(Notification { ready: true, ..none.clone() }));
        check("READY=1\0STATUS=x", None);
        check("", None);
        check(&"x".repeat(DATAGRAM_LIMIT + 1), None);
        check(&"A=1\n".repeat(LINE_LIMIT + 1), None);
    }

    #[test]
    fn bytes_that_are_no_text_hurt_only_their_line() {
        let got = parse(b"STATUS=\xff\nREADY=1");
        assert_eq!(got, Some(Notification { ready: true, ..Notification::default() }));
    }
}
