//! `[Install]`: what enabling a unit links, and what its links say of it (systemd.unit(5), "[Install] Section Options").

use super::specifier::{Context, Host};
use super::text::Entry;
use super::words::split;
use super::{instance_of, is_template};
use crate::unit::is_unit_name;

/// What a unit's file says of enabling it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Install {
    /// Other names.
    pub aliases: Vec<String>,
    /// Units that are to want it.
    pub wanted_by: Vec<String>,
    /// Units that are to require it.
    pub required_by: Vec<String>,
    /// Units that are to uphold it.
    pub upheld_by: Vec<String>,
    /// Enabled and disabled with it.
    pub also: Vec<String>,
    /// The instance of a template that is enabled without one.
    pub default_instance: String,
}

/// A symbolic link below the folder of units, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// Below the folder: `multi-user.target.wants/x.service`.
    pub name: String,
    /// An absolute path.
    pub target: String,
}

impl Install {
    /// Reads the section. What makes no sense in it is left out: it must not keep the unit from starting.
    pub fn of(unit: &str, entries: &[Entry], host: &Host) -> Self {
        let mut install = Self::default();
        for entry in entries.iter().filter(|entry| entry.section == "Install") {
            let context = Context { unit, fragment: "", host };
            let expand = |word: String| context.expand(&word).unwrap_or(word);
            let words: Vec<String> = split(&entry.value).unwrap_or_default().into_iter().map(expand).collect();
            let list = match entry.key.as_str() {
                "Alias" => &mut install.aliases,
                "WantedBy" => &mut install.wanted_by,
                "RequiredBy" => &mut install.required_by,
                "UpheldBy" => &mut install.upheld_by,
                "Also" => &mut install.also,
                "DefaultInstance" => {
                    install.default_instance = words.concat();
                    continue;
                }
                _ => continue,
            };
            match words.is_empty() {
                true => list.clear(),
                false => list.extend(words.into_iter().filter(|word| is_unit_name(word))),
            }
        }
        install
    }

    /// Enabling it does something.
    pub fn says_something(&self) -> bool {
        [&self.aliases, &self.wanted_by, &self.required_by, &self.upheld_by].iter().any(|list| !list.is_empty())
    }

    /// The links that enable `unit`, whose file is `path`. A template without an instance has its default one.
    pub fn links(&self, unit: &str, path: &str) -> Result<Vec<Link>, String> {
        let named = match is_template(unit) {
            true if self.default_instance.is_empty() && self.aliases.is_empty() => {
                return Err(format!("{unit} is a template: name an instance, {}", instance_of(unit, "NAME")));
            }
            true if !self.default_instance.is_empty() => instance_of(unit, &self.default_instance),
            _ => unit.to_owned(),
        };
        let link = |name: String| Link { name, target: path.to_owned() };
        let aliases = self.aliases.iter().map(|alias| link(alias.clone()));
        let pulls = [("wants", &self.wanted_by), ("requires", &self.required_by), ("upholds", &self.upheld_by)];
        let pulls = pulls.into_iter().flat_map(|(kind, units)| units.iter().map(move |by| (kind, by)));
        let pulls = pulls.map(|(kind, by)| link(format!("{by}.{kind}/{named}")));
        Ok(aliases.chain(pulls).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::systemd::text::entries;

    #[test]
    fn links() {
        let check = |unit: &str, text: &str, expect: &[&str]| {
            let (entries, _) = entries(&format!("[Install]\n{text}")).unwrap();
            let install = Install::of(unit, &entries, &Host::default());
            let got = install.links(unit, "/x").map(|links| links.into_iter().map(|link| link.name).collect());
            assert_eq!(got.unwrap_or_else(|error| vec![error]), expect, "{text}");
        };
        check(
            "a.service",
            "WantedBy=multi-user.target b.target",
            &["multi-user.target.wants/a.service", "b.target.wants/a.service"],
        );
        check("a.service", "Alias=c.service\nRequiredBy=%N-x.target", &["c.service", "a-x.target.requires/a.service"]);
        check("a.service", "UpheldBy=b.target", &["b.target.upholds/a.service"]);
        check("a.service", "WantedBy=b.target\nWantedBy=", &[]);
        check("a.service", "WantedBy=nonsense", &[]);
        check("a@.service", "WantedBy=b.target\nDefaultInstance=1", &["b.target.wants/a@1.service"]);
        check("a@2.service", "WantedBy=b.target\nDefaultInstance=1", &["b.target.wants/a@2.service"]);
        check("a@.service", "WantedBy=b.target", &["a@.service is a template: name an instance, a@NAME.service"]);
    }
}
