//! The messages on the updater's socket, and what a machine remembers of its updates.
//!
//! Framing is that of PID 1's socket. Who may open the socket may call everything: it belongs to the group `os`.

use serde::{Deserialize, Serialize};

/// Where the updater listens.
pub const SOCKET: &str = "/run/ashlar-updater/socket";
/// The interface's name.
pub const INTERFACE: &str = "io.ashlar.Update";
/// The interface's Varlink definition.
pub const DEFINITION: &str = include_str!("io.ashlar.Update.varlink");

/// A call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// What is remembered: replies [`Reply::State`].
    GetState {},
    /// Take a new version: replies [`Reply::Progress`] as long as it works, then [`Reply::Outcome`].
    Upgrade {
        /// What and how.
        #[serde(flatten)]
        request: Request,
    },
    /// Have the other slot's version started next: replies [`Reply::Switched`].
    Rollback {
        /// The version that has to be there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<String>,
    },
    /// The boot entries, and which of them comes next: replies [`Reply::Boots`].
    GetBoots {},
    /// Take this version and no other until told otherwise: replies [`Reply::State`].
    Pin {
        /// The one that runs, if none is said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
    },
    /// Take any version again: replies [`Reply::State`].
    Unpin {},
    /// Take no new version until told otherwise: replies [`Reply::State`].
    Hold {
        /// Why; `None` ends it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// Which new version, and what to do with it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    /// Address of a published folder, instead of the machine's own source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The published folder travels with the call, as a file descriptor.
    pub folder: bool,
    /// Only this version; the newest otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Another channel than the machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// How far to go.
    pub until: Until,
    /// Also a version that was not well here before.
    pub retry: bool,
    /// Go over to it without a reboot.
    pub live: bool,
}

/// How far an upgrade goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Is there a new version?
    Check,
    /// What would it cost? Nothing is written.
    Plan,
    /// It is in its slot, and nothing points to it.
    Download,
    /// The next boot tries it.
    #[default]
    Switch,
}

/// What an upgrade is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Plan {
    /// The version that runs.
    pub from: String,
    /// The new one.
    pub to: String,
    /// Its root hash, in hexadecimal digits.
    pub root_hash: String,
    /// What its publisher says.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub notes: String,
    /// The slot that it goes to.
    pub slot: String,
    /// Bytes that have to come from the source; `None` until that was found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fetch: Option<u64>,
    /// Bytes that machines of this site give, beside those; `None` where they give nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub near: Option<u64>,
    /// Bytes that are on this machine already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reuse: Option<u64>,
    /// What it changes; `None` where its publisher does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Units whose state `os rollback` would bring back as it is now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub state: Vec<String>,
}

/// What a version changes of a running machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Change {
    /// Units that come, change or go.
    pub units: Vec<String>,
    /// It has another kernel, which comes with the next boot.
    pub kernel: bool,
    /// Why it cannot be taken without a reboot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot: Option<String>,
}

/// A version that was taken without a reboot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Live {
    /// Version.
    pub version: String,
    /// The one that ran before.
    pub from: String,
    /// Units that are started anew, or for the first time.
    pub units: Vec<String>,
    /// Units that people came in by: they are started anew when nobody is logged in any more.
    pub waiting: Vec<String>,
    /// Its kernel comes with the next boot.
    pub kernel: bool,
}

/// How an upgrade ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// There is nothing newer than what runs, or than what waits to be tried.
    Current {
        /// That version.
        version: String,
        /// It waits for the next boot.
        waits: bool,
    },
    /// There is a newer one; nothing was written.
    Available(Plan),
    /// It is in its slot.
    Downloaded(Plan),
    /// The next boot tries it.
    Switched(Plan),
    /// It runs, and has yet to show that it is well.
    Live(Live),
}

/// What an upgrade does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Reads the signed metadata.
    Trust,
    /// Looks for what is on this machine already.
    Compare,
    /// Copies that, and fetches the rest.
    Fetch,
    /// Reads the slot back from the disk.
    Verify,
    /// Writes the boot entry.
    Switch,
}

/// What a machine remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// The version that the next boot is to try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Version>,
    /// Versions that were found not to be well here. They are not tried again by themselves.
    pub condemned: Vec<Condemned>,
    /// Why no new version is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    /// The only version that is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// It has the lock of its group, until it is committed after the reboot.
    pub locked: bool,
    /// The latest last.
    pub history: Vec<Event>,
    /// What the last automatic round came to, where the machine upgrades by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub automatic: Option<Automatic>,
}

/// An automatic round: every rule and what it said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Automatic {
    /// When it was.
    pub time: String,
    /// All of them have to be open; what follows a closed one was not asked.
    pub gates: Vec<Gate>,
}

/// A rule, applied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gate {
    /// `policy`, `hold`, `pin`, `trial`, `source`, `version`, `condemned`, `delay`, `rollout`, `installed`, `reboot`, `window`,
    /// `people`, `inhibitors`, `lock`, `machine`.
    pub name: String,
    /// Whether it lets the upgrade pass.
    pub open: bool,
    /// In words.
    pub why: String,
}

/// A version and what it is known by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Version {
    /// Version.
    pub version: String,
    /// Root hash in hexadecimal digits.
    pub root_hash: String,
}

/// A version that did not pass.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condemned {
    /// Which.
    #[serde(flatten)]
    pub version: Version,
    /// Why.
    pub reason: String,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// `2026-11-25T09:30:00Z`.
    pub time: String,
    /// What.
    pub what: What,
    /// The version that it happened to.
    pub version: String,
    /// The one that ran then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// Why, where there is a reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// It was written, for the next boot to try.
    Installed,
    /// It was gone over to without a reboot.
    Live,
    /// Its services were well: it stays.
    Committed,
    /// They were not, or it did not get as far as that.
    Condemned,
    /// Somebody went back to it.
    RolledBack,
    /// An upgrade was begun and failed.
    Failed,
}

/// What the next boot takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Switched {
    /// Version that will be started.
    pub version: String,
    /// Version that runs until then.
    pub from: String,
    /// It has to show that it is well before it stays.
    pub trial: bool,
    /// Folders below /var/lib that go back to what that version left; what the running one has written there is set aside.
    pub state: Vec<String>,
}

/// What the boot loader has to choose from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Boots {
    /// Version that runs.
    pub version: String,
    /// `a` or `b`.
    pub slot: String,
    /// Root hash that runs.
    pub root_hash: String,
    /// `committed`, `trial` or `condemned`; empty where nobody has looked.
    pub standing: String,
    /// Version that the next boot starts.
    pub next: String,
    /// In the boot loader's order.
    pub entries: Vec<Entry>,
    /// Boots of this version in a row that never became ready, this one included until it is.
    pub unready: u32,
    /// After so many the boot loader counts tries again.
    pub limit: u32,
}

/// A boot entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// Name in `EFI/Linux`.
    pub file: String,
    /// Version.
    pub version: String,
    /// Root hash that it starts.
    pub root_hash: String,
    /// It is the one that runs.
    pub runs: bool,
    /// `committed`, `trial` or `condemned`.
    pub standing: String,
    /// Tries that are left, where they are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tries: Option<u32>,
    /// Tries that were used up.
    pub failed: u32,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// How far it is.
    Progress {
        /// With what.
        stage: Stage,
        /// Bytes done.
        done: u64,
        /// Bytes in all; 0 where that is not known.
        total: u64,
    },
    /// To `Upgrade`.
    Outcome(Outcome),
    /// To `GetBoots`.
    Boots(Boots),
    /// To `GetState`, `Hold`, `Pin` and `Unpin`.
    State(State),
    /// To `Rollback`.
    Switched(Switched),
}

/// Whose fault it is that something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The call makes no sense, or the machine has no configuration for it.
    Request,
    /// Somebody, or a rule, says that it is not to be.
    Held,
    /// The source cannot be reached or read.
    Source,
    /// What the source has is not signed as it has to be.
    Trust,
    /// The machine's disk or something else of its own.
    Machine,
}

/// It was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    /// Whose fault it is.
    pub fault: Fault,
    /// Why.
    pub reason: String,
}
