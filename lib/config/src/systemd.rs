//! Unit files as systemd has them (systemd.unit(5) and its kin): what an administrator, a package or a generator
//! writes, as the units that PID 1 works with.
//!
//! A directive that is not understood is told and changes nothing, but for one that guards something: its unit is
//! refused, because it would run with more than its author meant.
//!
//! - `text`, `words`, `value`, `specifier`: the syntax. `command`: command lines. `calendar`: times of day.
//! - `read`: a unit out of its files; `sections/`: the directives, a file for each kind.
//! - `install`: `[Install]`, and what enabling a unit means.

pub mod calendar;
mod command;
pub mod install;
mod read;
mod sections;
pub mod specifier;
pub mod text;
mod value;
pub mod words;

pub use command::{Expanded, expand};
pub use read::{Sources, Text, Verdict, kind_of, read, read_judging};
pub use specifier::Host;

/// Folders of unit files, the first one counts (systemd.unit(5), "Unit File Load Path").
pub const FOLDERS: [&str; 9] = [
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/run/systemd/generator.late",
];

/// A file's share of units that differ only in what stands behind the `@`.
pub fn template_of(name: &str) -> Option<String> {
    let (stem, kind) = name.rsplit_once('.')?;
    let (prefix, instance) = stem.split_once('@')?;
    (!instance.is_empty()).then(|| format!("{prefix}@.{kind}"))
}

/// Whether this is a template itself.
pub fn is_template(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(stem, _)| stem.ends_with('@'))
}

/// The instance of a template.
pub fn instance_of(template: &str, instance: &str) -> String {
    template.replacen("@.", &format!("@{instance}."), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        assert_eq!(template_of("a@b.service").as_deref(), Some("a@.service"));
        assert_eq!(template_of("a@b@c.d.service").as_deref(), Some("a@.service"));
        assert_eq!(template_of("a@.service"), None);
        assert_eq!(template_of("a.service"), None);
        assert!(is_template("a@.service") && !is_template("a@b.service"));
        assert_eq!(instance_of("a@.service", "b"), "a@b.service");
    }
}
