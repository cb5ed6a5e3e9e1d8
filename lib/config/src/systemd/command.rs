//! Command lines (systemd.service(5), "Command lines"): the marks before the program, several commands on one line, and
//! variables, which are put in only when the command runs.

use super::specifier::Context;
use super::words::{Token, tokens};
use crate::unit::Command;

/// The commands of one `Exec…=` line.
pub fn parse(text: &str, context: &Context<'_>) -> Result<Vec<Command>, String> {
    let tokens = tokens(text)?;
    let separator = |token: &Token| token.text == ";" && !token.quoted;
    tokens.split(separator).filter(|words| !words.is_empty()).map(|words| one(words, context)).collect()
}

fn one(words: &[Token], context: &Context<'_>) -> Result<Command, String> {
    let mut command = Command::default();
    let mut own_name = false;
    let mut path = words[0].text.as_str();
    loop {
        let Some(mark) = path.chars().next() else { return Err("the program's name is empty".into()) };
        match mark {
            '-' => command.ignore_failure = true,
            '@' => own_name = true,
            '+' => command.privileged = true,
            '!' => command.keep_user = true,
            ':' => command.verbatim = true,
            _ => break,
        }
        path = &path[1..];
    }
    command.path = context.expand(path)?;
    if command.path.contains('/') && !command.path.starts_with('/') {
        return Err(format!("`{}` is neither an absolute path nor a program's name", command.path));
    }
    let rest = words[1..].iter().map(|word| match word {
        // The way to write a word that is a separator otherwise.
        Token { text, .. } if text == "\\;" => Ok(";".to_owned()),
        word => context.expand(&word.text),
    });
    let mut arguments = rest.collect::<Result<Vec<_>, _>>()?;
    if !own_name {
        arguments.insert(0, command.path.clone());
    } else if arguments.is_empty() {
        return Err("`@` is followed by no name".into());
    }
    command.arguments = arguments;
    Ok(command)
}

/// A command with its variables put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expanded {
    /// The words.
    pub words: Vec<String>,
    /// Variables that are not set, for the journal.
    pub unset: Vec<String>,
}

/// Puts variables in: `${NAME}` within a word, `$NAME` as a whole word that is split at white space, `$$` for `$`.
pub fn expand(words: &[String], environment: &[(String, String)]) -> Expanded {
    let mut expanded = Expanded { words: Vec::new(), unset: Vec::new() };
    let value = |name: &str, unset: &mut Vec<String>| {
        let found = environment.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        found.unwrap_or_else(|| {
            unset.push(name.to_owned());
            String::new()
        })
    };
    for word in words {
        match word.strip_prefix('$').filter(|name| is_name(name)) {
            Some(name) => {
                let value = value(name, &mut expanded.unset);
                let split = super::words::split(&value);
                expanded.words.extend(split.unwrap_or_else(|_| vec![value]));
            }
            None => {
                let word = within(word, |name| value(name, &mut expanded.unset));
                expanded.words.push(word);
            }
        }
    }
    expanded
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn within(word: &str, mut value: impl FnMut(&str) -> String) -> String {
    let (mut out, mut rest) = (String::new(), word);
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(tail) = rest.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
            out.push_str(&value(name));
            rest = tail;
        } else {
            out.push('$');
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systemd::Host;

    fn commands(text: &str) -> Result<Vec<Command>, String> {
        let host = Host::default();
        parse(text, &Context { unit: "a@b.service", fragment: "", host: &host })
    }

    #[test]
    fn command_lines() {
        let check = |text: &str, expect: &[&[&str]]| {
            let got: Vec<Vec<String>> = commands(text).unwrap().into_iter().map(|command| command.arguments).collect();
            assert_eq!(got, expect, "{text}");
        };
        check("/bin/x a 'b c' %i", &[&["/bin/x", "a", "b c", "b"]]);
        check("/bin/x ; /bin/y ';' \\;", &[&["/bin/x"], &["/bin/y", ";", ";"]]);
        check("@/bin/x y z", &[&["y", "z"]]);
        check("echo", &[&["echo"]]);
        let command = commands("-+:/bin/x").unwrap().remove(0);
        assert!(command.ignore_failure && command.privileged && command.verbatim && !command.keep_user);
        assert_eq!(command.path, "/bin/x");
        assert!(commands("bin/x").is_err());
        assert!(commands("@/bin/x").is_err());
    }

    #[test]
    fn variables() {
        let environment = [("A".to_owned(), "x 'y z'".to_owned()), ("B".to_owned(), String::new())];
        let check = |words: &[&str], expect: &[&str], unset: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let got = expand(&words, &environment);
            assert_eq!((got.words, got.unset), (owned(expect), owned(unset)), "{words:?}");
        };
        fn owned(words: &[&str]) -> Vec<String> {
            words.iter().map(|word| (*word).to_owned()).collect()
        }
        check(&["p", "$A", "${A}"], &["p", "x", "y z", "x 'y z'"], &[]);
        check(&["$B", "a${B}b"], &["ab"], &[]);
        check(&["$$HOME", "5$", "a$A"], &["$HOME", "5$", "a$A"], &[]);
        check(&["$C", "${C}"], &[""], &["C", "C"]);
    }
}
