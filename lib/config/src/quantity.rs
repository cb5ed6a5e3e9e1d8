//! Spans of time and sizes as people write them: `"1min 30s"`, `"64M"`.

use serde::{Deserialize, Deserializer, Serialize};

/// A span of time in microseconds; `u64::MAX` is "infinity", as on systemd's bus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Span(pub u64);

/// A size in bytes; `u64::MAX` is "infinity".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Size(pub u64);

/// Units of time (systemd.time(7)), in microseconds.
const SPAN_UNITS: [(&[&str], f64); 9] = [
    (&["us", "usec", "µs", "μs"], 1.0),
    (&["ms", "msec"], 1e3),
    (&["", "s", "sec", "second", "seconds"], 1e6),
    (&["m", "min", "minute", "minutes"], 60e6),
    (&["h", "hr", "hour", "hours"], 3600e6),
    (&["d", "day", "days"], 86_400e6),
    (&["w", "week", "weeks"], 604_800e6),
    (&["M", "month", "months"], 2_629_800e6),
    (&["y", "year", "years"], 31_557_600e6),
];

impl Span {
    /// No end.
    pub const INFINITY: Self = Self(u64::MAX);

    /// A span of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// As the standard library's type, `None` for infinity.
    pub fn duration(self) -> Option<std::time::Duration> {
        (self != Self::INFINITY).then(|| std::time::Duration::from_micros(self.0))
    }

    /// Reads `"1min 30s"`, `"500ms"`, `"90"` (seconds) or `"infinity"` (systemd.time(7)).
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "infinity" {
            return Ok(Self::INFINITY);
        }
        let mistake = || format!("`{text}` is no span of time; write it like 500ms, 90s, 1min 30s, 2h or infinity");
        let (mut rest, mut total) = (text, 0f64);
        if rest.is_empty() {
            return Err(mistake());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
            let number: f64 = rest[..digits].parse().map_err(|_| mistake())?;
            rest = rest[digits..].trim_start();
            let letters = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
            let unit = &rest[..letters];
            total += number * SPAN_UNITS.iter().find(|(names, _)| names.contains(&unit)).ok_or_else(mistake)?.1;
            rest = rest[letters..].trim_start();
        }
        // Some 580,000 years are more than the largest number.
        if total >= 1.8e19 { Err(mistake()) } else { Ok(Self(total.round() as u64)) }
    }
}

impl Size {
    /// No limit.
    pub const INFINITY: Self = Self(u64::MAX);

    /// Reads `"64M"`, `"1G"`, `"4096"` or `"infinity"`; suffixes are powers of 1024.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "infinity" {
            return Ok(Self::INFINITY);
        }
        let mistake = || format!("`{text}` is no size; write it like 4096, 512K, 64M, 2G or infinity");
        let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let number: f64 = text[..digits].parse().map_err(|_| mistake())?;
        let suffix = text[digits..].trim();
        let suffix =
            suffix.strip_suffix("iB").filter(|rest| !rest.is_empty()).or(suffix.strip_suffix('B')).unwrap_or(suffix);
        let power = ["", "K", "M", "G", "T", "P"].iter().position(|known| *known == suffix).ok_or_else(mistake)?;
        let bytes = number * 1024f64.powi(power as i32);
        if bytes >= 9e18 { Err(mistake()) } else { Ok(Self(bytes as u64)) }
    }
}

/// A number or the text that a person wrote: the resolved form ships as a number, the written one as text.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(n) => Ok(Self(n)),
            NumberOrText::Text(text) => Self::parse(&text).map_err(serde::de::Error::custom),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Number(n) => Ok(Self(n)),
            NumberOrText::Text(text) => Self::parse(&text).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        let check = |input, expect| assert_eq!(Span::parse(input).ok(), expect, "{input}");
        check("90", Some(Span::seconds(90)));
        check("1min 30s", Some(Span::seconds(90)));
        check("500ms", Some(Span(500_000)));
        check("infinity", Some(Span::INFINITY));
        check("", None);
        check("5 parsecs", None);
        check("99999999999999999999s", None);
    }

    #[test]
    fn sizes() {
        let check = |input, expect| assert_eq!(Size::parse(input).ok(), expect, "{input}");
        check("4096", Some(Size(4096)));
        check("64M", Some(Size(64 << 20)));
        check("1GiB", Some(Size(1 << 30)));
        check("M", None);
        check("99999999999T", None);
    }
}
