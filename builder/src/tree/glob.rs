//! Patterns on absolute paths: `*` and `?` stay within a component, `**` goes over any number of them. A pattern that
//! matches a folder matches all that is in it.

/// A pattern.
#[derive(Clone, Debug)]
pub struct Glob(Vec<String>);

impl Glob {
    /// Reads a pattern; a leading slash is taken as read.
    pub fn new(pattern: &str) -> Self {
        Self(pattern.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect())
    }

    /// Whether a path, or a folder above it, matches.
    pub fn matches(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        components(&self.0, &parts)
    }
}

fn components(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, _) => true,
        (Some((first, rest)), _) if first == "**" => {
            components(rest, path) || path.split_first().is_some_and(|(_, below)| components(pattern, below))
        }
        (Some((first, rest)), Some((name, below))) => {
            component(first.as_bytes(), name.as_bytes()) && components(rest, below)
        }
        (Some(_), None) => false,
    }
}

fn component(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            component(rest, name) || name.split_first().is_some_and(|(_, below)| component(pattern, below))
        }
        (Some((b'?', rest)), Some((_, below))) => component(rest, below),
        (Some((want, rest)), Some((have, below))) => want == have && component(rest, below),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        fn check(pattern: &str, path: &str, expect: bool) {
            assert_eq!(Glob::new(pattern).matches(path), expect, "{pattern} {path}");
        }
        check("/usr/share/doc", "usr/share/doc/x/y", true);
        check("/usr/share/doc", "usr/share/docs", false);
        check("/usr/lib/*.a", "usr/lib/libc.a", true);
        check("/usr/lib/*.a", "usr/lib/x/libc.a", false);
        check("/usr/lib/**/*.a", "usr/lib/x/y/libc.a", true);
        check("/usr/lib/**/*.a", "usr/lib/libc.a", true);
        check("/a?c", "abc", true);
        check("/a?c", "ac", false);
        check("/a/**", "a/b", true);
        check("/x", "", false);
    }
}
