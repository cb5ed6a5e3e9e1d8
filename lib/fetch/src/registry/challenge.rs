//! What a server says who lets nobody in without more (RFC 9110, 11.6.1): how to ask again.

use std::str::Chars;

/// Longer ones are not read.
const LIMIT: usize = 8 << 10;

/// How to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Challenge {
    /// With a token (RFC 6750, 3) from this address.
    Bearer {
        /// Where tokens are given out.
        realm: String,
        /// For whom.
        service: Option<String>,
        /// To do what.
        scope: Option<String>,
    },
    /// With a name and a password (RFC 7617).
    Basic,
}

impl Challenge {
    /// Reads what `WWW-Authenticate` says, and takes the best of it that is known here. What does not read ends the list.
    pub fn parse(text: &str) -> Option<Self> {
        let mut basic = None;
        for (scheme, parameters) in schemes(text.get(..LIMIT).unwrap_or(text)) {
            let parameter = |name| {
                let named = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
                parameters.iter().find(named).map(|(_, value)| value.clone())
            };
            match (scheme.to_ascii_lowercase().as_str(), parameter("realm")) {
                ("bearer", Some(realm)) => {
                    return Some(Self::Bearer { realm, service: parameter("service"), scope: parameter("scope") });
                }
                ("basic", _) => basic = Some(Self::Basic),
                _ => {}
            }
        }
        basic
    }
}

/// A scheme, and what is said with it.
type Scheme<'a> = (&'a str, Vec<(String, String)>);

/// A list with commas between its members, and between the parameters of each member.
fn schemes(text: &str) -> Vec<Scheme<'_>> {
    let mut schemes: Vec<Scheme<'_>> = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = token(rest);
        if word.is_empty() {
            return schemes;
        }
        let value = after.trim_start().strip_prefix('=').map(|after| value(after.trim_start()));
        match (value, schemes.last_mut()) {
            (None, _) => {
                schemes.push((word, Vec::new()));
                rest = after;
            }
            (Some(Some((value, after))), Some((_, parameters))) => {
                parameters.push((word.to_owned(), value));
                rest = after;
            }
            _ => return schemes,
        }
    }
}

fn token(text: &str) -> (&str, &str) {
    let is_in = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    text.split_at(text.find(|c| !is_in(c)).unwrap_or(text.len()))
}

/// A token, or text in quotation marks.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = token(text);
        return (!word.is_empty()).then(|| (word.to_owned(), rest));
    };
    let mut chars: Chars<'_> = quoted.chars();
    let mut value = String::new();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => value.push(chars.next()?),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            let [service, scope] = [service, scope].map(|text| text.map(str::to_owned));
            Some(Challenge::Bearer { realm: realm.to_owned(), service, scope })
        };
        let check = |text: &str, expect: Option<Challenge>| assert_eq!(Challenge::parse(text), expect, "{text}");
        check(
            r#"Bearer realm="https://auth.example.net/token",service="r.example.net",scope="repository:a/b:pull,push""#,
            bearer("https://auth.example.net/token", Some("r.example.net"), Some("repository:a/b:pull,push")),
        );
        check(r#"bearer  Realm = "a" , error="x",service=s"#, bearer("a", Some("s"), None));
        check(r#"Basic realm="r", Bearer realm="a\"b""#, bearer("a\"b", None, None));
        check("Bearer realm=a, Basic", bearer("a", None, None));
        check(r#"Basic realm="Registry""#, Some(Challenge::Basic));
        check("Basic", Some(Challenge::Basic));
        check("Basic, Negotiate abc==, Bearer realm=a", Some(Challenge::Basic));
        for nothing in
            ["", ",", "Bearer", r#"Bearer realm="a"#, "Digest realm=a", "=a", r#"Bearer realm="a\"#, "Bearer é"]
        {
            check(nothing, None);
        }
    }
}
