//! Debian's control syntax (deb-control(5), `Packages`, `Release`, apt's `.sources`): paragraphs of fields.
//! Borrowed from the text, because an index is 57 MB of it.

/// One paragraph.
#[derive(Debug)]
pub struct Paragraph<'a> {
    fields: Vec<(&'a str, &'a str)>,
}

/// A line that is no field.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("read line {line}: {text:?} is neither a field nor the continuation of one")]
pub struct Error {
    /// Counted from 1.
    pub line: usize,
    /// The line, shortened.
    pub text: String,
}

impl<'a> Paragraph<'a> {
    /// A field's value, its continuation lines included. Names compare without case.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|&(_, value)| value)
    }

    /// A field's words, comments between its lines left out.
    pub fn words(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.lines(name).flat_map(str::split_whitespace)
    }

    /// A field's non-empty lines, trimmed, comments left out.
    pub fn lines(&self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let lines = self.get(name).unwrap_or_default().lines();
        lines.filter(|line| !line.starts_with('#')).map(str::trim).filter(|line| !line.is_empty())
    }
}

/// Reads all paragraphs of a text.
pub fn paragraphs(text: &str) -> Paragraphs<'_> {
    Paragraphs { text, at: 0, line: 0 }
}

/// Iterator over the paragraphs of a text; ends after the first error.
pub struct Paragraphs<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Result<Paragraph<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut fields: Vec<(&'a str, &'a str)> = Vec::with_capacity(24);
        // Name, and where its value begins and ends so far.
        let mut open: Option<(&'a str, usize, usize)> = None;
        while self.at < self.text.len() {
            let start = self.at;
            let rest = &self.text[start..];
            let line = rest.split_inclusive('\n').next().unwrap_or(rest);
            self.at += line.len();
            self.line += 1;
            let content = line.trim_end();
            let end = start + content.len();
            if content.is_empty() {
                if open.is_some() {
                    break;
                }
            } else if content.starts_with('#') {
                // A comment; it may stand between the lines of a value.
            } else if content.starts_with([' ', '\t']) {
                match &mut open {
                    Some((_, _, value_end)) => *value_end = end,
                    None => return Some(Err(self.fail(content))),
                }
            } else {
                let Some((name, _)) = content.split_once(':').filter(|(name, _)| is_name(name)) else {
                    return Some(Err(self.fail(content)));
                };
                fields.extend(open.map(|field| self.close(field)));
                open = Some((name, start + name.len() + 1, end));
            }
        }
        fields.extend(open.map(|field| self.close(field)));
        (!fields.is_empty()).then_some(Ok(Paragraph { fields }))
    }
}

impl<'a> Paragraphs<'a> {
    fn close(&self, (name, start, end): (&'a str, usize, usize)) -> (&'a str, &'a str) {
        (name, self.text[start..end].trim())
    }

    fn fail(&mut self, content: &str) -> Error {
        self.at = self.text.len();
        Error { line: self.line, text: content.chars().take(60).collect() }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_paragraphs() {
        fn check(text: &str, expect: &[&[(&str, &str)]]) {
            let read: Vec<_> = paragraphs(text).map(|paragraph| paragraph.unwrap().fields).collect();
            assert_eq!(read, expect, "{text:?}");
        }
        check("", &[]);
        check("\n\n \n", &[]);
        check("A: 1\nB:2\n", &[&[("A", "1"), ("B", "2")]]);
        check("A: 1\n\n\nB: 2", &[&[("A", "1")], &[("B", "2")]]);
        check("A: x\n y\n\tz\n", &[&[("A", "x\n y\n\tz")]]);
        check("A:\r\n x\r\n\r\nB: 1\r\n", &[&[("A", "x")], &[("B", "1")]]);
        check("# c\nA: 1\n# c\nB: 2\n", &[&[("A", "1"), ("B", "2")]]);
    }

    #[test]
    fn fields_and_words() {
        let text = "Suites: a\n# no: b\n  c\nURIs: x:y\n";
        let paragraph = paragraphs(text).next().unwrap().unwrap();
        assert_eq!(paragraph.words("suites").collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(paragraph.get("uris"), Some("x:y"));
        assert_eq!(paragraph.get("none"), None);
    }

    #[test]
    fn refuses_what_is_no_field() {
        fn check(text: &str, line: usize) {
            let error = paragraphs(text).find_map(Result::err).unwrap();
            assert_eq!(error.line, line, "{text:?}");
        }
        check(" x\n", 1);
        check("A: 1\n\n\nnonsense\nB: 1\n", 4);
        check(": x\n", 1);
        check("A B: x\n", 1);
    }
}
