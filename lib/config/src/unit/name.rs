//! Names of units (systemd.unit(5)).

/// Suffixes that units have.
pub const KINDS: [&str; 11] =
    ["service", "socket", "target", "timer", "slice", "scope", "path", "mount", "automount", "swap", "device"];

/// Whether a unit could have this name. Such a name is one element of a path.
pub fn is_unit_name(name: &str) -> bool {
    let Some((stem, kind)) = name.rsplit_once('.') else { return false };
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    KINDS.contains(&kind) && !stem.is_empty() && !stem.starts_with('@') && name.len() < 256 && stem.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_units() {
        let check = |name: &str, expect| assert_eq!(is_unit_name(name), expect, "{name}");
        check("ssh.service", true);
        check("user@1000.service", true);
        check("-.slice", true);
        check(r"dev-disk-by\x2duuid.swap", true);
        check("ssh", false);
        check("@.service", false);
        check("a b.service", false);
        check("../x.scope", false);
        check(".service", false);
        check("x.exe", false);
        check(&format!("{}.service", "x".repeat(250)), false);
    }
}
