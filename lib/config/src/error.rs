//! What is wrong with a file that a person wrote: which file, where in it, and what to do.

use crate::nearest::nearest;

/// A mistake in a configuration file, placed so that its author finds it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {message}", line.map(|l| format!(":{l}")).unwrap_or_default())]
pub struct Error {
    /// The file as its author knows it.
    pub file: String,
    /// Line, counted from 1; `None` when the mistake is in no single line.
    pub line: Option<usize>,
    /// What is wrong and, where it is known, the remedy.
    pub message: String,
}

impl Error {
    /// A mistake that no single line holds.
    pub fn whole(file: &str, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, message: message.into() }
    }

    /// Places a TOML error in its file and names the nearest key where one was misspelt.
    pub fn toml(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let line = error.span().map(|span| line_of(text, span.start));
        Self { file: file.into(), line, message: with_suggestion(error.message()) }
    }
}

/// The line, counted from 1, in which the byte at `offset` stands.
pub fn line_of(text: &str, offset: usize) -> usize {
    let head = &text.as_bytes()[..offset.min(text.len())];
    head.iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// Serde names every key it would have taken; a person wants the one that they meant.
fn with_suggestion(message: &str) -> String {
    let message = message.trim_end();
    let Some((head, expected)) = message.split_once(", expected ") else { return message.into() };
    let Some(unknown) = head.strip_prefix("unknown field ").or_else(|| head.strip_prefix("unknown variant ")) else {
        return message.into();
    };
    let candidates: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    let what = if head.starts_with("unknown field") { "key" } else { "value" };
    let unknown = unknown.trim_matches('`');
    match nearest(unknown, candidates.iter().copied()) {
        Some(near) => format!("unknown {what} `{unknown}`, did you mean `{near}`?"),
        None => format!("unknown {what} `{unknown}`, expected one of {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions() {
        let check = |input: &str, expect: &str| assert_eq!(with_suggestion(input), expect, "{input}");
        check(
            "unknown field `comand`, expected one of `command`, `user`",
            "unknown key `comand`, did you mean `command`?",
        );
        check("unknown field `zzz`, expected `command` or `user`", "unknown key `zzz`, expected one of command, user");
        check("unknown variant `notfy`, expected `notify` or `exec`", "unknown value `notfy`, did you mean `notify`?");
        check("missing field `command`", "missing field `command`");
    }

    #[test]
    fn lines() {
        let check = |offset, expect| assert_eq!(line_of("a\nbc\n\nd", offset), expect, "{offset}");
        check(0, 1);
        check(2, 2);
        check(5, 3);
        check(99, 4);
    }
}
