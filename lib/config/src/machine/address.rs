//! Addresses of machines and networks.

use std::net::IpAddr;

use super::name;

/// `192.0.2.7/24`.
pub(super) fn network(text: &str) -> Result<(), String> {
    let holds = text.split_once('/').is_some_and(|(address, bits)| {
        let most = address.parse().map(|address: IpAddr| if address.is_ipv4() { 32 } else { 128 });
        most.is_ok_and(|most| bits.parse::<u8>().is_ok_and(|bits| bits <= most))
    });
    holds.then_some(()).ok_or_else(|| format!("`{text}` is no address with its network; write it like 192.0.2.7/24"))
}

/// `192.0.2.1`.
pub(super) fn host(text: &str) -> Result<(), String> {
    let holds = text.parse::<IpAddr>().is_ok();
    holds.then_some(()).ok_or_else(|| format!("`{text}` is no address; write it like 192.0.2.1 or 2001:db8::1"))
}

/// A server by name or address.
pub(super) fn server(text: &str) -> Result<(), String> {
    host(text).or_else(|_| name::host(text)).map_err(|_| format!("`{text}` is no name or address of a server"))
}

/// `https://updates.example.net/ashlar`.
pub(super) fn web(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").or(text.strip_prefix("http://"));
    let holds =
        rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(|c: char| c.is_whitespace() || c.is_control()));
    holds.then_some(()).ok_or_else(|| format!("`{text}` is no address that begins with https:// or http://"))
}

/// As [`web`], or `oci://registry.example.net/fleet/ashlar`: where updates are published.
pub(super) fn publisher(text: &str) -> Result<(), String> {
    let Some(rest) = text.strip_prefix("oci://").or(text.strip_prefix("oci+http://")) else {
        let other = |_| format!("`{text}` is no address that begins with https://, http:// or oci://");
        return web(text).map_err(other);
    };
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
    let holds = rest.split_once('/').is_some_and(|(host, name)| {
        (port(host).is_ok() || server(host).is_ok()) && !name.is_empty() && name.chars().all(plain)
    });
    let none =
        || format!("`{text}` is no address of a repository; write it like oci://registry.example.net/fleet/ashlar");
    holds.then_some(()).ok_or_else(none)
}

/// `127.0.0.1:5432`.
pub(super) fn port(text: &str) -> Result<(), String> {
    let holds = text.rsplit_once(':').is_some_and(|(host, port)| {
        let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        server(host).is_ok() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    holds.then_some(()).ok_or_else(|| format!("`{text}` is no address with a port; write it like 127.0.0.1:5432"))
}

/// `52:54:00:12:34:56`.
pub(super) fn hardware(text: &str) -> Result<(), String> {
    let octet = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let holds = text.split(':').count() == 6 && text.split(':').all(octet);
    holds.then_some(()).ok_or_else(|| format!("`{text}` is no hardware address; write it like 52:54:00:12:34:56"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let check = |rule: fn(&str) -> Result<(), String>, good: &[&str], bad: &[&str]| {
            for text in good {
                assert_eq!(rule(text), Ok(()), "{text}");
            }
            for text in bad {
                assert!(rule(text).is_err(), "{text}");
            }
        };
        check(network, &["192.0.2.7/24", "2001:db8::1/64"], &["", "192.0.2.7", "192.0.2.7/33", "x/1", "1.2.3.4/+1 "]);
        check(host, &["192.0.2.7", "::1"], &["", "a", "1.2.3", "1.2.3.4/8"]);
        check(server, &["ntp.example.net", "::1"], &["", "a b", "a\nb"]);
        check(web, &["https://a/b", "http://10.0.2.2:8080"], &["", "a", "ftp://a", "https://", "http://a b"]);
        let good = ["https://a/b", "oci://r.example.net/fleet/ashlar", "oci+http://10.0.2.100:5000/a"];
        check(
            publisher,
            &good,
            &["", "a", "oci://a", "oci://a/", "oci://a/B", "oci:///b", "oci://a:x/b", "oci+https://a/b"],
        );
        check(port, &["127.0.0.1:22", "[::1]:80", "db.example.net:5432"], &["", "127.0.0.1", "a:0", "a:x", ":80"]);
        check(hardware, &["52:54:00:12:34:56"], &["", "52:54:00:12:34", "52:54:00:12:34:5g", "525400123456"]);
    }
}
