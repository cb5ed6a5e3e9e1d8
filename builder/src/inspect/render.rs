//! A report as text: one table under each heading, columns as wide as they must be.

use std::fmt::Write;

use serde_json::Value;

use super::{Disk, PackageRow, Report, UnitRow};
use crate::assemble::Release;

/// The report, units as one table of what each may do.
pub fn text(report: &Report) -> String {
    let mut sections = Vec::new();
    sections.extend(report.release.as_ref().map(release));
    sections.extend(report.disk.as_ref().map(disk));
    sections.extend((!report.packages.is_empty()).then(|| packages(&report.packages)));
    sections.extend(report.units.as_ref().map(|units| unit_table(&units.table)));
    sections.join("\n")
}

/// The expanded units, as TOML. What says nothing is left out.
pub fn expanded_units(report: &Report) -> String {
    let units = report.units.iter().flat_map(|units| &units.units);
    let sections = units.map(|unit| {
        let value = serde_json::to_value(unit).ok().and_then(|value| said(&value));
        format!("# {}\n{}", unit.name, value.and_then(|value| toml::to_string(&value).ok()).unwrap_or_default())
    });
    sections.collect::<Vec<_>>().join("\n")
}

/// A value without what is empty or absent. What has no end is the largest number.
fn said(value: &Value) -> Option<toml::Value> {
    let value: toml::Value = match value {
        Value::Null => return None,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => number.as_i64().map_or_else(|| "infinity".into(), Into::into),
        Value::String(text) => text.as_str().into(),
        Value::Array(list) => list.iter().filter_map(said).collect::<Vec<_>>().into(),
        Value::Object(map) => {
            let fields = map.iter().filter_map(|(name, value)| Some((name.clone(), said(value)?)));
            fields.collect::<toml::Table>().into()
        }
    };
    let is_empty = value.as_array().is_some_and(Vec::is_empty) || value.as_table().is_some_and(toml::Table::is_empty);
    (!is_empty).then_some(value)
}

fn release(release: &Release) -> String {
    let mut rows = vec![
        ["version".to_owned(), release.version.clone()],
        ["architecture".to_owned(), release.arch.to_string()],
        ["packages of".to_owned(), release.date.to_string()],
        ["kernel".to_owned(), release.kernel.clone()],
        ["root hash".to_owned(), release.root_hash.to_string()],
    ];
    rows.extend(release.files.iter().map(|(name, piece)| [name.clone(), size(piece.size)]));
    format!("RELEASE\n{}", table(&rows))
}

fn disk(disk: &Disk) -> String {
    let mut partitions = vec![["#", "PARTITION", "TYPE", "SIZE"].map(str::to_owned)];
    partitions.extend(disk.partitions.iter().map(|partition| {
        [partition.number.to_string(), partition.name.clone(), partition.type_name.clone(), size(partition.bytes)]
    }));
    let mut entries = vec![["BOOT ENTRY", "VERSION", "KERNEL", "SIZE", "ROOT HASH"].map(str::to_owned)];
    entries.extend(disk.entries.iter().map(|entry| {
        let root_hash = entry.root_hash().map(short);
        let or_none = |text: Option<&str>| text.unwrap_or("-").to_owned();
        let (version, kernel) = (or_none(entry.version.as_deref()), or_none(entry.kernel.as_deref()));
        [entry.path.clone(), version, kernel, size(entry.bytes), or_none(root_hash)]
    }));
    let mut slots = vec![["SLOT", "VERSION", "USED", "SIZE", "ROOT HASH"].map(str::to_owned)];
    slots.extend(disk.slots.iter().map(|slot| {
        let version = slot.version.as_deref().unwrap_or("-").to_owned();
        let root_hash = slot.root_hash.as_deref().map_or("empty", short).to_owned();
        [slot.name.clone(), version, size(slot.used), size(slot.bytes), root_hash]
    }));
    let problems = disk.problems.iter().fold(String::new(), |text, problem| text + "problem: " + problem + "\n");
    let [partitions, entries, slots] = [table(&partitions), table(&entries), table(&slots)];
    format!("DISK of {}\n{partitions}\n{entries}\n{slots}{problems}", size(disk.bytes))
}

fn packages(packages: &[PackageRow]) -> String {
    let mut sorted: Vec<_> = packages.iter().collect();
    sorted.sort_by(|a, b| b.installed_bytes.cmp(&a.installed_bytes).then_with(|| a.name.cmp(&b.name)));
    let total = packages.iter().map(|package| package.installed_bytes).sum();
    let mut rows = vec![["PACKAGE", "VERSION", "INSTALLED"].map(str::to_owned)];
    rows.extend(sorted.iter().map(|row| [row.name.clone(), row.version.clone(), size(row.installed_bytes)]));
    rows.push([format!("{} packages", packages.len()), String::new(), size(total)]);
    table(&rows)
}

fn unit_table(units: &[UnitRow]) -> String {
    let heads = ["UNIT", "USER NAMESPACE", "CAPABILITIES", "DEVICES", "HOST NAMESPACES", "HOST ROOT"];
    let list = |items: &[String]| if items.is_empty() { "-".to_owned() } else { items.join(" ") };
    let mut rows = vec![heads.map(str::to_owned)];
    rows.extend(units.iter().map(|row| {
        let lists = [&row.capabilities, &row.devices, &row.host_namespaces].map(|items| list(items));
        let [capabilities, devices, namespaces] = lists;
        let host_root = row.host_root.clone().unwrap_or_else(|| "no".to_owned());
        [row.unit.clone(), row.user_namespace.clone(), capabilities, devices, namespaces, host_root]
    }));
    table(&rows)
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    rows.iter().fold(String::new(), |mut text, row| {
        let cells: String = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  ")).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", cells.trim_end());
        text
    })
}

/// Enough of a digest to tell it from others.
fn short(digest: &str) -> &str {
    digest.get(..16).unwrap_or(digest)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Units;
    use ashlar_config::unit::{Body, Service, Unit};

    #[test]
    fn aligns_columns() {
        let rows = [["A", "B", "C"], ["größer", "", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "A       B  C\ngrößer     x\n");
    }

    #[test]
    fn prints_sizes() {
        fn check(bytes: u64, expect: &str) {
            assert_eq!(size(bytes), expect);
        }
        check(0, "0 B");
        check(1023, "1023 B");
        check(1536, "1.5 KiB");
        check(512 << 20, "512.0 MiB");
        check(3 << 29, "1.5 GiB");
    }

    #[test]
    fn sorts_packages_by_size() {
        let row = |name: &str, installed_bytes| PackageRow {
            name: name.to_owned(),
            version: "1".to_owned(),
            installed_bytes,
        };
        let expect = "PACKAGE     VERSION  INSTALLED\nb           1        2.0 KiB\na           1        10 B\n\
            2 packages           2.0 KiB\n";
        assert_eq!(packages(&[row("a", 10), row("b", 2048)]), expect);
    }

    #[test]
    fn expands_units() {
        let service = Service { tty: None, first_id: Some(65536), ..Service::default() };
        let unit = Unit { name: "a.service".into(), body: Body::Service(Box::new(service)), ..Unit::default() };
        let report = Report { units: Some(Units { units: vec![unit], ..Units::default() }), ..Report::default() };
        let text = expanded_units(&report);
        assert!(text.starts_with("# a.service\n"), "{text}");
        assert!(text.contains("[body.service]") && text.contains("first-id = 65536"), "{text}");
        toml::from_str::<toml::Table>(&text).unwrap();
    }

    #[test]
    fn shows_what_units_may_do() {
        let plain = UnitRow { unit: "ssh".to_owned(), user_namespace: "private".to_owned(), ..UnitRow::default() };
        let udev = UnitRow {
            unit: "udev".to_owned(),
            user_namespace: "host".to_owned(),
            capabilities: ["MKNOD".to_owned(), "SYS_ADMIN".to_owned()].to_vec(),
            host_root: Some("makes device nodes".to_owned()),
            ..UnitRow::default()
        };
        let text = unit_table(&[plain, udev]);
        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[1], "ssh private - - - no");
        assert_eq!(lines[2], "udev host MKNOD SYS_ADMIN - - makes device nodes");
    }
}
