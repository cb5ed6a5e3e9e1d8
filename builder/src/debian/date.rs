//! Points in time as archives write them: `Sat, 21 Nov 2026 09:15:44 UTC`.

pub use ashlar_formats::date::{Date, Error};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads the form of `Release` files (RFC 5322 with the zone UTC, GMT or +0000).
///
/// # Errors
/// The text has another form, or names a day or time that is none.
pub fn from_release(text: &str) -> Result<Date, Error> {
    let read = || {
        let words: Vec<_> = text.split_whitespace().collect();
        let [_weekday, day, month, year, time, "UTC" | "GMT" | "+0000"] = words[..] else { return None };
        let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
        let clock: Vec<_> = time.split(':').map(number).collect::<Option<_>>()?;
        Date::from_parts([number(year)?, month, number(day)?], clock.try_into().ok()?)
    };
    read().ok_or_else(|| Error::of(text))
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_release_dates() {
        fn check(text: &str, expect: Option<&str>) {
            assert_eq!(from_release(text).ok().map(|date| date.to_string()).as_deref(), expect, "{text}");
        }
        check("Sat, 21 Nov 2026 09:15:44 UTC", Some("2026-11-21T09:15:44Z"));
        check("Thu, 01 Jan 1970 00:00:00 +0000", Some("1970-01-01T00:00:00Z"));
        check("Thu, 29 Feb 2024 23:59:59 GMT", Some("2024-02-29T23:59:59Z"));
        check("Thu, 31 Dec 2026 1:2:3 UTC", Some("2026-12-31T01:02:03Z"));
        check("Wed, 29 Feb 2023 00:00:00 UTC", None);
        check("Sat, 21 Nov 2026 09:15:44 CET", None);
        check("Sat, 21 Nov 2026 24:00:00 UTC", None);
        check("Sat, 21 Nov 1926 00:00:00 UTC", None);
        check("Sat, 00 Nov 2026 00:00:00 UTC", None);
        check("", None);
    }
}
