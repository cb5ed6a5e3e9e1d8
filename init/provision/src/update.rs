//! Where updates come from, when they are taken, and what has to hold before a new version stays.
//!
//! Checks go three ways: units to PID 1's gate; commands there, too, as units of their own; addresses to the service of
//! the image that tries them (`updater checks`).

use anyhow::Result;
use ashlar_config::machine::{Check, CheckKind, Machine, Peers, Placed};
use ashlar_config::quantity::{Size, Span};
use ashlar_config::trial::{self, Terms};
use serde::Serialize;

use crate::report::Report;
use crate::write;

const SETTINGS: &str = "/run/ashlar/update.json";
/// What the image's service asks; it is not started without.
const CHECKS: &str = "/run/ashlar/checks.json";
/// What the image's service gives to other machines; it is not started without.
const SHARE: &str = "/run/ashlar/share.json";
/// After the image's own, which says no.
const RESOLVED: &str = "/run/systemd/resolved.conf.d/peers.conf";
/// See systemd.dnssd(5).
const SERVICE: &str = "/run/systemd/dnssd/ashlar-update.dnssd";
/// Unit files until the next boot, and what pulls them in.
const UNITS: &str = "/run/systemd/system";
const DROP_INS: &str = "/run/systemd/system/multi-user.target.d";

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Settings<'a> {
    source: Option<&'a str>,
    channel: Option<&'a str>,
    automatic: bool,
    delay: Option<&'a str>,
    windows: Vec<&'a str>,
    reboot: Option<&'a str>,
    live: bool,
    proxy: Option<&'a str>,
    /// Bytes a second.
    bandwidth: Option<u64>,
    lock: Option<Group<'a>>,
    peers: Option<Near<'a>>,
    /// The updater holds everything back then.
    damaged: bool,
}

/// Whose leave is needed for a reboot.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Group<'a> {
    fleetlock: Option<&'a str>,
    etcd: &'a [String],
    group: &'a str,
    at_most: u32,
}

/// Machines that are asked before the source.
#[derive(Serialize)]
struct Near<'a> {
    list: &'a [String],
    discover: bool,
}

/// What this machine gives to others.
#[derive(Serialize)]
struct Share {
    port: u16,
    /// Bytes a second.
    bandwidth: u64,
}

/// A check of something that listens.
#[derive(Serialize)]
struct Address<'a> {
    name: &'a str,
    /// `http` or `tcp`.
    kind: &'static str,
    address: &'a str,
}

/// Writes what the configuration says.
pub fn set(machine: &Machine, _: &mut Report) -> Result<()> {
    fn text(text: &Option<Placed<String>>) -> Option<&str> {
        text.as_ref().map(|text| text.value.as_str())
    }
    let span = |span| text(span).and_then(|text| Span::parse(text).ok()).map(|span| span.0);
    let update = &machine.update;
    let settings = Settings {
        source: text(&update.source),
        channel: text(&update.channel),
        automatic: text(&update.automatic) == Some("yes"),
        delay: text(&update.delay),
        windows: update.windows.iter().map(|window| window.value.as_str()).collect(),
        reboot: text(&update.reboot),
        live: text(&update.live) == Some("yes"),
        proxy: text(&update.proxy),
        bandwidth: text(&update.bandwidth).and_then(|text| Size::parse(text).ok()).map(|size| size.0),
        lock: update.lock.as_ref().map(|lock| Group {
            fleetlock: lock.fleetlock.as_deref(),
            etcd: &lock.etcd,
            group: &lock.group,
            at_most: lock.at_most,
        }),
        peers: update.peers.as_ref().map(|peers| Near { list: &peers.list, discover: peers.discover }),
        damaged: update.is_damaged,
    };
    write::file(SETTINGS, &serde_json::to_vec(&settings)?)?;
    match update.peers.as_ref().filter(|peers| peers.serve) {
        None => write::no_file(SHARE)?,
        Some(peers) => {
            let share = Share { port: peers.port, bandwidth: peers.bandwidth };
            write::file(SHARE, &serde_json::to_vec(&share)?)?;
        }
    }
    for (path, text) in announced(update.peers.as_ref()) {
        match text {
            None => write::no_file(path)?,
            Some(text) => write::file(path, text.as_bytes())?,
        }
    }
    let addresses: Vec<Address<'_>> = update.checks.iter().filter_map(address).collect();
    match addresses.is_empty() {
        true => write::no_file(CHECKS)?,
        false => write::file(CHECKS, &serde_json::to_vec(&addresses)?)?,
    }
    let units: Vec<(String, String)> = update.checks.iter().filter_map(unit_of_command).collect();
    write::folder(UNITS, is_ours, &units)?;
    let wants = units.iter().map(|(name, _)| format!("[Unit]\nWants={name}\n"));
    let drop_ins: Vec<(String, String)> =
        units.iter().zip(wants).map(|((name, _), text)| (name.replace(".service", ".conf"), text)).collect();
    write::folder(DROP_INS, is_ours, &drop_ins)?;
    let named = update.checks.iter().filter_map(|check| match &check.kind {
        CheckKind::Unit(unit) => Some(unit.clone()),
        _ => None,
    });
    let terms = Terms {
        units: named.chain(units.into_iter().map(|(name, _)| name)).collect(),
        well_for: span(&update.well_for),
        well_within: span(&update.well_within),
    };
    write::file(trial::FILE, &serde_json::to_vec(&terms)?)
}

/// What systemd-resolved is told: whether it speaks multicast DNS, and which service it announces.
fn announced(peers: Option<&Peers>) -> [(&'static str, Option<String>); 2] {
    let peers = peers.filter(|peers| peers.discover);
    let mode = peers.map(|peers| if peers.serve { "yes" } else { "resolve" });
    let service = |peers: &Peers| format!("[Service]\nName=%H\nType=_ashlar-update._tcp\nPort={}\n", peers.port);
    [
        (RESOLVED, mode.map(|mode| format!("[Resolve]\nMulticastDNS={mode}\n"))),
        (SERVICE, peers.filter(|peers| peers.serve).map(service)),
    ]
}

fn address(check: &Check) -> Option<Address<'_>> {
    let (kind, address) = match &check.kind {
        CheckKind::Http(address) => ("http", address),
        CheckKind::Tcp(address) => ("tcp", address),
        CheckKind::Unit(_) | CheckKind::Command(_) => return None,
    };
    Some(Address { name: &check.name.value, kind, address })
}

fn is_ours(name: &str) -> bool {
    name.starts_with("ashlar-check-")
}

/// A unit that tries a command until it succeeds, in the form of systemd.service(5).
fn unit_of_command(check: &Check) -> Option<(String, String)> {
    let CheckKind::Command(words) = &check.kind else { return None };
    let name = &check.name.value;
    let command: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let text = format!(
        "[Unit]\nDescription=Check {name} of machine.toml\nStartLimitIntervalSec=0\n\n\
         [Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={}\nRestart=on-failure\nRestartSec=2\n",
        command.join(" ")
    );
    Some((format!("ashlar-check-{name}.service"), text))
}

/// A word as it is: no blanks, variables or specifiers mean anything in it (systemd.service(5), "Command lines").
fn quoted(word: &str) -> String {
    let word = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    format!("\"{word}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_config::machine::parse;

    #[test]
    fn only_who_gives_is_announced() {
        let check = |keys: &str, mode: Option<&str>, port: Option<&str>| {
            let (machine, errors) = parse("m.toml", &format!("[update.peers]\n{keys}"));
            assert_eq!(errors, []);
            let [(_, resolved), (_, service)] = announced(machine.update.peers.as_ref());
            assert_eq!(resolved.map(|text| text.contains(mode.unwrap_or("?"))), mode.map(|_| true), "{keys}");
            assert_eq!(service.map(|text| text.contains(port.unwrap_or("?"))), port.map(|_| true), "{keys}");
        };
        check("list = 'http://192.0.2.7:4724'", None, None);
        check("serve = true", None, None);
        check("discover = true", Some("MulticastDNS=resolve\n"), None);
        check("discover = true\nserve = true\nport = 2000", Some("MulticastDNS=yes\n"), Some("Port=2000\n"));
    }

    #[test]
    fn checks_go_where_they_are_tried() {
        let text = r#"
            [[update.checks]]
            name = "own"
            command = ["/etc/check", 'a "b" 100% $X \']
            [[update.checks]]
            name = "web"
            http = "http://127.0.0.1/"
        "#;
        let (machine, errors) = parse("m.toml", text);
        assert_eq!(errors, []);
        let checks = &machine.update.checks;
        let (name, unit) = unit_of_command(&checks[0]).unwrap();
        assert_eq!(name, "ashlar-check-own.service");
        assert!(unit.contains(r#"ExecStart="/etc/check" "a \"b\" 100%% $$X \\""#), "{unit}");
        assert!(unit_of_command(&checks[1]).is_none() && address(&checks[0]).is_none());
        let json = serde_json::to_string(&address(&checks[1])).unwrap();
        assert_eq!(json, r#"{"name":"web","kind":"http","address":"http://127.0.0.1/"}"#);
    }
}
