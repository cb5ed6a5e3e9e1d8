//! What the machine's configuration says about updates, as provision left it.

use std::fs;

use ashlar_config::quantity::Span;
use ashlar_config::window::Window;
use serde::Deserialize;

use crate::lock::Lock;

const FILE: &str = "/run/ashlar/update.json";

/// `[update]` of machine.toml.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Settings {
    /// Where new versions are published.
    pub source: Option<String>,
    /// Whose releases count.
    pub channel: Option<String>,
    /// They are taken by themselves.
    pub automatic: bool,
    /// Only so long after they were published.
    delay: Option<String>,
    /// When the machine may reboot by itself; always, if there is none.
    windows: Vec<String>,
    /// `automatic`, `now` or `manual`.
    reboot: Option<String>,
    /// Versions that need no reboot are gone over to.
    pub live: bool,
    /// Through which proxy the source is reached.
    pub proxy: Option<String>,
    /// Bytes a second that are fetched at most.
    pub bandwidth: Option<u64>,
    /// Whose leave is needed for a reboot by itself.
    pub lock: Option<Lock>,
    /// Which machines of the site are asked before the source.
    pub peers: Option<Near>,
    /// Something of it did not read.
    pub damaged: bool,
}

/// Machines of the site.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Near {
    /// By their addresses.
    pub list: Vec<String>,
    /// And those that multicast DNS finds.
    pub discover: bool,
}

impl Settings {
    /// Reads them. Without any nothing is done by itself.
    pub fn read() -> Self {
        fs::read(FILE).map_or_else(|_| Self::default(), |bytes| Self::parse(&bytes))
    }

    fn parse(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_else(|_| Self { damaged: true, ..Self::default() })
    }

    /// Seconds; `None` if they cannot be known, which holds everything back.
    pub fn delay(&self) -> Option<u64> {
        self.delay.as_ref().map_or(Some(0), |text| Span::parse(text).ok()?.duration().map(|delay| delay.as_secs()))
    }

    /// Likewise.
    pub fn windows(&self) -> Option<Vec<Window>> {
        self.windows.iter().map(|text| Window::parse(text).ok()).collect()
    }

    /// Whether the machine reboots by itself.
    pub fn reboots(&self) -> bool {
        self.reboot.as_deref().is_none_or(|reboot| reboot != "manual")
    }

    /// Whether it waits for a window, and for people and programs that are at work.
    pub fn waits(&self) -> bool {
        self.reboot.as_deref() != Some("now")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_read_holds_everything_back() {
        let settings = Settings::parse(
            br#"{"automatic":true,"delay":"1d","windows":["02:00-05:00"],"reboot":"manual","live":true}"#,
        );
        assert_eq!((settings.delay(), settings.reboots(), settings.damaged), (Some(86_400), false, false));
        assert!(settings.live && !Settings::default().live);
        assert_eq!(settings.windows().map(|windows| windows.len()), Some(1));
        let settings = Settings::parse(b"{}");
        assert_eq!((settings.delay(), settings.reboots(), settings.automatic), (Some(0), true, false));
        let settings = Settings::parse(br#"{"reboot":"now","lock":{"etcd":["http://a"],"group":"web","at-most":2}}"#);
        assert_eq!((settings.reboots(), settings.waits()), (true, false));
        assert_eq!(settings.lock.map(|lock| (lock.group, lock.at_most)), Some(("web".into(), 2)));
        let settings = Settings::parse(br#"{"peers":{"list":["http://a"],"discover":true},"lock":null}"#);
        assert_eq!(settings.peers.map(|near| (near.list.len(), near.discover)), Some((1, true)));
        let settings = Settings::parse(br#"{"peers":null}"#);
        assert!(settings.peers.is_none() && !settings.damaged);
        assert!(Settings::parse(b"{").damaged);
        let settings = Settings::parse(br#"{"delay":"soon","windows":["x"]}"#);
        assert_eq!((settings.delay(), settings.windows()), (None, None));
    }
}
