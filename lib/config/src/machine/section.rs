//! A TOML table that is read key by key: what is wrong with one key does not touch the others.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Placed;
use crate::Error;
use crate::error::line_of;
use crate::nearest::nearest;

/// A file's text, and what was wrong with it so far.
#[derive(Debug)]
pub(super) struct Source<'t> {
    file: &'t str,
    text: &'t str,
    errors: Vec<Error>,
}

impl<'t> Source<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Self {
        Self { file, text, errors: Vec::new() }
    }

    /// How much was wrong so far.
    pub(super) fn mistakes(&self) -> usize {
        self.errors.len()
    }

    /// In the order of the lines.
    pub(super) fn into_errors(mut self) -> Vec<Error> {
        self.errors.sort_by_key(|error| error.line);
        self.errors
    }

    pub(super) fn push(&mut self, error: Error) {
        self.errors.push(error);
    }

    pub(super) fn toml(&mut self, error: &toml::de::Error) {
        self.push(Error::toml(self.file, self.text, error));
    }

    fn error(&mut self, span: Range<usize>, message: String) {
        let line = Some(line_of(self.text, span.start));
        self.push(Error { file: self.file.to_owned(), line, message });
    }

    fn place<T>(&self, span: Range<usize>, value: T) -> Placed<T> {
        Placed { value, file: self.file.to_owned(), line: line_of(self.text, span.start) }
    }

    /// Whether a text keeps a rule; a mistake if it does not.
    pub(super) fn holds(&mut self, text: &Placed<String>, rule: impl Fn(&str) -> Result<(), String>) -> bool {
        rule(&text.value).map_err(|message| self.push(text.error(message))).is_ok()
    }
}

/// A table, and which of its keys somebody asked for.
#[derive(Debug)]
pub(super) struct Section<'d> {
    name: &'static str,
    /// Where it is named in the text.
    span: Range<usize>,
    table: &'d DeTable<'d>,
    asked: Vec<&'static str>,
}

impl<'d> Section<'d> {
    pub(super) fn new(name: &'static str, table: &'d DeTable<'d>) -> Self {
        Self { name, span: 0..0, table, asked: Vec::new() }
    }

    fn get(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'d>>> {
        self.asked.push(key);
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// A text.
    pub(super) fn text(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<Placed<String>> {
        let value = self.get(key)?;
        text_of(source, key, value)
    }

    /// A text that has to be there.
    pub(super) fn required_text(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<Placed<String>> {
        let is_there = self.table.iter().any(|(name, _)| name.get_ref() == key);
        if !is_there {
            self.complain(source, &format!("has no `{key}`"));
        }
        self.text(source, key)
    }

    /// Something that is wrong with the table as a whole.
    pub(super) fn complain(&self, source: &mut Source<'_>, message: &str) {
        source.error(self.span.clone(), format!("[[{}]] {message}", self.name));
    }

    /// A list of texts, or a single one, each of which has to keep a rule.
    pub(super) fn checked(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        rule: fn(&str) -> Result<(), String>,
    ) -> Vec<Placed<String>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let entries: Vec<_> = match value.get_ref() {
            DeValue::Array(entries) => entries.iter().collect(),
            _ => vec![value],
        };
        let texts: Vec<_> = entries.into_iter().filter_map(|entry| text_of(source, key, entry)).collect();
        texts.into_iter().filter(|text| source.holds(text, rule)).collect()
    }

    /// A whole number of a range.
    pub(super) fn number(
        &mut self,
        source: &mut Source<'_>,
        key: &'static str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Option<u32> {
        let value = self.get(key)?;
        let number = value.get_ref().as_integer().and_then(|n| u32::from_str_radix(n.as_str(), n.radix()).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let (least, most) = range.into_inner();
            source.error(value.span(), format!("`{key}` is no whole number from {least} to {most}"));
        }
        number
    }

    /// A text, or true or false as "yes" and "no".
    pub(super) fn switch(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<Placed<String>> {
        let value = self.get(key)?;
        match value.get_ref().as_bool() {
            Some(on) => Some(source.place(value.span(), if on { "yes" } else { "no" }.to_owned())),
            None => text_of(source, key, value),
        }
    }

    /// A table.
    pub(super) fn section(&mut self, source: &mut Source<'_>, key: &'static str) -> Option<Section<'d>> {
        let value = self.get(key)?;
        section_of(source, key, value)
    }

    /// A list of tables, or a single one.
    pub(super) fn sections(&mut self, source: &mut Source<'_>, key: &'static str) -> Vec<Section<'d>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Array(entries) => entries.iter().filter_map(|entry| section_of(source, key, entry)).collect(),
            _ => section_of(source, key, value).into_iter().collect(),
        }
    }

    /// A table of numbers, texts and switches, in which `a.b = 1` means the key `a.b`.
    pub(super) fn settings(&mut self, source: &mut Source<'_>, key: &'static str) -> Vec<(Placed<String>, String)> {
        let mut settings = Vec::new();
        if let Some(section) = self.section(source, key) {
            flatten(source, "", section.table, &mut settings);
        }
        settings
    }

    /// Every key that nobody asked for is a mistake.
    pub(super) fn finish(self, source: &mut Source<'_>) {
        for (key, _) in self.table.iter().filter(|(key, _)| !self.asked.contains(&key.get_ref().as_ref())) {
            let expected = match nearest(key.get_ref(), self.asked.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("expected one of {}", self.asked.join(", ")),
            };
            source.error(key.span(), format!("unknown key `{}`, {expected}", key.get_ref()));
        }
    }
}

fn text_of(source: &mut Source<'_>, key: &str, value: &Spanned<DeValue<'_>>) -> Option<Placed<String>> {
    match value.get_ref().as_str() {
        Some(text) => Some(source.place(value.span(), text.to_owned())),
        None => {
            let found = value.get_ref().type_str();
            source.error(value.span(), format!("`{key}` wants a text in quotes, not a value of type {found}"));
            None
        }
    }
}

fn section_of<'d>(source: &mut Source<'_>, key: &'static str, value: &'d Spanned<DeValue<'d>>) -> Option<Section<'d>> {
    let Some(table) = value.get_ref().as_table() else {
        let found = value.get_ref().type_str();
        source.error(value.span(), format!("`{key}` wants a table, not a value of type {found}"));
        return None;
    };
    Some(Section { name: key, span: value.span(), table, asked: Vec::new() })
}

fn flatten(source: &mut Source<'_>, prefix: &str, table: &DeTable<'_>, settings: &mut Vec<(Placed<String>, String)>) {
    for (key, value) in table.iter() {
        let name = format!("{prefix}{}", key.get_ref());
        let text = match value.get_ref() {
            DeValue::Table(inner) => {
                flatten(source, &format!("{name}."), inner, settings);
                continue;
            }
            DeValue::Boolean(on) => Some(u8::from(*on).to_string()),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
            }
            DeValue::String(text) => Some(text.to_string()),
            _ => None,
        };
        let is_line = |text: &String| !text.is_empty() && !text.contains(char::is_control);
        match text.filter(is_line).filter(|_| super::name::sysctl(&name).is_ok()) {
            Some(text) => settings.push((source.place(key.span(), name), text)),
            None => {
                source.error(key.span(), format!("`{name}` is no kernel parameter with a number or a line of text"))
            }
        }
    }
}
