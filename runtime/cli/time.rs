//! Moments as text (RFC 3339, in UTC).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Now.
pub fn now() -> String {
    text(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A moment by its distance from the epoch.
fn text(since: Duration) -> String {
    let seconds = since.as_secs();
    let (year, month, day) = date((seconds / 86_400) as i64);
    let clock = seconds % 86_400;
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:09}Z", since.subsec_nanos())
}

/// The date of a day after the epoch, in the proleptic Gregorian calendar. Years begin in March here, so that the day
/// that some years have more is the last.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let check = |seconds, expect: &str| assert_eq!(text(Duration::new(seconds, 7)), expect);
        check(0, "1970-01-01T00:00:00.000000007Z");
        check(951_868_799, "2000-02-29T23:59:59.000000007Z");
        check(951_868_800, "2000-03-01T00:00:00.000000007Z");
        check(1_798_761_599, "2026-12-31T23:59:59.000000007Z");
    }
}
