//! The time zone and the servers that are asked for the time.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use ashlar_config::machine::{Machine, Placed};
use ashlar_config::nearest::nearest;

use crate::names::ETC;
use crate::report::Report;
use crate::write;

const ZONES: &str = "/usr/share/zoneinfo";
const TIMESYNCD: &str = "/run/systemd/timesyncd.conf.d/ashlar.conf";
/// How a zone's file begins (RFC 9636, section 3.1).
const MAGIC: &[u8] = b"TZif";
/// Coordinated universal time, for an image without zones: one type of local time, with no offset, called UTC.
const UTC: &[u8] =
    b"TZif\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x04\0\0\0\0\0\0UTC\0";

/// Writes localtime and timesyncd's part.
pub fn set(machine: &Machine, report: &mut Report) -> Result<()> {
    let zone = machine.timezone.as_ref().and_then(|zone| match read(&zone.value) {
        Some(bytes) => Some(bytes),
        None => {
            report.mistake(&zone.error(unknown(&zone.value)));
            None
        }
    });
    let zone = zone.or_else(|| read("UTC")).unwrap_or_else(|| UTC.to_vec());
    write::file(format!("{ETC}/localtime"), &zone)?;
    match servers(&machine.time_servers) {
        Some(text) => write::file(TIMESYNCD, text.as_bytes()),
        None => write::no_file(TIMESYNCD),
    }
    .context("describe the time servers")
}

fn read(zone: &str) -> Option<Vec<u8>> {
    fs::read(Path::new(ZONES).join(zone)).ok().filter(|bytes| bytes.starts_with(MAGIC))
}

fn unknown(zone: &str) -> String {
    let (region, city) = zone.rsplit_once('/').unwrap_or(("", zone));
    let entries = fs::read_dir(Path::new(ZONES).join(region)).into_iter().flatten().flatten();
    let names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    match nearest(city, names.iter().map(String::as_str)) {
        Some(near) if region.is_empty() => format!("there is no time zone `{zone}`, did you mean `{near}`?"),
        Some(near) => format!("there is no time zone `{zone}`, did you mean `{region}/{near}`?"),
        None => format!("there is no time zone `{zone}`; write it like Europe/Vienna or UTC"),
    }
}

fn servers(servers: &[Placed<String>]) -> Option<String> {
    let names: Vec<&str> = servers.iter().map(|server| server.value.as_str()).collect();
    (!names.is_empty()).then(|| format!("[Time]\nNTP={}\n", names.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn universal_time_is_a_whole_file() {
        // Header of 44 bytes that ends with how many types and letters there are, one type of 6, a name of 4.
        assert_eq!((UTC.len(), UTC[39], UTC[43], &UTC[50..]), (54, 1, 4, &b"UTC\0"[..]));
    }
}
