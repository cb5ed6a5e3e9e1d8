//! Values as people read them, and JSON.

use std::io::Write;

use serde::Serialize;

/// Prints a value as JSON, indented.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    Ok(writeln!(std::io::stdout().lock(), "{text}")?)
}

/// Prints text as it is.
pub fn text(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

/// A span of time in its two largest units: `3 d 4 h`.
pub fn span(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(parts.len() - 1);
    let shown = parts[first..].iter().take(2).enumerate().filter(|(at, (count, _))| *at == 0 || *count > 0);
    shown.map(|(_, (count, unit))| format!("{count} {unit}")).collect::<Vec<_>>().join(" ")
}

/// Microseconds, short.
pub fn duration(usec: u64) -> String {
    match usec {
        0..1_000_000 => format!("{} ms", usec / 1000),
        1_000_000..60_000_000 => format!("{}.{:02} s", usec / 1_000_000, usec / 10_000 % 100),
        _ => span(usec / 1_000_000),
    }
}

/// Bytes with three digits at most.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["K", "M", "G", "T", "P"];
    let (mut value, mut unit) = (bytes.div_ceil(1024), 0);
    while value >= 1000 && unit + 1 < UNITS.len() {
        value = value.div_ceil(1024);
        unit += 1;
    }
    format!("{value}{}", UNITS[unit])
}

/// How many, with the right form of the word.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let check = |got: String, expect: &str| assert_eq!(got, expect);
        check(span(0), "0 s");
        check(span(59), "59 s");
        check(span(60), "1 min");
        check(span(3_725), "1 h 2 min");
        check(span(86_400 * 3 + 70), "3 d");
        check(duration(12_345), "12 ms");
        check(duration(2_345_678), "2.34 s");
        check(duration(61_000_000), "1 min 1 s");
        check(size(0), "0K");
        check(size(1), "1K");
        check(size(5 << 20), "5M");
        check(size(1_000_000), "977K");
        check(size(3 << 30), "3G");
        check(count(1, "unit", "units"), "1 unit");
        check(count(0, "unit", "units"), "0 units");
    }
}
