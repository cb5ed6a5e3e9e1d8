//! Units name each other: every name has to be somebody's, and nobody's twice.

use std::collections::{BTreeMap, BTreeSet};

use ashlar_config::Error;
use ashlar_config::unit::BUILTIN;

use super::{Bundle, near};
use crate::sources::UnitSource;

/// Checks the names in all units of an image. `known` are units that the image leaves out: something may be ordered
/// against them, or want them, but not require them.
///
/// # Errors
/// A name that is nobody's, or two units of one name.
pub fn check(sources: &[UnitSource], bundles: &[Bundle], known: &BTreeSet<String>) -> Result<(), Error> {
    let mut owners: BTreeMap<&str, &UnitSource> = BTreeMap::new();
    for (source, bundle) in sources.iter().zip(bundles) {
        for name in bundle.units.iter().flat_map(|unit| unit.aliases.iter().chain([&unit.name])) {
            if BUILTIN.contains(&name.as_str()) {
                return Err(source.mistake(name, format!("unit `{name}` is built into PID 1"), "; rename it".into()));
            }
            if let Some(first) = owners.insert(name, source) {
                let what = format!("unit `{name}` is there already, from {}", first.file);
                return Err(source.mistake(name, what, String::new()));
            }
        }
    }
    for source in sources {
        let named = &source.written.dependencies;
        let hard = [&named.requires, &named.requisite, &named.binds_to];
        let soft = [
            &named.wants,
            &named.upholds,
            &named.part_of,
            &named.conflicts,
            &named.after,
            &named.before,
            &named.on_failure,
            &named.on_success,
            &named.propagates_reload_to,
            &named.propagates_stop_to,
        ];
        let is_there = |name: &str| owners.contains_key(name) || BUILTIN.contains(&name);
        let unknown = hard.into_iter().flatten().find(|name| !is_there(name));
        let soft = soft.into_iter().flatten().chain(source.written.wanted_by.iter().flatten());
        let unknown = unknown.or_else(|| soft.into_iter().find(|name| !is_there(name) && !known.contains(*name)));
        if let Some(name) = unknown {
            let what = match known.contains(name) {
                true => format!("unit `{name}` is required, but the image leaves it out"),
                false => format!("there is no unit `{name}`"),
            };
            let candidates = owners.keys().copied().chain(BUILTIN).chain(known.iter().map(String::as_str));
            return Err(source.mistake(name, what, near(name, candidates.filter(|other| other != name))));
        }
    }
    Ok(())
}
