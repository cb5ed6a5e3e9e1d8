//! Signals by name.

use serde::{Deserialize, Serialize};

/// A signal, written by name: `SIGTERM`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub i32);

/// signal(7), on x86-64 and arm64.
const SIGNALS: [(&str, i32); 31] = [
    ("SIGHUP", 1),
    ("SIGINT", 2),
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGKILL", 9),
    ("SIGUSR1", 10),
    ("SIGSEGV", 11),
    ("SIGUSR2", 12),
    ("SIGPIPE", 13),
    ("SIGALRM", 14),
    ("SIGTERM", 15),
    ("SIGSTKFLT", 16),
    ("SIGCHLD", 17),
    ("SIGCONT", 18),
    ("SIGSTOP", 19),
    ("SIGTSTP", 20),
    ("SIGTTIN", 21),
    ("SIGTTOU", 22),
    ("SIGURG", 23),
    ("SIGXCPU", 24),
    ("SIGXFSZ", 25),
    ("SIGVTALRM", 26),
    ("SIGPROF", 27),
    ("SIGWINCH", 28),
    ("SIGIO", 29),
    ("SIGPWR", 30),
    ("SIGSYS", 31),
];
/// The first one of the real-time signals that glibc leaves to programs.
const REAL_TIME: i32 = 34;

impl Default for Signal {
    fn default() -> Self {
        Self(15)
    }
}

impl Signal {
    /// Reads `SIGTERM`, `TERM`, `SIGRTMIN+1` or `15`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|n| (1..=64).contains(n));
        let named = || SIGNALS.iter().find(|(name, _)| *name == text || name[3..] == *text).map(|(_, n)| *n);
        let offset =
            text.trim_start_matches("SIG").strip_prefix("RTMIN").map(|rest| rest.strip_prefix('+').unwrap_or("0"));
        let real_time = || offset?.parse().ok().map(|n: i32| REAL_TIME + n).filter(|n| (REAL_TIME..=64).contains(n));
        number.or_else(named).or_else(real_time).map(Self).ok_or_else(|| format!("unknown signal `{text}`"))
    }
}

impl Signal {
    /// `SIGTERM`; of one without a name its number.
    pub fn name(self) -> String {
        SIGNALS.iter().find(|(_, n)| *n == self.0).map_or_else(|| self.0.to_string(), |(name, _)| (*name).to_owned())
    }
}

impl Serialize for Signal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
