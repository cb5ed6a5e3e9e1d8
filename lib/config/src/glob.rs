//! Patterns of names: `*`, `?` and `[a-z]` (glob(7)).

/// Whether a name fits a pattern.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stands, and what it is at.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if pattern.get(p) == Some(&'*') {
            star = Some((p, n));
            p += 1;
        } else if let Some(next) = one(&pattern, p, name[n]) {
            p = next;
            n += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            (p, n) = (at + 1, from + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Where the pattern goes on when its next part fits the character.
fn one(pattern: &[char], at: usize, c: char) -> Option<usize> {
    match pattern.get(at)? {
        '?' => Some(at + 1),
        '[' => {
            let end = at + 2 + pattern.get(at + 2..)?.iter().position(|c| *c == ']')?;
            let inside = &pattern[at + 1..end];
            let (negated, inside) = match inside.first() {
                Some('!' | '^') => (true, &inside[1..]),
                _ => (false, inside),
            };
            let ranged = inside.windows(3).any(|three| three[1] == '-' && (three[0]..=three[2]).contains(&c));
            (negated != (ranged || inside.contains(&c))).then_some(end + 1)
        }
        '\\' => (pattern.get(at + 1) == Some(&c)).then_some(at + 2),
        plain => (*plain == c).then_some(at + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern, name, expect| assert_eq!(fits(pattern, name), expect, "{pattern} {name}");
        check("*", "", true);
        check("ssh*", "ssh.service", true);
        check("*.service", "ssh.service", true);
        check("*.socket", "ssh.service", false);
        check("s?h.*", "ssh.service", true);
        check("[a-s]sh.service", "ssh.service", true);
        check("[!a-s]sh.service", "ssh.service", false);
        check("a*b*c", "axxbxxc", true);
        check("a*b*c", "axxcxxb", false);
        check("ssh.service", "ssh.service", true);
        check("ssh", "ssh.service", false);
    }
}
