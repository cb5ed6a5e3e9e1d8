//! A unit out of its files: its own, then what changes it, assignment by assignment; then what follows from all of them.

use super::install::Install;
use super::sections::{self, Draft, Taken};
use super::specifier::{Context, Host};
use super::text::{Entry, entries};
use crate::unit::{Body, Load, Unit};

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// Its path.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// All files of one unit.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Full name.
    pub name: String,
    /// Its own file; of an instance its template's.
    pub fragment: Option<Text>,
    /// What changes it, in order.
    pub drop_ins: Vec<Text>,
    /// What it is without files of its own: a unit of the image.
    pub base: Option<Unit>,
    /// Units of its `.wants` folders.
    pub wants: Vec<String>,
    /// Units of its `.requires` folders.
    pub requires: Vec<String>,
    /// Units of its `.upholds` folders.
    pub upholds: Vec<String>,
}

/// The part of a name behind the last dot.
pub fn kind_of(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, kind)| kind)
}

/// What becomes of an assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does what it says.
    Understood,
    /// It changes nothing, and this is told.
    Told(String),
    /// Its unit is refused for this.
    Refused(String),
}

/// Reads a unit. What is wrong with it is in its `source`: one that cannot be loaded says why.
pub fn read(sources: &Sources, host: &Host) -> (Unit, Install) {
    read_judging(sources, host, &mut |_, _| {})
}

/// The same, for who wants to know what becomes of each assignment.
pub fn read_judging(sources: &Sources, host: &Host, judged: &mut dyn FnMut(&Entry, &Verdict)) -> (Unit, Install) {
    let fragment = sources.fragment.as_ref().map_or("", |text| &text.path);
    let context = Context { unit: &sources.name, fragment, host };
    let mut draft = Draft::new(&sources.name, context, sources.base.clone());
    let mut install = Install::default();
    let mut written = Vec::new();
    for text in sources.fragment.iter().chain(&sources.drop_ins) {
        let file = text.path.rsplit('/').next().unwrap_or_default();
        match entries(&text.text) {
            Ok((entries, problems)) => {
                draft.problems.extend(problems.into_iter().map(|(line, what)| format!("{file}:{line}: {what}")));
                for entry in &entries {
                    let taken = sections::take(&mut draft, &entry.section, &entry.key, &entry.value);
                    let verdict = judge(file, entry, taken);
                    judged(entry, &verdict);
                    match verdict {
                        Verdict::Understood => {}
                        Verdict::Told(what) => draft.problems.push(what),
                        Verdict::Refused(what) => draft.refuse(Load::BadSetting, what),
                    }
                }
                written.extend(entries);
            }
            Err(reason) => draft.refuse(Load::Error, format!("{}: {reason}", text.path)),
        }
    }
    if !written.is_empty() {
        install = Install::of(&sources.name, &written, host);
    }
    draft.unit.dependencies.wants.extend(sources.wants.iter().cloned());
    draft.unit.dependencies.requires.extend(sources.requires.iter().cloned());
    draft.unit.dependencies.upholds.extend(sources.upholds.iter().cloned());
    let mut unit = draft.finish();
    unit.source.fragment = fragment.to_owned();
    unit.source.drop_ins = sources.drop_ins.iter().map(|text| text.path.clone()).collect();
    if unit.source.load != Load::Loaded {
        // What could not be read starts nothing.
        unit.body = Body::Target;
    }
    (unit, install)
}

fn judge(file: &str, entry: &Entry, taken: Result<Taken, String>) -> Verdict {
    let (key, line) = (&entry.key, entry.line);
    match taken {
        Ok(Taken::Yes) => Verdict::Understood,
        Ok(Taken::Unknown) if sections::guards(key) => Verdict::Refused(format!(
            "{file}:{line}: {key}= is not supported, and guards something: the unit is refused"
        )),
        Ok(Taken::Unknown) => {
            Verdict::Told(format!("{file}:{line}: {key}= in section [{}] is not supported", entry.section))
        }
        Err(reason) if sections::guards(key) => {
            Verdict::Refused(format!("{file}:{line}: {key}={}: {reason}", entry.value))
        }
        Err(reason) => Verdict::Told(format!("{file}:{line}: {key}=: {reason}: ignored")),
    }
}

#[cfg(test)]
mod tests;
