//! Values of directives: the words, numbers, times and sizes that systemd.syntax(7) and its kin have.

use serde::de::DeserializeOwned;

use crate::quantity::{Size, Span};

/// `yes`, `true`, `on`, `1` and their opposites, in any case.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Ok(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Ok(false),
        _ => Err(format!("`{text}` is neither yes nor no")),
    }
}

/// A span of time; a number without a unit is seconds.
pub fn span(text: &str) -> Result<Span, String> {
    Span::parse(text)
}

/// A span of time of which 0 means none: a time-out.
pub fn timeout(text: &str) -> Result<Span, String> {
    span(text).map(|span| if span.0 == 0 { Span::INFINITY } else { span })
}

/// A size in bytes, its suffixes powers of 1024; `infinity` is the largest number.
pub fn size(text: &str) -> Result<u64, String> {
    Size::parse(text).map(|size| size.0)
}

/// A size, or a share in percent of `whole`.
pub fn size_or_share(text: &str, whole: u64) -> Result<u64, String> {
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent: f64 = percent.trim().parse().map_err(|_| format!("`{text}` is no share"))?;
            Ok((whole as f64 * percent / 100.0) as u64)
        }
        None => size(text),
    }
}

/// Any number that the standard library reads.
pub fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is no number that fits"))
}

/// Permissions in octal digits.
pub fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| format!("`{text}` is no octal number of permissions"))
}

/// One of the words of a type.
pub fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let value = serde_json::from_value(serde_json::Value::from(text));
    value.map_err(|_| format!("`{text}` is not one of its words"))
}

/// An absolute path without `..`, without slashes that say nothing.
pub fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err(format!("`{text}` is no absolute path"));
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(format!("`{text}` leads upwards"));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// A list of numbers and ranges: `0-3 5`.
pub fn numbers(text: &str) -> Result<Vec<u32>, String> {
    let mut list = Vec::new();
    for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last): (u32, u32) = (number(first)?, number(last)?);
        if last < first || last > 8191 {
            return Err(format!("`{word}` is no range of numbers"));
        }
        list.extend(first..=last);
    }
    list.sort_unstable();
    list.dedup();
    Ok(list)
}

/// Exit codes by their names (systemd.exec(5), "Process Exit Codes").
const EXIT_NAMES: [(&str, i32); 25] = [
    ("SUCCESS", 0),
    ("FAILURE", 1),
    ("INVALIDARGUMENT", 2),
    ("NOTIMPLEMENTED", 3),
    ("NOPERMISSION", 4),
    ("NOTINSTALLED", 5),
    ("NOTCONFIGURED", 6),
    ("NOTRUNNING", 7),
    ("USAGE", 64),
    ("DATAERR", 65),
    ("NOINPUT", 66),
    ("NOUSER", 67),
    ("NOHOST", 68),
    ("UNAVAILABLE", 69),
    ("SOFTWARE", 70),
    ("OSERR", 71),
    ("OSFILE", 72),
    ("CANTCREAT", 73),
    ("IOERR", 74),
    ("TEMPFAIL", 75),
    ("PROTOCOL", 76),
    ("NOPERM", 77),
    ("CONFIG", 78),
    ("CHDIR", 200),
    ("EXEC", 203),
];

/// Exit codes, and signals that end a process.
pub fn exit_statuses(text: &str) -> Result<(Vec<i32>, Vec<i32>), String> {
    let (mut codes, mut signals) = (Vec::new(), Vec::new());
    for word in text.split_ascii_whitespace() {
        let named = EXIT_NAMES.iter().find(|(name, _)| *name == word).map(|(_, code)| *code);
        if let Some(code) = named.or_else(|| word.parse().ok().filter(|code| (0..=255).contains(code))) {
            codes.push(code);
        } else if let Ok(signal) = crate::unit::Signal::parse(word) {
            signals.push(signal.0);
        } else {
            return Err(format!("`{word}` is neither an exit code nor a signal"));
        }
    }
    Ok((codes, signals))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let spans = |text: &str, expect: Option<u64>| assert_eq!(span(text).ok().map(|s| s.0), expect, "{text}");
        spans("5", Some(5_000_000));
        spans("1min 30s", Some(90_000_000));
        spans("1.5h", Some(5_400_000_000));
        spans("2w", Some(1_209_600_000_000));
        spans("infinity", Some(u64::MAX));
        spans("", None);
        spans("5 parsecs", None);
        assert_eq!(timeout("0"), Ok(Span::INFINITY));
        let sizes = |text: &str, expect: Option<u64>| assert_eq!(size(text).ok(), expect, "{text}");
        sizes("512M", Some(512 << 20));
        sizes("1.5G", Some(3 << 29));
        sizes("4096", Some(4096));
        sizes("infinity", Some(u64::MAX));
        sizes("x", None);
        assert_eq!(size_or_share("25%", 400), Ok(100));
        let paths = |text: &str, expect: Option<&str>| assert_eq!(path(text).ok().as_deref(), expect, "{text}");
        paths("/a//b/./", Some("/a/b"));
        paths("/", Some("/"));
        paths("a", None);
        paths("/a/../b", None);
        assert_eq!(numbers("0-2 5,7"), Ok(vec![0, 1, 2, 5, 7]));
        assert!(numbers("3-1").is_err());
        assert_eq!(exit_statuses("0 TEMPFAIL SIGKILL 143"), Ok((vec![0, 75, 143], vec![9])));
        assert!(exit_statuses("nonsense").is_err());
        assert_eq!((boolean("Yes"), boolean("0")), (Ok(true), Ok(false)));
        assert_eq!((mode("0755"), mode("9").is_err()), (Ok(0o755), true));
    }
}
