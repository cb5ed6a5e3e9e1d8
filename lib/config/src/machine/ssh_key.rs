//! Public SSH keys: one line each, as ssh-keygen writes them in .pub files.

const KINDS: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];
/// Longest line that sshd reads.
const LIMIT: usize = 8 << 10;
/// Behind the kind's name there has to be a key.
const LEAST: usize = 32;

/// Checks the kind, and that the encoded key says the same kind (RFC 4253, section 6.6).
pub(super) fn check(line: &str) -> Result<(), String> {
    if line.len() > LIMIT || line.contains(char::is_control) {
        return Err(format!("the SSH key is no single line of at most {LIMIT} bytes"));
    }
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let kind = words.next().unwrap_or_default();
    if !KINDS.contains(&kind) {
        let begin: String = kind.chars().take(40).collect();
        return Err(format!(
            "the SSH key begins with `{begin}`, which is no kind of key; copy the line of the .pub file"
        ));
    }
    let key = decode(words.next().unwrap_or_default());
    let key = key.ok_or_else(|| format!("the {kind} key is not in base64; was it cut?"))?;
    let length = key.first_chunk().map_or(0, |length| u32::from_be_bytes(*length) as usize);
    let said = key.get(4..).and_then(|rest| rest.get(..length));
    if said != Some(kind.as_bytes()) || key.len() < 4 + length + LEAST {
        return Err(format!("the {kind} key is damaged or of another kind; copy the line of the .pub file"));
    }
    Ok(())
}

/// Base64 with its padding (RFC 4648, section 4).
fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if text.is_empty() || !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for digit in digits.bytes() {
        bits = bits << 6 | value(digit)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AAAAC3NzaC1lZDI1NTE5AAAAIBvW1Y6DzqN2tQx0R0gHk1v9y9cVqSnh0xX4J9lD5m2e";

    #[test]
    fn rows() {
        let check =
            |line: &str, expect: Result<(), &str>| assert_eq!(check(line), expect.map_err(str::to_owned), "{line}");
        check(&format!("ssh-ed25519 {KEY} me@here"), Ok(()));
        check(&format!("ssh-ed25519 {KEY}"), Ok(()));
        let other = "the ssh-rsa key is damaged or of another kind; copy the line of the .pub file";
        check(&format!("ssh-rsa {KEY}"), Err(other));
        check(
            "ssh-ed25519 AAAA",
            Err("the ssh-ed25519 key is damaged or of another kind; copy the line of the .pub file"),
        );
        check(&format!("ssh-ed25519 {}", &KEY[..50]), Err("the ssh-ed25519 key is not in base64; was it cut?"));
        check("ssh-ed25519", Err("the ssh-ed25519 key is not in base64; was it cut?"));
        let begin =
            |word| format!("the SSH key begins with `{word}`, which is no kind of key; copy the line of the .pub file");
        check("", Err(&begin("")));
        check(&format!("command=\"x\" ssh-ed25519 {KEY}"), Err(&begin("command=\"x\"")));
        check(
            &format!("ssh-ed25519 {KEY}\nssh-ed25519 {KEY}"),
            Err("the SSH key is no single line of at most 8192 bytes"),
        );
    }

    #[test]
    fn base64() {
        let check = |text, expect: Option<&[u8]>| assert_eq!(decode(text).as_deref(), expect, "{text}");
        check("Zm9v", Some(b"foo"));
        check("Zm8=", Some(b"fo"));
        check("Zg==", Some(b"f"));
        check("Z===", None);
        check("Zm9", None);
        check("Zm9*", None);
        check("", None);
    }
}
