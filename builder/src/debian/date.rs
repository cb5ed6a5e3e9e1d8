//! Points in time as archives write them (`Sat, 21 Nov 2026 09:15:44 UTC`) and as our files do
//! (`2026-11-21T09:15:44Z`). UTC only, whole seconds.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date(u64);

/// The text is no point in time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read a date: {0:?} is none")]
pub struct Error(String);

impl Date {
    /// Now, by this machine's clock.
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }

    /// From seconds since 1970.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970, as `SOURCE_DATE_EPOCH` wants them.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// Reads the form of `Release` files (RFC 5322 with the zone UTC, GMT or +0000).
    ///
    /// # Errors
    /// The text has another form, or names a day or time that is none.
    pub fn from_release(text: &str) -> Result<Self, Error> {
        let bad = || Error(text.chars().take(60).collect());
        let words: Vec<_> = text.split_whitespace().collect();
        let [_weekday, day, month, year, time, "UTC" | "GMT" | "+0000"] = words[..] else {
            return Err(bad());
        };
        let month = MONTHS.iter().position(|name| *name == month).ok_or_else(bad)? as u64 + 1;
        assemble([year, day].map(number), month, time).ok_or_else(bad)
    }

    /// Reads the form of our files.
    ///
    /// # Errors
    /// The text has another form, or names a day or time that is none.
    pub fn from_iso(text: &str) -> Result<Self, Error> {
        let read = || {
            let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
            let parts: Vec<_> = date.split('-').collect();
            let [year, month, day] = parts[..] else { return None };
            assemble([year, day].map(number), number(month)?, time)
        };
        read().ok_or_else(|| Error(text.chars().take(60).collect()))
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|c| c.is_ascii_digit()) && text.len() <= 4;
    digits.then(|| text.parse().ok())?
}

fn assemble([year, day]: [Option<u64>; 2], month: u64, time: &str) -> Option<Date> {
    let (year, day) = (year?, day?);
    let clock: Vec<_> = time.split(':').map(number).collect::<Option<_>>()?;
    let [hour, minute, second] = clock[..] else { return None };
    let valid = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !valid {
        return None;
    }
    let days = days_before_year(year) - days_before_year(1970) + days_before_month(year, month) + day - 1;
    Some(Date(days * 86_400 + hour * 3600 + minute * 60 + second))
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400)
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_before_month(year: u64, month: u64) -> u64 {
    (1..month).map(|month| days_in(year, month)).sum()
}

fn days_before_year(year: u64) -> u64 {
    let past = year.saturating_sub(1);
    past * 365 + past / 4 - past / 100 + past / 400
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut days, seconds) = (self.0 / 86_400, self.0 % 86_400);
        let mut year = 1970;
        while days >= 365 + u64::from(is_leap(year)) {
            days -= 365 + u64::from(is_leap(year));
            year += 1;
        }
        let month = (1..12).find(|&month| days < days_before_month(year, month + 1)).unwrap_or(12);
        let day = days - days_before_month(year, month) + 1;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl TryFrom<String> for Date {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        Self::from_iso(&text)
    }
}

impl From<Date> for String {
    fn from(date: Date) -> String {
        date.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_release_dates() {
        fn check(text: &str, expect: Option<&str>) {
            assert_eq!(Date::from_release(text).ok().map(|date| date.to_string()).as_deref(), expect, "{text}");
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

    #[test]
    fn reads_what_it_writes() {
        fn check(text: &str, seconds: Option<u64>) {
            let read = Date::from_iso(text);
            assert_eq!(read.as_ref().ok().map(|date| date.seconds()), seconds, "{text}");
            if let Ok(date) = read {
                assert_eq!(date.to_string(), text);
            }
        }
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-03-01T00:00:00Z", Some(951_868_800));
        check("2026-11-21T09:15:44Z", Some(1_795_252_544));
        check("2100-03-01T00:00:00Z", Some(4_107_542_400));
        check("2026-11-21 09:15:44Z", None);
        check("2026-13-01T00:00:00Z", None);
        check("x", None);
    }
}
