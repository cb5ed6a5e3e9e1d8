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

const SPAN_UNITS: [(&str, u64); 14] = [
    ("us", 1),
    ("usec", 1),
    ("ms", 1_000),
    ("msec", 1_000),
    ("s", 1_000_000),
    ("sec", 1_000_000),
    ("m", 60_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
    ("hr", 3_600_000_000),
    ("d", 86_400_000_000),
    ("day", 86_400_000_000),
    ("days", 86_400_000_000),
    ("w", 604_800_000_000),
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
        let mut total = 0u64;
        let mut rest = text;
        if rest.is_empty() {
            return Err(mistake());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let number: u64 = rest[..digits].parse().map_err(|_| mistake())?;
            rest = rest[digits..].trim_start();
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let factor = match &rest[..letters] {
                "" => 1_000_000,
                unit => SPAN_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(mistake)?.1,
            };
            rest = rest[letters..].trim_start();
            total = number.checked_mul(factor).and_then(|n| n.checked_add(total)).ok_or_else(mistake)?;
        }
        Ok(Self(total))
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
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| mistake())?;
        let shift = match text[digits..].trim() {
            "" | "B" => 0,
            "K" | "KiB" => 10,
            "M" | "MiB" => 20,
            "G" | "GiB" => 30,
            "T" | "TiB" => 40,
            _ => return Err(mistake()),
        };
        number.checked_mul(1 << shift).map(Self).ok_or_else(mistake)
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
