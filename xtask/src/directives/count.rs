//! Counting: each assignment of each unit, by what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ashlar_config::systemd::{Host, Sources, Text, Verdict, instance_of, is_template, kind_of, read_judging};
use ashlar_config::unit::Load;

/// Kinds of units that systemd has.
const KINDS: [&str; 11] =
    ["service", "socket", "timer", "path", "mount", "slice", "scope", "target", "automount", "swap", "device"];

/// One directive, over all units.
#[derive(Debug, Default)]
pub struct Directive {
    pub understood: usize,
    pub told: usize,
    pub refused: usize,
    /// Units that have it.
    pub units: BTreeSet<String>,
    /// Values that were not understood.
    pub values: BTreeSet<String>,
}

impl Directive {
    pub fn all(&self) -> usize {
        self.understood + self.told + self.refused
    }
}

/// All of them.
#[derive(Debug, Default)]
pub struct Count {
    /// By section and key.
    pub directives: BTreeMap<(String, String), Directive>,
    /// Units in which everything is understood.
    pub as_written: usize,
    /// Units that start, though something of them does nothing.
    pub with_told: usize,
    /// Units that are refused, and why.
    pub refused: Vec<(String, String)>,
}

/// The unit that a file is of, or changes.
pub fn unit_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let folder = || path.parent()?.file_name()?.to_str()?.strip_suffix(".d");
    let unit = if name.ends_with(".conf") { folder()? } else { name };
    // What changes all units of a kind: `service.d`.
    let unit = if KINDS.contains(&unit) { format!("x.{unit}") } else { unit.to_owned() };
    (unit.contains('.') && KINDS.contains(&kind_of(&unit))).then_some(unit)
}

impl Count {
    /// Counts a file.
    pub fn add(&mut self, text: &Text) {
        let Some(unit) = unit_of(Path::new(&text.path)) else { return };
        let name = if is_template(&unit) { instance_of(&unit, "1") } else { unit.clone() };
        let changes = text.path.ends_with(".conf");
        let (fragment, drop_ins) = if changes { (None, vec![text.clone()]) } else { (Some(text.clone()), Vec::new()) };
        let sources = Sources { name, fragment, drop_ins, ..Sources::default() };
        let (read, _) = read_judging(&sources, &Host::default(), &mut |entry, verdict| {
            let directive = self.directives.entry((entry.section.clone(), entry.key.clone())).or_default();
            directive.units.insert(unit.clone());
            match verdict {
                Verdict::Understood => return directive.understood += 1,
                Verdict::Told(_) => directive.told += 1,
                Verdict::Refused(_) => directive.refused += 1,
            }
            directive.values.insert(entry.value.clone());
        });
        match read.source.load {
            // It is half of a unit.
            _ if changes => {}
            Load::Loaded if read.source.problems.is_empty() => self.as_written += 1,
            Load::Loaded => self.with_told += 1,
            _ => self.refused.push((unit, read.source.error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_units() {
        let check =
            |path: &str, expect: Option<&str>| assert_eq!(unit_of(Path::new(path)).as_deref(), expect, "{path}");
        check("/x/a@.service", Some("a@.service"));
        check("/x/a.socket.d/10-b.conf", Some("a.socket"));
        check("/x/service.d/b.conf", Some("x.service"));
        check("/x/README", None);
        check("/x/b.conf", None);
    }

    #[test]
    fn units_are_counted_by_what_becomes_of_them() {
        let mut count = Count::default();
        let mut add = |name: &str, rest: &str| {
            let text = format!("[Service]\nExecStart=/bin/x\n{rest}\n");
            count.add(&Text { path: format!("/x/{name}"), text });
        };
        add("a.service", "Nice=1");
        add("b@.service", "Fancy=%i");
        add("c.service", "PrivateFancy=yes\nNice=maybe");
        assert_eq!((count.as_written, count.with_told, count.refused.len()), (1, 1, 1));
        let nice = &count.directives[&("Service".to_owned(), "Nice".to_owned())];
        assert_eq!((nice.understood, nice.told, nice.all(), nice.units.len()), (1, 1, 2, 2));
        assert_eq!(nice.values.iter().collect::<Vec<_>>(), ["maybe"]);
    }
}
