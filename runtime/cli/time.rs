//! Moments as text (RFC 3339, in UTC).

use ashlar_sys::clock;

/// Now.
pub fn now() -> String {
    text(clock::real())
}

/// A moment by microseconds since the epoch.
fn text(micros: u64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let [year, month, day, hour, minute, second] = clock::utc(seconds as i64).unwrap_or_default();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let check = |seconds: u64, expect: &str| assert_eq!(text(seconds * 1_000_000 + 7), expect);
        check(0, "1970-01-01T00:00:00.000007Z");
        check(951_868_799, "2000-02-29T23:59:59.000007Z");
        check(1_798_761_599, "2026-12-31T23:59:59.000007Z");
    }
}
