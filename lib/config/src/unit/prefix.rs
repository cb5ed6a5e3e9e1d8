//! Ranges of addresses (systemd.resource-control(5), IPAddressAllow=).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// All addresses that begin with the same bits. The others of `address` are 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Prefix {
    /// The first of them.
    pub address: IpAddr,
    /// How many bits.
    pub bits: u8,
}

/// Names of well-known ranges: in IPv4 and in IPv6.
const NAMED: [(&str, [&str; 2]); 4] = [
    ("any", ["0.0.0.0/0", "::/0"]),
    ("localhost", ["127.0.0.0/8", "::1/128"]),
    ("link-local", ["169.254.0.0/16", "fe80::/64"]),
    ("multicast", ["224.0.0.0/4", "ff00::/8"]),
];

impl Prefix {
    /// The range of an address that begins with these bits.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) if bits <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                Ipv4Addr::from(u32::from(v4) & mask).into()
            }
            IpAddr::V6(v6) if bits <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                Ipv6Addr::from(u128::from(v6) & mask).into()
            }
            _ => return None,
        };
        Some(Self { address, bits })
    }

    /// An address, `ADDRESS/BITS`, or a name, which may stand for several.
    pub fn named(word: &str) -> Result<Vec<Self>, String> {
        match NAMED.iter().find(|(name, _)| *name == word) {
            Some((_, ranges)) => ranges.iter().map(|range| range.parse()).collect(),
            None => word.parse().map(|prefix| vec![prefix]),
        }
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no address or range of addresses");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(whole), str::parse).map_err(|_| wrong())?;
        Self::new(address, bits).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Prefix {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let check = |word: &str, expect: &[&str]| {
            let got = Prefix::named(word).unwrap_or_default();
            assert_eq!(got.iter().map(Prefix::to_string).collect::<Vec<_>>(), expect, "{word}");
        };
        check("any", &["0.0.0.0/0", "::/0"]);
        check("localhost", &["127.0.0.0/8", "::1/128"]);
        check("10.1.2.3/8", &["10.0.0.0/8"]);
        check("10.1.2.3", &["10.1.2.3/32"]);
        check("fe80::1:2/64", &["fe80::/64"]);
        check("10.0.0.0/33", &[]);
        check("nonsense", &[]);
    }
}
