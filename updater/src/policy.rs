//! Whether an upgrade goes on by itself: rules that are asked one after the other. All of them have to be open; the first
//! that is not ends the round, and is what people are told. Pure.

use ashlar_config::window::Window;
use ashlar_control::update::Gate;
use ashlar_fetch::Digest;
use ashlar_formats::date::Date;
use ashlar_formats::tuf::Wave;
use serde::Deserialize;

use crate::error::Error;
use crate::lock::Taken;

/// In seconds.
const CENTURIES: u64 = 10 * 100 * 365 * 86_400;

/// A rule, applied.
pub fn gate(name: &str, open: bool, why: impl Into<String>) -> Gate {
    Gate { name: name.to_owned(), open, why: why.into() }
}

/// A release is left to ripen for a while.
pub fn delay(published: Date, delay: Option<u64>, now: Date) -> Gate {
    let Some(delay) = delay else { return gate("delay", false, "the setting `delay` does not read") };
    let from = later(published, delay);
    match from <= now {
        true => gate("delay", true, format!("published at {published}")),
        false => gate("delay", false, format!("published at {published}, and taken from {from} on")),
    }
}

/// A release spreads in waves; which of them a machine belongs to is its own lot, another one for each version.
pub fn rollout(waves: &[Wave], published: Date, machine: &str, version: &str, now: Date) -> Gate {
    let lot = lot(machine, version);
    let Some(wave) = waves.iter().filter(|wave| lot < u64::from(wave.percent) * 100).min_by_key(|wave| wave.after)
    else {
        let open = waves.is_empty();
        let why =
            if open { "for all machines at once" } else { "its publisher gives it to a part of all machines only" };
        return gate("rollout", open, why);
    };
    let from = later(published, wave.after);
    let why = format!("this machine's wave, {} % of all, has it from {from} on", wave.percent);
    gate("rollout", from <= now, why)
}

/// What is further away than anybody can write is never.
fn later(date: Date, seconds: u64) -> Date {
    Date::from_seconds(date.seconds().saturating_add(seconds.min(CENTURIES)))
}

/// In hundredths of a per cent.
fn lot(machine: &str, version: &str) -> u64 {
    let digest = Digest::of(format!("{machine} {version}").as_bytes()).bytes();
    u64::from_be_bytes(digest[..8].try_into().unwrap_or_default()) % 10_000
}

/// When the machine may reboot: the local day, 0 being Monday, and minute.
pub fn window(windows: Option<&[Window]>, local: Option<(usize, u32)>) -> Gate {
    let (Some(windows), Some((day, minute))) = (windows, local) else {
        return gate("window", false, "the windows, or the local time, do not read");
    };
    match windows.is_empty() || windows.iter().any(|window| window.is_open(day, minute)) {
        true => gate("window", true, if windows.is_empty() { "at any time" } else { "it is open now" }),
        false => gate("window", false, "it waits for the next window"),
    }
}

/// Nobody is thrown out.
pub fn people(sessions: Option<u32>) -> Gate {
    match sessions {
        Some(0) => gate("people", true, "nobody is logged in over the network"),
        Some(1) => gate("people", false, "somebody is logged in over the network"),
        Some(count) => gate("people", false, format!("{count} people are logged in over the network")),
        None => gate("people", false, "PID 1 does not say who is logged in"),
    }
}

/// Programs that must not be interrupted, as systemd-logind lists them (org.freedesktop.login1(5), ListInhibitors).
pub fn inhibitors(found: Result<Vec<Inhibitor>, String>) -> Gate {
    let found = match found {
        Ok(found) => found,
        Err(why) => return gate("inhibitors", false, format!("systemd-logind does not say who inhibits it: {why}")),
    };
    let blocks =
        |inhibitor: &&Inhibitor| inhibitor.mode == "block" && inhibitor.what.split(':').any(|what| what == "shutdown");
    match found.iter().find(blocks) {
        Some(Inhibitor { who, why, .. }) => gate("inhibitors", false, format!("{who} inhibits it: {why}")),
        None => gate("inhibitors", true, "nothing inhibits it"),
    }
}

/// Somebody who does not want something to happen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "(String, String, String, String, u32, u32)")]
pub struct Inhibitor {
    what: String,
    who: String,
    why: String,
    mode: String,
}

impl From<(String, String, String, String, u32, u32)> for Inhibitor {
    fn from((what, who, why, mode, _, _): (String, String, String, String, u32, u32)) -> Self {
        Self { what, who, why, mode }
    }
}

/// The leave of a group of machines.
pub fn lock(taken: Result<Taken, Error>) -> Gate {
    match taken {
        Ok(Taken::Yes) => gate("lock", true, "this machine has the lock of its group"),
        Ok(Taken::No(why)) => gate("lock", false, why),
        Err(error) => gate("lock", false, error.line()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(seconds: u64) -> Date {
        Date::from_seconds(seconds)
    }

    #[test]
    fn delays() {
        let check = |after, now, open| assert_eq!(delay(date(100), after, date(now)).open, open, "{after:?} {now}");
        check(Some(0), 100, true);
        check(Some(10), 109, false);
        check(Some(10), 110, true);
        check(Some(u64::MAX), CENTURIES, false);
        check(None, 1_000, false);
    }

    #[test]
    fn each_machine_has_its_wave() {
        let waves =
            [Wave { percent: 10, after: 0 }, Wave { percent: 50, after: 100 }, Wave { percent: 100, after: 200 }];
        let open = |now: u64| {
            let machines =
                (0..1000).filter(|machine| rollout(&waves, date(50), &machine.to_string(), "1", date(now)).open);
            machines.count()
        };
        let [first, second, last] = [50, 150, 250].map(open);
        assert!((70..130).contains(&first) && (450..550).contains(&second) && last == 1000, "{first} {second}");
        assert_eq!(open(49), 0);
        // Who was among the first is not so the next time.
        assert!((0..1000).any(|machine| lot(&machine.to_string(), "1") != lot(&machine.to_string(), "2")));
        assert!(rollout(&[], date(9), "m", "1", date(0)).open);
        let never =
            (0..1000).filter(|machine| !rollout(&waves[..1], date(0), &machine.to_string(), "1", date(999)).open);
        assert!(never.count() > 800);
    }

    #[test]
    fn whoever_inhibits_is_named() {
        let check = |json: &str, open, why: &str| {
            let found = serde_json::from_str::<Vec<Inhibitor>>(json).map_err(|error| error.to_string());
            let gate = inhibitors(found);
            assert_eq!((gate.open, gate.why.contains(why)), (open, true), "{gate:?}");
        };
        check("[]", true, "nothing");
        check(r#"[["sleep:shutdown","backup","it runs","block",0,9]]"#, false, "backup inhibits it: it runs");
        check(r#"[["sleep","a","b","block",0,9],["shutdown","a","b","delay",0,9]]"#, true, "nothing");
        check("[[1]]", false, "does not say");
    }

    #[test]
    fn a_lock_that_cannot_be_asked_for_is_not_had() {
        assert!(lock(Ok(Taken::Yes)).open);
        assert_eq!(lock(Ok(Taken::No("b has it".into()))).why, "b has it");
        assert!(!lock(Err(Error::Source("no answer".into()))).open);
    }

    #[test]
    fn windows_and_people() {
        let windows = [Window::parse("Mon 02:00-03:00").unwrap()];
        let check = |windows, local, open| assert_eq!(window(windows, local).open, open);
        check(Some(&windows[..]), Some((0, 130)), true);
        check(Some(&windows[..]), Some((1, 130)), false);
        check(Some(&[][..]), Some((1, 130)), true);
        check(None, Some((0, 130)), false);
        check(Some(&windows[..]), None, false);
        assert_eq!(
            [Some(0), Some(1), Some(2), None].map(|sessions| people(sessions).open),
            [true, false, false, false]
        );
    }
}
