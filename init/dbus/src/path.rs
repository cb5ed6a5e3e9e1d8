//! Object paths: a unit's name with everything escaped that a path cannot have (systemd's bus_path_encode).

/// The manager.
pub const MANAGER: &str = "/org/freedesktop/systemd1";
/// What systemctl log-level talks to.
pub const LOG_CONTROL: &str = "/org/freedesktop/LogControl1";

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A folder on the way to the others.
    Folder,
    Manager,
    LogControl,
    /// By name, by the number of one of its runs, or `self`: the caller's own.
    Unit(String),
    Job(u32),
}

/// A unit's path.
pub fn unit(name: &str) -> String {
    format!("{MANAGER}/unit/{}", escape(name))
}

/// A job's path.
pub fn job(id: u32) -> String {
    format!("{MANAGER}/job/{id}")
}

/// The object of a path.
pub fn parse(path: &str) -> Option<Object> {
    match path {
        MANAGER => return Some(Object::Manager),
        LOG_CONTROL => return Some(Object::LogControl),
        "/" | "/org" | "/org/freedesktop" | "/org/freedesktop/systemd1/unit" | "/org/freedesktop/systemd1/job" => {
            return Some(Object::Folder);
        }
        _ => {}
    }
    let (kind, name) = path.strip_prefix(MANAGER)?.strip_prefix('/')?.split_once('/')?;
    match kind {
        "unit" => unescape(name).map(Object::Unit),
        "job" => name.parse().ok().map(Object::Job),
        _ => None,
    }
}

/// Letters and digits stay, but no digit in first place.
pub fn escape(name: &str) -> String {
    if name.is_empty() {
        return "_".to_owned();
    }
    let mut path = String::with_capacity(name.len() + 16);
    for (at, byte) in name.bytes().enumerate() {
        let plain = byte.is_ascii_alphabetic() || (at > 0 && byte.is_ascii_digit());
        if plain {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("_{byte:02x}"));
        }
    }
    path
}

/// The name that [`escape`] made this of.
pub fn unescape(element: &str) -> Option<String> {
    if element == "_" {
        return Some(String::new());
    }
    let (mut bytes, mut rest) = (Vec::with_capacity(element.len()), element.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'_' {
            let digits = str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        let check = |name: &str, path: &str| {
            assert_eq!(escape(name), path);
            assert_eq!(unescape(path).as_deref(), Some(name));
        };
        check("a-1.service", "a_2d1_2eservice");
        check(r"\x2d", "_5cx2d");
        check("1.mount", "_31_2emount");
        check("", "_");
        assert_eq!(unescape("_zz"), None);
        assert_eq!(unescape("a_2"), None);
    }

    #[test]
    fn what_paths_name() {
        let check = |path: &str, expect| assert_eq!(parse(path), expect, "{path}");
        check("/org/freedesktop/systemd1", Some(Object::Manager));
        check("/org/freedesktop/systemd1/unit/ssh_2eservice", Some(Object::Unit("ssh.service".into())));
        check("/org/freedesktop/systemd1/job/7", Some(Object::Job(7)));
        check("/org/freedesktop/systemd1/job/x", None);
        check("/org/freedesktop/systemd1/unit", Some(Object::Folder));
        check("/org", Some(Object::Folder));
        check("/nonsense", None);
    }
}
