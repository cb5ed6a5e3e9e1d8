//! What names have to look like.

/// Longest host name that the kernel takes.
const HOST: usize = 64;
const LABEL: usize = 63;
/// Longest name of a user or group that all tools take.
const USER: usize = 31;

/// A host name: labels of letters, digits and hyphens (RFC 1123, section 2.1).
pub(super) fn host(text: &str) -> Result<(), String> {
    let label = |label: &str| {
        (1..=LABEL).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let holds = text.len() <= HOST && text.split('.').all(label);
    holds.then_some(()).ok_or_else(|| {
        format!("`{text}` is no host name: letters, digits and hyphens, with dots between, at most {HOST}")
    })
}

/// A user's or group's name, as useradd(8) takes it.
pub(super) fn user(text: &str) -> Result<(), String> {
    let holds = (1..=USER).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte));
    holds.then_some(()).ok_or_else(|| {
        format!("`{text}` is no user or group name: small letters, digits, `_` and `-`, a letter first, at most {USER}")
    })
}

/// A time zone's name, which is a path below /usr/share/zoneinfo.
pub(super) fn zone(text: &str) -> Result<(), String> {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+-".contains(&byte))
    };
    let holds = text.split('/').all(part);
    holds.then_some(()).ok_or_else(|| format!("`{text}` is no time zone; write it like Europe/Vienna or UTC"))
}

/// A channel of updates.
pub(super) fn channel(text: &str) -> Result<(), String> {
    let holds = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte));
    holds.then_some(()).ok_or_else(|| format!("`{text}` is no channel's name; write it like stable"))
}

/// How a check is told apart; it becomes part of a unit's name.
pub(super) fn check(text: &str) -> Result<(), String> {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let holds = (1..=32).contains(&text.len()) && text.bytes().all(letter);
    holds.then_some(()).ok_or_else(|| format!("`{text}` is no check's name: small letters, digits and `-`, at most 32"))
}

/// A kernel module's name.
pub(super) fn module(text: &str) -> Result<(), String> {
    let holds = (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        && !text.starts_with('-');
    holds.then_some(()).ok_or_else(|| format!("`{text}` is no kernel module's name"))
}

/// A kernel parameter's name with dots, slashes where a part has a dot in it.
pub(super) fn sysctl(text: &str) -> Result<(), String> {
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-:@/".contains(&byte))
    };
    let holds = text.contains('.') && text.split('.').all(part) && !text.starts_with('-');
    holds.then_some(()).ok_or_else(|| format!("`{text}` is no kernel parameter"))
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
        let long = "x".repeat(65);
        check(host, &["web-1", "a", "web-1.example.net", "9"], &["", "-a", "a-", "a..b", "a_b", "a b", &long, "é"]);
        check(user, &["core", "_a-1"], &["", "Core", "1a", "a:b", "a\nb", "root x", &long]);
        check(zone, &["UTC", "Europe/Vienna", "Etc/GMT+1"], &["", "/UTC", "../x", "Europe/", "a b"]);
        check(channel, &["stable", "beta-2"], &["", "a b", "a/b"]);
        check(module, &["br_netfilter", "nf-x"], &["", "-r", "a/b", "a b"]);
        check(
            sysctl,
            &["net.ipv4.ip_forward", "net.ipv4.conf.eth0/1.rp_filter"],
            &["", "net", "net..x", "a.b=c", "-a.b", "a.*"],
        );
    }
}
