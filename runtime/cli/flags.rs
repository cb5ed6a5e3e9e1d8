//! The command line: one table of commands and flags, from which parsing, help, completion and manual pages come.

use std::fmt::Write as _;

use crate::Failed;

/// A flag.
#[derive(Debug, Clone, Copy)]
pub struct Flag {
    /// Without its dashes.
    pub name: &'static str,
    /// One letter that means the same.
    pub short: Option<char>,
    /// What its value is called; `None`: it has none.
    pub value: Option<&'static str>,
    /// One line.
    pub help: &'static str,
}

/// A flag that stands alone.
pub const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, value: None, help }
}

/// A flag with a value.
pub const fn value(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { name, short: None, value: Some(value), help }
}

impl Flag {
    /// The same with a letter.
    pub const fn or(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }
}

/// A list of flags and what to say about them.
#[derive(Debug, Clone, Copy)]
pub struct Grammar {
    /// Command, or the program.
    pub name: &'static str,
    /// What follows the flags.
    pub operands: &'static str,
    /// How many of those there may be.
    pub count: (usize, usize),
    /// Flags stand before the first operand only: what follows belongs to another program.
    pub strict: bool,
    /// One line.
    pub help: &'static str,
    /// Its flags.
    pub flags: &'static [Flag],
}

/// What was said.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Said {
    flags: Vec<(&'static str, String)>,
    /// What is no flag.
    pub operands: Vec<String>,
}

impl Said {
    /// Whether a flag was given, and its value is not `false`.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value != "false")
    }

    /// The last value of a flag.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).last()
    }

    /// All values of a flag.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.flags.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The value as a number.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Failed> {
        let parse = |text: &str| text.parse().map_err(|_| Failed::new(format!("--{name}: `{text}` is no such number")));
        self.value(name).map(parse).transpose()
    }
}

impl Grammar {
    /// Reads words up to the end; `until_operand`: up to the first that is no flag.
    pub fn read(&self, words: &mut std::vec::IntoIter<String>, until_operand: bool) -> Result<Said, Failed> {
        let mut said = Said::default();
        while let Some(word) = words.as_slice().first().cloned() {
            let is_flag = word.starts_with('-') && word != "-";
            if !is_flag && until_operand {
                break;
            }
            words.next();
            if word == "--" || (!is_flag && self.strict) {
                said.operands.extend(Some(word).filter(|word| word != "--"));
                said.operands.extend(words.by_ref());
            } else if is_flag {
                let (name, given) = match word.trim_start_matches('-').split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (word.trim_start_matches('-').to_owned(), None),
                };
                let flag = self.find(&name)?;
                let value = match (flag.value, given) {
                    (_, Some(given)) => given,
                    (None, None) => "true".to_owned(),
                    (Some(what), None) => {
                        words.next().ok_or_else(|| Failed::new(format!("--{name} needs a value: {what}")))?
                    }
                };
                said.flags.push((flag.name, value));
            } else {
                said.operands.push(word);
            }
        }
        Ok(said)
    }

    fn find(&self, name: &str) -> Result<&'static Flag, Failed> {
        let mut letters = name.chars();
        let letter = letters.next().filter(|_| letters.next().is_none());
        let fits = |flag: &&Flag| flag.name == name || (letter.is_some() && flag.short == letter);
        self.flags.iter().find(fits).ok_or_else(|| {
            let near = self.flags.iter().map(|flag| flag.name).filter(|known| distance(known, name) <= 2).min();
            let hint = near.map(|near| format!(", but --{near}")).unwrap_or_default();
            Failed::new(format!("{} has no flag `{name}`{hint}", self.name))
        })
    }

    /// Says whether there are as many operands as there may be.
    pub fn check(&self, said: &Said) -> Result<(), Failed> {
        let (least, most) = self.count;
        match said.operands.len() {
            count if count < least => Err(Failed::new(format!("{} needs {}", self.name, self.operands))),
            count if count > most => {
                Err(Failed::new(format!("{}: `{}` is one word too many", self.name, said.operands[most])))
            }
            _ => Ok(()),
        }
    }

    /// Its flags, a line each.
    pub fn options(&self) -> String {
        let heads: Vec<String> = self.flags.iter().map(head).collect();
        let width = heads.iter().map(String::len).max().unwrap_or(0);
        self.flags.iter().zip(&heads).fold(String::new(), |mut text, (flag, head)| {
            let _ = writeln!(text, "  {head:width$}  {}", flag.help);
            text
        })
    }
}

fn head(flag: &Flag) -> String {
    let short = flag.short.map(|letter| format!("-{letter}, ")).unwrap_or_else(|| "    ".into());
    let value = flag.value.map(|value| format!(" {value}")).unwrap_or_default();
    format!("{short}--{}{value}", flag.name)
}

/// How many letters must change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (line, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = line + 1;
        for (place, y) in b.iter().enumerate() {
            let next = (corner + usize::from(x != *y)).min(row[place] + 1).min(row[place + 1] + 1);
            corner = row[place + 1];
            row[place + 1] = next;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &[Flag] = &[switch("force", "").or('f'), value("bundle", "DIR", "").or('b')];

    fn grammar(strict: bool) -> Grammar {
        Grammar { name: "x", operands: "ID", count: (1, 2), strict, help: "", flags: FLAGS }
    }

    fn read(strict: bool, line: &str) -> Result<Said, Failed> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        grammar(strict).read(&mut words.into_iter(), false)
    }

    #[test]
    fn lines() {
        let check = |strict, line: &str, flags: &[(&'static str, &str)], operands: &str| {
            let said = read(strict, line).unwrap();
            let got: Vec<(&str, &str)> = said.flags.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!((got.as_slice(), said.operands.join(" ").as_str()), (flags, operands), "{line}");
        };
        check(false, "id", &[], "id");
        check(false, "id --force", &[("force", "true")], "id");
        check(false, "-f -b x id", &[("force", "true"), ("bundle", "x")], "id");
        check(false, "--bundle=x --force=false id", &[("bundle", "x"), ("force", "false")], "id");
        check(true, "-f id sh -b", &[("force", "true")], "id sh -b");
        check(false, "-- -f", &[], "-f");
        check(false, "id -", &[], "id -");
    }

    #[test]
    fn mistakes() {
        let check = |line: &str, expect: &str| {
            let got = read(false, line).and_then(|said| grammar(false).check(&said));
            assert_eq!(got.unwrap_err().to_string(), expect, "{line}");
        };
        check("--forc id", "x has no flag `forc`, but --force");
        check("--what id", "x has no flag `what`");
        check("--bundle", "--bundle needs a value: DIR");
        check("", "x needs ID");
        check("a b c", "x: `c` is one word too many");
    }
}
