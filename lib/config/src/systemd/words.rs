//! Words of a value: quotes and escapes (systemd.syntax(7), "Quoting").

/// Splits at white space. Quotes hold a word together and go away; escapes in it mean what they mean in C.
pub fn split(text: &str) -> Result<Vec<String>, String> {
    Ok(tokens(text)?.into_iter().map(|token| token.text).collect())
}

/// A word, and whether it was quoted: a lone `;` that was not is a separator of commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Without quotes.
    pub text: String,
    /// Some of it had quotes or an escape.
    pub quoted: bool,
}

/// The same as [`split`], with what is quoted.
pub fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        if chars.peek().is_none() {
            return Ok(words);
        }
        let mut word = Token { text: String::new(), quoted: false };
        let mut quote = None;
        while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_ascii_whitespace()) {
            match (c, quote) {
                ('\\', _) => {
                    word.quoted = true;
                    escape(&mut chars, &mut word.text)?;
                }
                (c, Some(open)) if c == open => quote = None,
                ('"' | '\'', None) => {
                    word.quoted = true;
                    quote = Some(c);
                }
                (c, _) => word.text.push(c),
            }
        }
        if quote.is_some() {
            return Err(format!("a quote is not closed in `{text}`"));
        }
        words.push(word);
    }
}

fn escape(chars: &mut std::iter::Peekable<std::str::Chars<'_>>, word: &mut String) -> Result<(), String> {
    let Some(c) = chars.next() else { return Err("a backslash stands at the end".into()) };
    let number = |digits: String, radix: u32| {
        u32::from_str_radix(&digits, radix).ok().filter(|n| *n != 0).and_then(char::from_u32)
    };
    let mut take = |count: usize, first: &str| -> String {
        first.chars().chain((0..count).map_while(|_| chars.next_if(char::is_ascii_alphanumeric))).collect()
    };
    let made = match c {
        'a' => Some('\x07'),
        'b' => Some('\x08'),
        'f' => Some('\x0c'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\x0b'),
        's' => Some(' '),
        '\\' | '"' | '\'' => Some(c),
        'x' => number(take(2, ""), 16).filter(char::is_ascii),
        'u' => number(take(4, ""), 16),
        'U' => number(take(8, ""), 16),
        '0'..='7' => number(take(2, &c.to_string()), 8).filter(char::is_ascii),
        // What means nothing is left as it is: regular expressions are full of it.
        other => {
            word.push('\\');
            Some(other)
        }
    };
    word.push(made.ok_or_else(|| format!("\\{c} is followed by no character's number"))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |text: &str, expect: &[&str]| assert_eq!(split(text).unwrap(), expect, "{text}");
        check("", &[]);
        check("  a  b ", &["a", "b"]);
        check(r#""a b" 'c d'e"#, &["a b", "c de"]);
        check(r#"A="x y""#, &["A=x y"]);
        check(r#""" x"#, &["", "x"]);
        check(r"a\x20b \101 \u00fc", &["a b", "A", "ü"]);
        check(r#""say \"hi\"""#, &[r#"say "hi""#]);
        check(r"\d+ \;", &[r"\d+", r"\;"]);
        assert!(split("'x").is_err());
        assert!(split("x\\").is_err());
        assert!(split(r"\xzz").is_err());
    }
}
