//! Package versions and their order (Debian Policy 5.6.12, deb-version(7)).

use std::cmp::Ordering;
use std::fmt;

/// `[epoch:]upstream[-revision]`, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Version<'a> {
    epoch: u32,
    upstream: &'a str,
    revision: &'a str,
    text: &'a str,
}

/// The text is no version.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read a version: {0:?} is none")]
pub struct Error(pub String);

impl<'a> Version<'a> {
    /// Reads a version.
    ///
    /// # Errors
    /// An epoch that is no number, an empty part, or characters that Policy does not allow.
    pub fn parse(text: &'a str) -> Result<Self, Error> {
        let bad = || Error(text.chars().take(80).collect());
        let (epoch, rest) = match text.split_once(':') {
            Some((epoch, rest)) if epoch.bytes().all(|c| c.is_ascii_digit()) => {
                (epoch.parse().map_err(|_| bad())?, rest)
            }
            Some(_) => return Err(bad()),
            None => (0, text),
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            Some((_, "")) => return Err(bad()),
            Some(parts) => parts,
            None => (rest, ""),
        };
        let allowed = |c: u8| c.is_ascii_alphanumeric() || b".+~-:".contains(&c);
        let starts = upstream.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if !starts || !rest.bytes().all(allowed) {
            return Err(bad());
        }
        Ok(Self { epoch, upstream, revision, text })
    }
}

impl Ord for Version<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let upstream = || compare(self.upstream.as_bytes(), other.upstream.as_bytes());
        let revision = || compare(self.revision.as_bytes(), other.revision.as_bytes());
        self.epoch.cmp(&other.epoch).then_with(upstream).then_with(revision)
    }
}

impl PartialOrd for Version<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Version<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Version<'_> {}

impl fmt::Display for Version<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

/// Compares by turns what is no number, then what is one, from the left.
fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (a_text, a_rest) = split(a, |c| !c.is_ascii_digit());
        let (b_text, b_rest) = split(b, |c| !c.is_ascii_digit());
        let (a_number, a_next) = split(a_rest, |c| c.is_ascii_digit());
        let (b_number, b_next) = split(b_rest, |c| c.is_ascii_digit());
        let order = by_text(a_text, b_text).then_with(|| by_number(a_number, b_number));
        if order.is_ne() {
            return order;
        }
        (a, b) = (a_next, b_next);
    }
    Ordering::Equal
}

fn split(text: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    text.split_at(text.iter().position(|c| !belongs(c)).unwrap_or(text.len()))
}

/// Tilde before the end, the end before letters, letters before the rest.
fn by_text(a: &[u8], b: &[u8]) -> Ordering {
    let rank = |text: &[u8], at: usize| match text.get(at) {
        Some(b'~') => -1,
        None => 0,
        Some(c) if c.is_ascii_alphabetic() => i32::from(*c),
        Some(c) => 256 + i32::from(*c),
    };
    let length = a.len().max(b.len());
    (0..length).map(|at| rank(a, at).cmp(&rank(b, at))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// Numbers of any length, without turning them into integers.
fn by_number(a: &[u8], b: &[u8]) -> Ordering {
    let (_, a) = split(a, |&c| c == b'0');
    let (_, b) = split(b, |&c| c == b'0');
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_as_policy_says() {
        fn check(a: &str, expect: Ordering, b: &str) {
            let (a, b) = (Version::parse(a).unwrap(), Version::parse(b).unwrap());
            assert_eq!(a.cmp(&b), expect, "{a} against {b}");
            assert_eq!(b.cmp(&a), expect.reverse(), "{b} against {a}");
        }
        use Ordering::{Equal, Greater, Less};
        check("1", Equal, "1");
        check("0:1", Equal, "1");
        check("1-0", Equal, "1");
        check("01.002", Equal, "1.2");
        check("1.9", Less, "1.10");
        check("1~rc1", Less, "1");
        check("1~~", Less, "1~~a");
        check("1~~a", Less, "1~");
        check("1", Less, "1a");
        check("1a", Less, "1+");
        check("1.a", Less, "1.+");
        check("1:0.1", Greater, "9");
        check("2.41-12+deb13u5", Greater, "2.41-12+deb13u4");
        check("2.41-12+deb13u5", Less, "2.41-12+deb13u10");
        check("6.12.117-1", Greater, "6.12.9-1");
        check("1.0-1", Less, "1.0-1+b1");
        check("1.2-3-4", Greater, "1.2-3-3");
        check("20250520000000000000001", Greater, "20250520000000000000000");
        check("1.0", Less, "1.0-1");
        check("7.0~", Less, "7.0~beta3");
    }

    #[test]
    fn refuses_what_is_none() {
        fn check(text: &str) {
            assert_eq!(Version::parse(text).unwrap_err(), Error(text.to_owned()));
        }
        check("");
        check("1:");
        check("a:1");
        check("-1:1");
        check("99999999999:1");
        check("1-");
        check("-1");
        check("~1");
        check("1 2");
        check("1_2");
        check("1é");
    }
}
