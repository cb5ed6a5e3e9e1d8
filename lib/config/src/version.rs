//! The order of versions, as the boot loader sees it (UAPI Group, "Version Format Specification"; systemd-boot sorts its
//! entries so). Whoever asks which of two releases is newer has to mean what the loader means.
//!
//! `~` is older than nothing at all, nothing older than `-`, that older than `^`, that older than `.`; numbers are
//! compared as numbers and are newer than letters.

use std::cmp::Ordering;

/// Compares two versions.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        (a, b) = (known(a), known(b));
        if let Some(order) = mark(&mut a, &mut b, b'~') {
            return order;
        }
        if a.is_empty() || b.is_empty() {
            return a.len().cmp(&b.len());
        }
        for separator in *b"-^." {
            if let Some(order) = mark(&mut a, &mut b, separator) {
                return order;
            }
        }
        let order = match starts_with_digit(a) || starts_with_digit(b) {
            true => numbers(take(&mut a, u8::is_ascii_digit), take(&mut b, u8::is_ascii_digit)),
            false => take(&mut a, u8::is_ascii_alphabetic).cmp(take(&mut b, u8::is_ascii_alphabetic)),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// What stands before the first byte that means something.
fn known(text: &[u8]) -> &[u8] {
    let counts = |byte: &u8| byte.is_ascii_alphanumeric() || b"-~^.".contains(byte);
    &text[text.iter().position(counts).unwrap_or(text.len())..]
}

/// A separator at the beginning of one only makes it the older one; of both it is skipped.
fn mark<'t>(a: &mut &'t [u8], b: &mut &'t [u8], separator: u8) -> Option<Ordering> {
    let [first, second] = [&mut *a, &mut *b].map(|text| {
        let found = text.first() == Some(&separator);
        if found {
            *text = &text[1..];
        }
        found
    });
    (first != second).then_some(second.cmp(&first))
}

fn starts_with_digit(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_digit)
}

fn take<'a>(text: &mut &'a [u8], counts: fn(&u8) -> bool) -> &'a [u8] {
    let (taken, rest) = text.split_at(text.iter().position(|byte| !counts(byte)).unwrap_or(text.len()));
    *text = rest;
    taken
}

/// Without their zeros the longer one is the larger.
fn numbers(a: &[u8], b: &[u8]) -> Ordering {
    let [a, b] = [a, b].map(|digits| &digits[digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len())..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders() {
        // Each row from the oldest to the newest.
        fn check(row: &[&str]) {
            for (i, a) in row.iter().enumerate() {
                for (j, b) in row.iter().enumerate() {
                    assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
                }
            }
        }
        check(&["~1", "", "1"]);
        check(&["0.1.9", "0.1.10", "0.2", "0.2.0", "1"]);
        check(&["1.0~rc1", "1.0~rc2", "1.0", "1.0-1", "1.0^1", "1.0.1"]);
        check(&["abc-5", "abc^5", "abc.5", "abc5"]);
        check(&["122.A", "122.a", "122.1", "123"]);
        check(&["2026.11.9", "2026.11.25"]);
    }

    #[test]
    fn equals() {
        let check = |a, b| assert_eq!(compare(a, b), Ordering::Equal, "{a} {b}");
        check("1.2", "1.2");
        check("1.02", "1.2");
        check("1_2", "1/2");
        check("", "");
    }
}
