//! `[update]`: where new versions come from, and when they are taken without anybody asking.

use super::section::{Section, Source};
use super::{Placed, address, name};
use crate::quantity::{Size, Span};
use crate::window::Window;

/// Kinds of units that can be well.
const UNITS: [&str; 6] = ["service", "socket", "timer", "mount", "path", "target"];
/// In seconds.
const LONGEST: u64 = 86_400;
/// Where a machine gives to others unless it says another port, and how many bytes a second.
const PORT: u16 = 4724;
const GIVEN: u64 = 10 << 20;

/// What is said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Update {
    /// Where new versions are published.
    pub source: Option<Placed<String>>,
    /// Whose releases count.
    pub channel: Option<Placed<String>>,
    /// Whether they are taken by themselves: `yes` or `no`.
    pub automatic: Option<Placed<String>>,
    /// Only so long after they were published.
    pub delay: Option<Placed<String>>,
    /// When the machine may reboot into one by itself.
    pub windows: Vec<Placed<String>>,
    /// Whether it may do so at all: `automatic`, `now` or `manual`.
    pub reboot: Option<Placed<String>>,
    /// Whether one that needs no reboot is gone over to while all runs: `yes` or `no`.
    pub live: Option<Placed<String>>,
    /// Through which proxy the source is reached.
    pub proxy: Option<Placed<String>>,
    /// Bytes a second that are fetched at most.
    pub bandwidth: Option<Placed<String>>,
    /// Whose leave is needed for a reboot by itself.
    pub lock: Option<Lock>,
    /// What machines of one site give each other.
    pub peers: Option<Peers>,
    /// What has to hold besides the image's own units before a new version stays.
    pub checks: Vec<Check>,
    /// For how long all of it has to be well.
    pub well_for: Option<Placed<String>>,
    /// By when it has to have been.
    pub well_within: Option<Placed<String>>,
    /// Something of it does not read. What is left may be less than what its author holds back.
    pub is_damaged: bool,
}

/// A lock of a group of machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// `fleetlock = "http://192.0.2.9:3333"`: a FleetLock server.
    pub fleetlock: Option<String>,
    /// `etcd = ["http://192.0.2.9:2379"]`: an etcd.
    pub etcd: Vec<String>,
    /// `group = "web"`.
    pub group: String,
    /// `at-most = 2`: so many of them at once, with etcd.
    pub at_most: u32,
}

/// What machines of one site give each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// `list = ["http://192.0.2.7:4724"]`: those that are asked before the source.
    pub list: Vec<String>,
    /// `discover = true`: likewise those that are found by multicast DNS.
    pub discover: bool,
    /// `serve = true`: this one gives what it has.
    pub serve: bool,
    /// `port = 4724`: there.
    pub port: u16,
    /// `bandwidth = "10M"`: so many bytes a second at most, to all of them together.
    pub bandwidth: u64,
}

/// Something that has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// How it is told apart.
    pub name: Placed<String>,
    /// What.
    pub kind: CheckKind,
}

/// What a check looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// `unit = "web.service"`: it is up, or has done its work.
    Unit(String),
    /// `http = "http://127.0.0.1:8080/healthz"`: it answers with 2xx.
    Http(String),
    /// `tcp = "127.0.0.1:5432"`: it takes a connection.
    Tcp(String),
    /// `command = ["podman", "healthcheck", "run", "web"]`: it ends with 0, on the host, as root.
    Command(Vec<String>),
}

/// Reads the section.
pub(super) fn read(mut section: Section<'_>, source: &mut Source<'_>) -> Update {
    let before = source.mistakes();
    let mut update = Update {
        source: section.text(source, "source").filter(|text| source.holds(text, address::publisher)),
        channel: section.text(source, "channel").filter(|text| source.holds(text, name::channel)),
        automatic: switch(&mut section, source, "automatic"),
        delay: section.text(source, "delay").filter(|text| source.holds(text, |text| Span::parse(text).map(drop))),
        windows: section.checked(source, "windows", |text| Window::parse(text).map(drop)),
        reboot: section.text(source, "reboot").filter(|text| source.holds(text, reboot)),
        live: switch(&mut section, source, "live"),
        proxy: section.text(source, "proxy").filter(|text| source.holds(text, address::web)),
        bandwidth: section.text(source, "bandwidth").filter(|text| source.holds(text, bandwidth)),
        lock: None,
        peers: None,
        checks: Vec::new(),
        well_for: section.text(source, "well-for").filter(|text| source.holds(text, span)),
        well_within: section.text(source, "well-within").filter(|text| source.holds(text, span)),
        is_damaged: false,
    };
    if let Some(entry) = section.section(source, "lock") {
        update.lock = lock(entry, source);
    }
    if let Some(entry) = section.section(source, "peers") {
        update.peers = peers(entry, source);
    }
    for entry in section.sections(source, "checks") {
        if let Some(check) = check(entry, source) {
            match update.checks.iter().find(|other| other.name.value == check.name.value) {
                Some(_) => source.push(check.name.error(format!("there are two checks `{}`", check.name.value))),
                None => update.checks.push(check),
            }
        }
    }
    section.finish(source);
    update.is_damaged = source.mistakes() > before;
    update
}

fn lock(mut entry: Section<'_>, source: &mut Source<'_>) -> Option<Lock> {
    let before = source.mistakes();
    let fleetlock = entry.text(source, "fleetlock").filter(|text| source.holds(text, address::web));
    let etcd = entry.checked(source, "etcd", address::web);
    let group = entry.text(source, "group").filter(|text| source.holds(text, name::channel));
    let at_most = entry.number(source, "at-most", 1..=10_000);
    if fleetlock.is_some() != etcd.is_empty() && source.mistakes() == before {
        entry.complain(source, "has to say one of `fleetlock` and `etcd`");
    }
    if fleetlock.is_some() && at_most.is_some() {
        entry.complain(source, "says `at-most`, which a FleetLock server decides for itself");
    }
    entry.finish(source);
    (source.mistakes() == before).then(|| Lock {
        fleetlock: fleetlock.map(|text| text.value),
        etcd: etcd.into_iter().map(|text| text.value).collect(),
        group: group.map_or_else(|| "default".to_owned(), |text| text.value),
        at_most: at_most.unwrap_or(1),
    })
}

fn peers(mut entry: Section<'_>, source: &mut Source<'_>) -> Option<Peers> {
    let before = source.mistakes();
    let list = entry.checked(source, "list", address::web);
    let mut is_on = |key| switch(&mut entry, source, key).is_some_and(|text| text.value == "yes");
    let (discover, serve) = (is_on("discover"), is_on("serve"));
    // Lower ones need a privilege.
    let port = entry.number(source, "port", 1024..=65_535);
    let given = entry.text(source, "bandwidth").filter(|text| source.holds(text, bandwidth));
    if (port.is_some() || given.is_some()) && !serve && source.mistakes() == before {
        entry.complain(source, "says `port` or `bandwidth`, which are of what it gives: say `serve = true`, too");
    }
    entry.finish(source);
    (source.mistakes() == before).then(|| Peers {
        list: list.into_iter().map(|text| text.value).collect(),
        discover,
        serve,
        port: port.and_then(|port| port.try_into().ok()).unwrap_or(PORT),
        bandwidth: given.and_then(|text| Size::parse(&text.value).ok()).map_or(GIVEN, |size| size.0),
    })
}

fn check(mut entry: Section<'_>, source: &mut Source<'_>) -> Option<Check> {
    let name = entry.required_text(source, "name").filter(|text| source.holds(text, name::check));
    let before = source.mistakes();
    let unit = entry.text(source, "unit").filter(|text| source.holds(text, unit));
    let http = entry.text(source, "http").filter(|text| source.holds(text, address::web));
    let tcp = entry.text(source, "tcp").filter(|text| source.holds(text, address::port));
    let command = entry.checked(source, "command", word);
    let command = (!command.is_empty()).then(|| command.into_iter().map(|word| word.value).collect());
    let value = |text: Option<Placed<String>>| text.map(|text| text.value);
    let all = [
        value(unit).map(CheckKind::Unit),
        value(http).map(CheckKind::Http),
        value(tcp).map(CheckKind::Tcp),
        command.map(CheckKind::Command),
    ];
    let mut said = all.into_iter().flatten();
    let (kind, more) = (said.next(), said.next());
    if (kind.is_none() || more.is_some()) && source.mistakes() == before {
        entry.complain(source, "has to say one of `unit`, `http`, `tcp` and `command`");
    }
    entry.finish(source);
    Some(Check { name: name?, kind: kind.filter(|_| more.is_none())? })
}

/// A unit that can be well.
fn unit(text: &str) -> Result<(), String> {
    let suffix = text.rsplit_once('.').map(|(_, suffix)| suffix);
    let known = suffix.is_some_and(|suffix| UNITS.contains(&suffix));
    let sound = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte));
    (known && sound).then_some(()).ok_or_else(|| format!("`{text}` is no unit's full name; write it like web.service"))
}

fn word(text: &str) -> Result<(), String> {
    let sound = !text.contains(char::is_control);
    sound.then_some(()).ok_or_else(|| "a word of a command has no line feeds or other control characters".to_owned())
}

fn span(text: &str) -> Result<(), String> {
    let span = Span::parse(text)?;
    let bounded = span.duration().is_some_and(|span| (1..=LONGEST).contains(&span.as_secs()));
    bounded.then_some(()).ok_or_else(|| format!("`{text}` is not between 1 s and 1 d"))
}

/// `2M`: a size.
fn bandwidth(text: &str) -> Result<(), String> {
    let slow = Size::parse(text)?.0 < 1024;
    if slow { Err(format!("`{text}` is less than 1K a second")) } else { Ok(()) }
}

/// `yes` or `no`.
fn switch(section: &mut Section<'_>, source: &mut Source<'_>, key: &'static str) -> Option<Placed<String>> {
    let known = |text: &str| match text {
        "yes" | "no" => Ok(()),
        _ => Err(format!("`{key}` is true or false, not `{text}`")),
    };
    section.switch(source, key).filter(|text| source.holds(text, known))
}

fn reboot(text: &str) -> Result<(), String> {
    let known = matches!(text, "automatic" | "now" | "manual");
    if known { Ok(()) } else { Err(format!("`reboot` is automatic, now or manual, not `{text}`")) }
}

impl Update {
    /// See [`super::Machine::overridden_by`].
    pub(super) fn overridden_by(self, other: Self) -> Self {
        Self {
            source: other.source.or(self.source),
            channel: other.channel.or(self.channel),
            automatic: other.automatic.or(self.automatic),
            delay: other.delay.or(self.delay),
            windows: if other.windows.is_empty() { self.windows } else { other.windows },
            reboot: other.reboot.or(self.reboot),
            live: other.live.or(self.live),
            proxy: other.proxy.or(self.proxy),
            bandwidth: other.bandwidth.or(self.bandwidth),
            lock: other.lock.or(self.lock),
            peers: other.peers.or(self.peers),
            checks: if other.checks.is_empty() { self.checks } else { other.checks },
            well_for: other.well_for.or(self.well_for),
            well_within: other.well_within.or(self.well_within),
            is_damaged: self.is_damaged || other.is_damaged,
        }
    }
}
