//! A unit as its author writes it. Unknown keys are refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::seal::{Limits, Seal};
use super::supervision::Supervision;
use crate::Error;
use crate::quantity::{Size, Span};

/// `system-containers/NAME/unit.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UnitFile {
    /// One line for people, without a full stop.
    pub description: String,
    /// Where to read more.
    #[serde(default)]
    pub documentation: Vec<String>,
    /// Other full names of the service, such as `sshd.service`.
    #[serde(default)]
    pub aliases: Vec<String>,

    /// Debian packages whose closure is the container's root file system.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Files of this folder and where they go in the container: target path = file name.
    #[serde(default)]
    pub files: BTreeMap<String, String>,
    /// Which root file system the container has.
    #[serde(default)]
    pub rootfs: Rootfs,

    /// What this unit needs and in which order; see [`Dependencies`].
    #[serde(flatten, skip_deserializing)]
    pub dependencies: Dependencies,
    /// Units that pull this one in when they start; `multi-user.target` unless said otherwise.
    pub wanted_by: Option<Vec<String>>,

    /// When the unit counts as started.
    #[serde(rename = "type", default)]
    pub service_type: ServiceType,
    /// The program and its arguments.
    #[serde(default)]
    pub command: Vec<String>,
    /// Commands to run, in order, before `command`; a failure fails the start.
    #[serde(default)]
    pub start_pre: Vec<Vec<String>>,
    /// What asks the running program to read its configuration again.
    pub reload: Option<Vec<String>>,
    /// Environment of every command.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// User by name, as the container's /etc/passwd knows it.
    #[serde(default = "root")]
    pub user: String,
    /// Further groups by name.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Directory to start in.
    pub working_directory: Option<String>,
    /// Terminal to take as standard input, output and error.
    pub tty: Option<String>,
    /// Where standard output and error go.
    #[serde(default)]
    pub output: Output,
    /// Start only if this path exists on the host.
    pub condition_path_exists: Option<String>,

    /// How, when and how often to start again, and when to give up.
    #[serde(flatten, skip_deserializing)]
    pub supervision: Supervision,
    /// Namespaces, identity and privileges.
    #[serde(flatten, skip_deserializing)]
    pub seal: Seal,
    /// Limits on the unit's control group and processes.
    #[serde(default)]
    pub limits: Limits,

    /// Sockets that PID 1 listens on for the service.
    #[serde(default)]
    pub sockets: Vec<Socket>,
    /// Times at which the service is started.
    pub timer: Option<Timer>,
    /// A command that says whether the service does its work.
    pub health: Option<Health>,
    /// Whether a new version of the machine is only good once this unit is.
    #[serde(default = "yes")]
    pub gate: bool,
}

fn root() -> String {
    "root".into()
}

fn yes() -> bool {
    true
}

impl UnitFile {
    /// Reads the text of one `unit.toml`; `file` is only named in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        // Each group of keys is read from the text on its own: serde's `flatten` would lose the line numbers and
        // could not refuse unknown keys.
        check_keys(file, text)?;
        Ok(Self {
            dependencies: read(file, text)?,
            supervision: read(file, text)?,
            seal: read(file, text)?,
            ..read(file, text)?
        })
    }
}

fn read<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, Error> {
    toml::from_str(text).map_err(|error| Error::toml(file, text, &error))
}

/// What a unit needs. Requirements and order are separate, as in systemd.unit(5).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Dependencies {
    /// Started with this one; if one fails, so does this.
    pub requires: Vec<String>,
    /// Started with this one; their failure does not matter.
    pub wants: Vec<String>,
    /// As `wants`, and started again, whoever ended them, for as long as this one is up.
    pub upholds: Vec<String>,
    /// As `requires`, and this one stops when they go away.
    pub binds_to: Vec<String>,
    /// Stopping or restarting those stops or restarts this.
    pub part_of: Vec<String>,
    /// Never active at the same time.
    pub conflicts: Vec<String>,
    /// Start only after these have started (or failed).
    pub after: Vec<String>,
    /// Start before these.
    pub before: Vec<String>,
    /// These must be up already when it starts.
    pub requisite: Vec<String>,
    /// Started when it fails.
    pub on_failure: Vec<String>,
    /// Started when it ends well.
    pub on_success: Vec<String>,
    /// Reloaded when it is.
    pub propagates_reload_to: Vec<String>,
    /// Stopped when it is.
    pub propagates_stop_to: Vec<String>,
    /// It is reloaded when they are.
    pub reload_propagated_from: Vec<String>,
    /// It is stopped when they are.
    pub stop_propagated_from: Vec<String>,
}

/// When a service counts as started (systemd.service(5), Type=).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceType {
    /// As soon as it was forked.
    Simple,
    /// Once the program was executed.
    #[default]
    Exec,
    /// When it sends READY=1.
    Notify,
    /// As notify; reloads by signal and says when it is done.
    NotifyReload,
    /// When it has ended.
    Oneshot,
    /// When the first process has ended and left another one.
    Forking,
    /// When it has its name on the system bus.
    Dbus,
    /// As simple; it may wait until nothing else is to be started.
    Idle,
}

/// Which root file system a container has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rootfs {
    /// The closure of its own packages.
    #[default]
    Private,
    /// The machine's root: what a person who logs in works with.
    Machine,
}

/// Where standard output and error go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// The journal; the kernel's log while there is no journal.
    #[default]
    Journal,
    /// Nowhere: for the journal itself.
    Null,
    /// The unit's terminal.
    Tty,
}

/// One socket that PID 1 opens for a service. Exactly one `listen-…` key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Socket {
    /// Stream socket: path, port, or address:port.
    pub listen_stream: Option<String>,
    /// Datagram socket.
    pub listen_datagram: Option<String>,
    /// Sequential-packet socket.
    pub listen_sequential_packet: Option<String>,
    /// Netlink: family and group, such as `route 1361`.
    pub listen_netlink: Option<String>,
    /// Named pipe.
    pub listen_fifo: Option<String>,
    /// Name in LISTEN_FDNAMES; the socket unit's name if absent.
    pub name: Option<String>,
    /// Permissions of a path, octal text; `0666` if absent.
    pub mode: Option<String>,
    /// Owner of a path.
    pub user: Option<String>,
    /// Group of a path.
    pub group: Option<String>,
    /// Symbolic links to the path.
    pub symlinks: Vec<String>,
    /// SO_PASSCRED.
    pub pass_credentials: bool,
    /// SO_PASSSEC.
    pub pass_security: bool,
    /// SO_TIMESTAMP.
    pub timestamping: bool,
    /// SO_RCVBUFFORCE.
    pub receive_buffer: Option<Size>,
    /// SO_SNDBUFFORCE.
    pub send_buffer: Option<Size>,
    /// How many connections may wait; as many as the kernel lets if absent.
    pub backlog: Option<u32>,
    /// An IPv6 socket takes IPv4 connections, too, unless this says otherwise.
    pub ipv6_only: bool,
    /// IP_FREEBIND: the address need not be there; of IPv6 it never need.
    pub free_bind: bool,
    /// IP_TRANSPARENT.
    pub transparent: bool,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// SO_KEEPALIVE.
    pub keep_alive: bool,
    /// TCP_KEEPIDLE.
    pub keep_alive_time: Option<Span>,
    /// TCP_KEEPINTVL.
    pub keep_alive_interval: Option<Span>,
    /// TCP_KEEPCNT.
    pub keep_alive_probes: Option<u32>,
    /// TCP_NODELAY.
    pub no_delay: bool,
    /// TCP_DEFER_ACCEPT.
    pub defer_accept: Option<Span>,
    /// SO_PRIORITY.
    pub priority: Option<u32>,
    /// SO_MARK.
    pub mark: Option<u32>,
    /// SO_BROADCAST.
    pub broadcast: bool,
    /// IP_PKTINFO and its kin.
    pub pass_packet_info: bool,
    /// Start the service at once rather than with the first connection.
    pub eager: bool,
}

/// When a service is started by the clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Timer {
    /// This long after boot.
    pub on_boot: Option<Span>,
    /// This long after the timer was started.
    pub on_active: Option<Span>,
    /// This long after the service was last started.
    pub on_unit_active: Option<Span>,
    /// This long after the service last ended.
    pub on_unit_inactive: Option<Span>,
    /// Up to this much later, at random.
    pub randomized_delay: Option<Span>,
    /// Times of the calendar, as systemd.time(7) writes them.
    pub on_calendar: Vec<String>,
    /// A time of the calendar that passed while the machine was off is made up for.
    pub persistent: bool,
}

/// A command that says whether a service does its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Health {
    /// Run in the container; exit code 0 is healthy.
    pub command: Vec<String>,
    /// Pause between two checks.
    pub interval: Span,
    /// Longest run of one check.
    pub timeout: Span,
    /// Failures in a row that count.
    pub retries: u32,
}

/// Holds the file's top-level keys against the ones a unit has.
fn check_keys(file: &str, text: &str) -> Result<(), Error> {
    let table: toml::Table = read(file, text)?;
    let known = known_keys();
    let Some(unknown) = table.keys().find(|key| !known.contains(key)) else { return Ok(()) };
    let line = text.lines().position(|line| key_of(line) == Some(unknown)).map(|index| index + 1);
    let message = match crate::nearest::nearest(unknown, known.iter().map(String::as_str)) {
        Some(near) => format!("unknown key `{unknown}`, did you mean `{near}`?"),
        None => format!("unknown key `{unknown}`"),
    };
    Err(Error { file: file.into(), line, message })
}

/// The key that a line of TOML sets or opens, if it does.
fn key_of(line: &str) -> Option<&str> {
    let line = line.trim_start().trim_start_matches('[');
    let end = line.find(['=', ']', '.', ' '])?;
    Some(line[..end].trim_matches('"'))
}

/// Every key that a unit file can have, from the types themselves: a full value, written out.
fn known_keys() -> Vec<String> {
    let mut keys: Vec<String> = FULL_KEYS.iter().map(|key| (*key).into()).collect();
    for table in [
        toml::Table::try_from(Dependencies::default()),
        toml::Table::try_from(Supervision::default()),
        toml::Table::try_from(Seal::default()),
    ] {
        keys.extend(table.expect("defaults are plain values").into_iter().map(|(key, _)| key));
    }
    keys
}

/// Keys outside the flattened groups, and the optional ones that a default value does not write.
const FULL_KEYS: [&str; 31] = [
    "description",
    "documentation",
    "aliases",
    "packages",
    "files",
    "rootfs",
    "wanted-by",
    "type",
    "command",
    "start-pre",
    "reload",
    "environment",
    "user",
    "groups",
    "working-directory",
    "tty",
    "output",
    "condition-path-exists",
    "limits",
    "sockets",
    "timer",
    "health",
    "gate",
    "watchdog",
    "runtime-max",
    "notify-access",
    "host-root",
    "delegate-subgroup",
    "fd-store",
    "kill-mode",
    "restart",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::Signal;

    #[test]
    fn mistakes() {
        let check = |text: &str, expect: &str| {
            let error = UnitFile::parse("x/unit.toml", text).expect_err(text).to_string();
            assert_eq!(error, expect, "{text}");
        };
        check("description = 'x'\ncomand = ['a']", "x/unit.toml:2: unknown key `comand`, did you mean `command`?");
        check(
            "description = 'x'\n[limits]\nmemory-mx = '1M'",
            "x/unit.toml:3: unknown key `memory-mx`, did you mean `memory-max`?",
        );
        check("description = 'x'\ntype = 'notfy'", "x/unit.toml:2: unknown value `notfy`, did you mean `notify`?");
        check("command = ['a']", "x/unit.toml:1: missing field `description`");
        check(
            "description = 'x'\ntimeout-start = 'soon'",
            "x/unit.toml:2: `soon` is no span of time; write it like 500ms, 90s, 1min 30s, 2h or infinity",
        );
    }

    #[test]
    fn every_key_is_known() {
        let text = "description='x'\nwatchdog='1s'\nnotify-access='all'\nhost-root='y'\ndelegate-subgroup='s'\nkill-signal='SIGINT'";
        let unit = UnitFile::parse("x", text).unwrap();
        assert_eq!(unit.supervision.kill_signal, Signal(2));
        assert_eq!(unit.supervision.watchdog, Some(Span::seconds(1)));
        assert_eq!(unit.seal.host_root.as_deref(), Some("y"));
    }
}
