//! Points in time as files write them: `2026-11-21T09:15:44Z`. UTC only, whole seconds.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Seconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Date(u64);

/// The text is no point in time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read a date: {0:?} is none")]
pub struct Error(String);

impl Error {
    /// For other forms of dates.
    pub fn of(text: &str) -> Self {
        Self(text.chars().take(60).collect())
    }
}

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

    /// From a calendar's day and a clock's time, where there is such a day since 1970.
    pub fn from_parts([year, month, day]: [u64; 3], [hour, minute, second]: [u64; 3]) -> Option<Self> {
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
        Some(Self(days * 86_400 + hour * 3600 + minute * 60 + second))
    }

    /// Reads that form, and no other.
    ///
    /// # Errors
    /// The text has another form, or names a day or time that is none.
    pub fn from_iso(text: &str) -> Result<Self, Error> {
        let read = || {
            let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
            Self::from_parts(numbers(date, '-')?, numbers(time, ':')?).filter(|read| read.to_string() == text)
        };
        read().ok_or_else(|| Error::of(text))
    }
}

/// Three numbers.
fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let read = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?;
    text.split(separator).map(read).collect::<Option<Vec<u64>>>()?.try_into().ok()
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
        check("2026-11-21T9:15:44Z", None);
        check("2026-02-29T00:00:00Z", None);
        check("2026-11-21T24:00:00Z", None);
        check("2026-13-01T00:00:00Z", None);
        check("x", None);
    }
}
