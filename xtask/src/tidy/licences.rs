//! Licences of what we link, held against the list in deny.toml (which cargo-deny reads too).

use std::fs;

use anyhow::{Context, Result};

use super::workspace::Workspace;
use crate::project;

/// Packages whose licence is not allowed.
pub fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let text = fs::read_to_string(project::root().join("deny.toml")).context("cannot read deny.toml")?;
    let table: toml::Table = text.parse().context("cannot understand deny.toml")?;
    let listed = table["licenses"]["allow"].as_array().context("deny.toml has no licenses.allow")?;
    let allowed: Vec<&str> = listed.iter().filter_map(toml::Value::as_str).collect();
    let guilty = workspace.others().filter(|package| !is_allowed(&package.licence, &allowed));
    Ok(guilty.map(|package| format!("{} {}: `{}`", package.name, package.version, package.licence)).collect())
}

/// Whether an SPDX expression can be met. The old `/` means OR.
fn is_allowed(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "+with+");
    let words: Vec<String> = spaced.split_whitespace().map(|word| word.replace("+with+", " WITH ")).collect();
    let mut parser = Parser { words: &words, allowed };
    parser.any() == Some(true) && parser.words.is_empty()
}

struct Parser<'a> {
    words: &'a [String],
    allowed: &'a [&'a str],
}

impl Parser<'_> {
    fn take(&mut self, wanted: &str) -> bool {
        let is_next = self.words.first().is_some_and(|word| word == wanted);
        if is_next {
            self.words = &self.words[1..];
        }
        is_next
    }

    fn any(&mut self) -> Option<bool> {
        let mut met = self.all()?;
        while self.take("OR") {
            met |= self.all()?;
        }
        Some(met)
    }

    fn all(&mut self) -> Option<bool> {
        let mut met = self.one()?;
        while self.take("AND") {
            met &= self.one()?;
        }
        Some(met)
    }

    fn one(&mut self) -> Option<bool> {
        if self.take("(") {
            let met = self.any()?;
            return self.take(")").then_some(met);
        }
        let (word, rest) = self.words.split_first()?;
        self.words = rest;
        Some(self.allowed.contains(&word.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions() {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"];
        let check =
            |expression: &str, expect: bool| assert_eq!(is_allowed(expression, &allowed), expect, "{expression}");
        check("MIT", true);
        check("GPL-3.0", false);
        check("GPL-3.0 OR MIT", true);
        check("GPL-3.0 AND MIT", false);
        check("MIT/Apache-2.0", true);
        check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check("Apache-2.0 WITH LLVM-exception", true);
        check("", false);
        check("(MIT", false);
    }
}
