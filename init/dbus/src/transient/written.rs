//! Properties that mean what a unit file says: they are written down as one, and read by the same reader.

use ashlar_config::systemd::{Host, Sources, Text};
use ashlar_config::unit::{Body as Kind, Exec};
use zbus::Variant;

use super::INFINITY;
use crate::value::Take;

/// A property as a unit file would say it.
pub fn as_written(name: &str, value: &Variant<'_>) -> Option<(String, String)> {
    // Lists of switches: whether the list is what may be, and the list.
    if let Variant::Structure(row) = value
        && let [Variant::Bool(allow), Variant::Array(words)] = row.fields()
    {
        let words: Vec<String> = words.iter().map(String::take).collect::<Option<_>>()?;
        return Some((name.to_owned(), format!("{}{}", if *allow { "" } else { "~" }, words.join(" "))));
    }
    let number = match value {
        Variant::U64(number) => Some(*number),
        Variant::U32(number) => Some(u64::from(*number)),
        _ => None,
    };
    let text = match (name, number, value) {
        (_, _, Variant::Bool(value)) => if *value { "yes" } else { "no" }.to_owned(),
        (_, _, Variant::Str(text)) => text.to_string(),
        (_, _, Variant::I32(number)) => number.to_string(),
        ("CapabilityBoundingSet" | "AmbientCapabilities", Some(bits), _) => capabilities(bits),
        ("UMask", Some(mode), _) => format!("{mode:o}"),
        (name, Some(mode), _) if name.ends_with("DirectoryMode") => format!("{mode:o}"),
        (_, Some(INFINITY), _) => "infinity".to_owned(),
        (name, Some(usec), _) if name.ends_with("USec") => format!("{usec}us"),
        (_, Some(number), _) => number.to_string(),
        (_, _, list @ Variant::Array(_)) => {
            let words = Vec::<String>::take(list)?;
            let quoted = words.iter().map(|word| format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\"")));
            quoted.collect::<Vec<_>>().join(" ").replace('%', "%%")
        }
        _ => return None,
    };
    // Switches that became words have those under other names.
    let name = name.strip_suffix("Ex").unwrap_or(name);
    let name = name.strip_suffix("USec").map_or(name.to_owned(), |stem| format!("{stem}Sec"));
    Some((name, text))
}

fn capabilities(bits: u64) -> String {
    let named = ashlar_config::unit::CAPABILITIES.iter().enumerate().filter(|(place, _)| bits >> place & 1 != 0);
    named.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
}

/// What settings of a unit file come to; none: some of them are not understood.
pub fn read(written: &[(String, String)]) -> Option<Exec> {
    let mut text = "[Service]\nExecStart=/bin/true\n".to_owned();
    for (name, value) in written {
        text += &format!("{name}={}\n", value.replace('\n', " "));
    }
    let fragment = Text { path: String::new(), text };
    let sources = Sources { name: "x.service".to_owned(), fragment: Some(fragment), ..Sources::default() };
    let (unit, _) = ashlar_config::systemd::read(&sources, &Host::default());
    match unit.body {
        Kind::Service(service) if unit.source.problems.is_empty() && unit.source.error.is_empty() => {
            service.host.map(|exec| *exec)
        }
        _ => None,
    }
}
