//! Specifiers: `%i` and the like (systemd.unit(5), "Specifiers").

/// What is the same for all units of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// `%H`, `%l` up to its first dot.
    pub name: String,
    /// `%m`
    pub machine_id: String,
    /// `%b`
    pub boot_id: String,
    /// `%v`
    pub kernel: String,
    /// `%a`, by systemd's name: `x86-64`, `arm64`.
    pub architecture: String,
    /// Fields of os-release: `%o`, `%w`, `%B`, `%M`, `%A`, `%W`.
    pub os_release: Vec<(String, String)>,
}

/// What specifiers of one unit stand for.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Full name.
    pub unit: &'a str,
    /// The file that it is written in; `%y`, `%Y`.
    pub fragment: &'a str,
    /// The machine.
    pub host: &'a Host,
}

/// The part of a name before `@` (or the suffix), and the instance.
pub fn parts(unit: &str) -> (&str, &str) {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    stem.split_once('@').unwrap_or((stem, ""))
}

/// Undoes the escaping of names (systemd-escape(1)).
pub fn unescape(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = rest.strip_prefix(br"\x").and_then(|tail| std::str::from_utf8(tail.get(..2)?).ok());
        match (code.and_then(|code| u8::from_str_radix(code, 16).ok()), first) {
            (Some(byte), _) => {
                bytes.push(byte);
                rest = &rest[4..];
                continue;
            }
            (None, b'-') => bytes.push(b'/'),
            (None, byte) => bytes.push(*byte),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The path that an escaped name stands for.
pub fn unescape_path(name: &str) -> String {
    if name == "-" { "/".into() } else { format!("/{}", unescape(name)) }
}

/// The name that a path has in a unit's name (systemd-escape --path).
pub fn escape_path(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() {
        return "-".into();
    }
    let mut name = String::new();
    for (at, byte) in parts.join("/").bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name += r"\x2e",
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => name.push(char::from(byte)),
            other => name += &format!(r"\x{other:02x}"),
        }
    }
    name
}

impl Context<'_> {
    /// Puts in what the specifiers of `text` stand for.
    pub fn expand(&self, text: &str) -> Result<String, String> {
        let (mut out, mut chars) = (String::new(), text.chars());
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('%') => out.push('%'),
                // A lone one at the end, or before something that is none, is left.
                None => out.push('%'),
                Some(c) if c.is_ascii_alphabetic() => match self.value(c) {
                    Some(value) => out += &value,
                    None => return Err(format!("specifier %{c} is not known")),
                },
                Some(c) => out.extend(['%', c]),
            }
        }
        Ok(out)
    }

    fn value(&self, letter: char) -> Option<String> {
        let (prefix, instance) = parts(self.unit);
        let stem = self.unit.rsplit_once('.').map_or(self.unit, |(stem, _)| stem);
        let last = |text: &str| text.rsplit('-').next().unwrap_or_default().to_owned();
        let host = self.host;
        let release = |key: &str| {
            Some(host.os_release.iter().find(|(name, _)| name == key).map_or(String::new(), |(_, value)| value.clone()))
        };
        let folder = |path: &str| Some(path.to_owned());
        match letter {
            'n' => Some(self.unit.to_owned()),
            'N' => Some(stem.to_owned()),
            'p' => Some(prefix.to_owned()),
            'P' => Some(unescape(prefix)),
            'i' => Some(instance.to_owned()),
            'I' => Some(unescape(instance)),
            'j' => Some(last(prefix)),
            'J' => Some(unescape(&last(prefix))),
            'f' if instance.is_empty() => Some(unescape_path(prefix)),
            'f' => Some(unescape_path(instance)),
            'y' => Some(self.fragment.to_owned()),
            'Y' => Some(self.fragment.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned()),
            'H' | 'q' => Some(host.name.clone()),
            'l' => Some(host.name.split('.').next().unwrap_or_default().to_owned()),
            'm' => Some(host.machine_id.clone()),
            'b' => Some(host.boot_id.clone()),
            'v' => Some(host.kernel.clone()),
            'a' => Some(host.architecture.clone()),
            'o' => release("ID"),
            'w' => release("VERSION_ID"),
            'B' => release("BUILD_ID"),
            'W' => release("VARIANT_ID"),
            'M' => release("IMAGE_ID"),
            'A' => release("IMAGE_VERSION"),
            // Of the system manager all of these are root's.
            'u' | 'g' => folder("root"),
            'U' | 'G' => folder("0"),
            'h' => folder("/root"),
            's' => folder("/bin/bash"),
            't' => folder("/run"),
            'S' => folder("/var/lib"),
            'C' => folder("/var/cache"),
            'L' => folder("/var/log"),
            'E' => folder("/etc"),
            'D' => folder("/usr/local/share"),
            'T' => folder("/tmp"),
            'V' => folder("/var/tmp"),
            'd' => Some(format!("/run/credentials/{}", self.unit)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers() {
        let host = Host { name: "a.b".into(), os_release: vec![("ID".into(), "ashlar".into())], ..Host::default() };
        let context = Context { unit: r"foo-bar@x-y\x2dz.service", fragment: "/etc/u/foo-bar@.service", host: &host };
        let check = |text: &str, expect: &str| assert_eq!(context.expand(text).unwrap(), expect, "{text}");
        check("%n|%N", r"foo-bar@x-y\x2dz.service|foo-bar@x-y\x2dz");
        check("%p|%P|%j", "foo-bar|foo/bar|bar");
        check("%i|%I|%f", r"x-y\x2dz|x/y-z|/x/y-z");
        check("%H %l %o %t %Y", "a.b a ashlar /run /etc/u");
        check("100%% 5% %", "100% 5% %");
        assert!(context.expand("%Z").is_err());
    }

    #[test]
    fn paths_as_names() {
        let check = |path: &str, name: &str| {
            assert_eq!(escape_path(path), name, "{path}");
            assert_eq!(unescape_path(name), path, "{name}");
        };
        check("/", "-");
        check("/var/lib/data", "var-lib-data");
        check("/srv/a-b", r"srv-a\x2db");
        check("/.x", r"\x2ex");
    }
}
