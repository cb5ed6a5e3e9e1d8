//! `updater automatic`: a round by itself, started by a timer. It takes a new version as `os upgrade` does, and reboots into
//! it or goes over to it, as far as every rule is open. What they said is kept for `os explain update`.

use std::fs;
use std::path::Path;
use std::process::Command;

use ashlar_control::client::Client;
use ashlar_control::message::{Method, Shutdown};
use ashlar_control::update::{Automatic, Gate, Outcome, Request};
use ashlar_formats::date::Date;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;

use crate::boot::{self, Boot};
use crate::error::Error;
use crate::install;
use crate::live;
use crate::lock::{Lock, Taken};
use crate::policy::{self, Inhibitor, gate};
use crate::record::{self, FOLDER, Record, replace};
use crate::settings::Settings;

/// What the last round came to.
const ROUND: &str = "automatic.json";
const MACHINE: &str = "/run/ashlar/etc/machine-id";
const ZONE: &str = "/run/ashlar/etc/localtime";

const ASK_INHIBITORS: [&str; 7] = [
    "--json=short",
    "--auto-start=no",
    "call",
    "org.freedesktop.login1",
    "/org/freedesktop/login1",
    "org.freedesktop.login1.Manager",
    "ListInhibitors",
];

/// The verb.
pub fn main() -> Result<(), Error> {
    let settings = Settings::read();
    let kept = Path::new(FOLDER).join(ROUND);
    let given_back = give_back(&settings);
    if !settings.automatic && !settings.damaged {
        // What an earlier setting came to would be told as if it were so now.
        let _ = fs::remove_file(kept);
        return given_back;
    }
    let time = Date::now().to_string();
    let mut round = Round::default();
    let done = match given_back {
        Ok(()) => round.walk(&settings),
        Err(error) => {
            round.gates.push(gate("lock", false, format!("give back the lock: {}", error.line())));
            Ok(None)
        }
    };
    if let Err(error) = &done {
        round.gates.push(gate("machine", false, error.line()));
    }
    let Round { gates } = round;
    if let Some(closed) = gates.iter().find(|gate| !gate.open) {
        println!("{}: {}", closed.name, closed.why);
    }
    let bytes = serde_json::to_vec(&Automatic { time, gates }).map_err(|error| Error::Machine(error.to_string()))?;
    replace(&kept, &bytes)?;
    if done? == Some(Then::Reboot) {
        let rebooted =
            Client::connect().and_then(|mut client| client.call(&Method::Shutdown { how: Shutdown::Reboot }));
        rebooted.map_err(|error| Error::Machine(format!("reboot: {error}")))?;
    }
    Ok(())
}

/// The last round, if there was one.
pub fn last() -> Option<Automatic> {
    serde_json::from_slice(&fs::read(Path::new(FOLDER).join(ROUND)).ok()?).ok()
}

#[derive(Debug, PartialEq, Eq)]
enum Then {
    Reboot,
}

/// The rules that were asked.
#[derive(Default)]
struct Round {
    gates: Vec<Gate>,
}

impl Round {
    /// Asks a rule; `None` ends the round.
    fn ask(&mut self, gate: Gate) -> Option<()> {
        let open = gate.open;
        self.gates.push(gate);
        open.then_some(())
    }

    /// From the first rule to the reboot. An error is of the machine: what is wrong with the source is a closed gate.
    fn walk(&mut self, settings: &Settings) -> Result<Option<Then>, Error> {
        let boot = Boot::read()?;
        match self.take(settings, &boot).and_then(|waits| self.go_on(settings, &boot, waits)) {
            Err(error @ (Error::Source(_) | Error::NoRanges | Error::Trust(_) | Error::Request(_))) => {
                self.gates.push(gate("source", false, error.line()));
                Ok(None)
            }
            Err(error @ Error::Held(_)) => {
                self.gates.push(gate("hold", false, error.line()));
                Ok(None)
            }
            other => other,
        }
    }

    /// A version waits: it is gone over to, or the machine may reboot into it.
    fn go_on(&mut self, settings: &Settings, boot: &Boot, waits: Option<String>) -> Result<Option<Then>, Error> {
        let Some(version) = waits else { return Ok(None) };
        if settings.live && version != boot.version && self.needs_no_reboot(settings, boot, &version)? {
            let Some(()) = self.may_go_over(settings) else { return Ok(None) };
            let request = Request { version: Some(version.clone()), live: true, ..Request::default() };
            let gone = match install::upgrade(&request, None, &mut |_, _, _| {})? {
                Outcome::Live(live) => gate("live", true, format!("{} runs in place of {}", live.version, live.from)),
                _ => gate("live", false, format!("{version} was not gone over to")),
            };
            return Ok(self.ask(gone).and(None));
        }
        Ok(self.may_reboot(settings).map(|()| Then::Reboot))
    }

    /// Whether nothing but units that are started anew stands between the version that runs and one that waits. For
    /// another kernel the machine has to reboot, so that its units are not disturbed twice.
    fn needs_no_reboot(&mut self, settings: &Settings, boot: &Boot, version: &str) -> Result<bool, Error> {
        let request = Request { version: Some(version.to_owned()), ..Request::default() };
        let source = install::source(&request, None, settings)?;
        let offer = install::next(&request, None, settings, source.as_ref(), boot)?;
        let obstacle = match offer.map(|offer| live::possible(&offer, boot)) {
            Some(Ok(change)) if change.kernel => format!("the kernel of {version} is another one: a reboot brings it"),
            Some(Ok(_)) => return Ok(true),
            Some(Err(Error::Held(why))) => why,
            Some(Err(error)) => return Err(error),
            None => format!("{version} is not offered any more: a reboot brings it"),
        };
        self.gates.push(gate("live", true, obstacle));
        Ok(false)
    }

    /// A new version comes into the other slot, or waits there already: which one. The one that runs waits, too, where the
    /// machine has gone over to it and a boot has yet to try it.
    fn take(&mut self, settings: &Settings, boot: &Boot) -> Result<Option<String>, Error> {
        let sound = "the machine's settings read";
        let damaged = "something of `[update]` in machine.toml does not read: see `os status`";
        let policy = gate("policy", !settings.damaged, if settings.damaged { damaged } else { sound });
        let Some(()) = self.ask(policy) else { return Ok(None) };
        let Some(mut record) = Record::try_open(Path::new(FOLDER))? else {
            return Ok(self.ask(gate("hold", false, "another upgrade is at work, or a way back")).and(None));
        };
        install::settle(boot, &mut record)?;
        let state = record.state.clone();
        drop(record);
        let hold = state.hold.as_ref().map_or(gate("hold", true, "there is none"), |why| gate("hold", false, why));
        let Some(()) = self.ask(hold) else { return Ok(None) };
        let pin = match &state.pin {
            Some(pin) if *pin == boot.version => {
                gate("pin", false, format!("pinned to {pin}, which is the one that runs"))
            }
            Some(pin) => gate("pin", true, format!("pinned to {pin}")),
            None => gate("pin", true, "there is none"),
        };
        let Some(()) = self.ask(pin) else { return Ok(None) };
        let trial = boot::is_on_trial();
        let why = if trial { "this version is on trial itself" } else { "this version is committed" };
        let Some(()) = self.ask(gate("trial", !trial, why)) else { return Ok(None) };
        // A machine that goes over to versions reboots for a reason.
        let pending = state.pending.map(|pending| pending.version).filter(|v| !settings.live || *v != boot.version);
        if let Some(version) = pending {
            self.gates.push(gate("installed", true, format!("{version} waits for the next boot")));
            return Ok(Some(version));
        }
        let request = Request::default();
        let source = install::source(&request, None, settings)?;
        let now = Date::now();
        let Some(offer) = install::next(&request, state.pin.as_deref(), settings, source.as_ref(), boot)? else {
            return Ok(self
                .ask(gate("version", false, format!("there is nothing newer than {}", boot.version)))
                .and(None));
        };
        let release = &offer.release;
        self.gates.push(gate("version", true, format!("{} is offered", release.version)));
        let condemned = state.condemned.iter().find(|other| other.version.root_hash == release.root_hash);
        let condemned = match condemned {
            Some(other) => gate("condemned", false, format!("{} did not stay here: {}", release.version, other.reason)),
            None => gate("condemned", true, "it was not tried here before"),
        };
        let rollout = policy::rollout(&release.rollout, release.date, &machine_id(), &release.version, now);
        for gate in [condemned, policy::delay(release.date, settings.delay(), now), rollout] {
            let Some(()) = self.ask(gate) else { return Ok(None) };
        }
        if boot.booted.is_some() {
            let (running, next) = (&boot.version, &release.version);
            let why = format!("{running} runs without a reboot, and no boot has tried it: that comes before {next}");
            self.gates.push(gate("installed", true, why));
            return Ok(Some(running.clone()));
        }
        let version = release.version.clone();
        let request = Request { version: Some(version.clone()), ..request };
        let installed = match install::upgrade(&request, None, &mut |_, _, _| {})? {
            Outcome::Switched(plan) => gate("installed", true, format!("{} waits for the next boot", plan.to)),
            Outcome::Current { version, waits } => gate("installed", waits, format!("{version} is there already")),
            Outcome::Live(live) => gate("installed", true, format!("{} runs already", live.version)),
            Outcome::Available(_) | Outcome::Downloaded(_) => gate("installed", false, "it was not finished"),
        };
        Ok(self.ask(installed).map(|()| version))
    }

    /// Rules for going over to what waits: nobody is thrown out by it.
    fn may_go_over(&mut self, settings: &Settings) -> Option<()> {
        if settings.waits() {
            self.ask(policy::window(settings.windows().as_deref(), local()))?;
        }
        self.may_disturb(settings)
    }

    /// Rules for the reboot into what waits.
    fn may_reboot(&mut self, settings: &Settings) -> Option<()> {
        let why = if settings.reboots() { "the machine reboots by itself" } else { "somebody has to reboot it" };
        self.ask(gate("reboot", settings.reboots(), why))?;
        if settings.waits() {
            self.ask(policy::window(settings.windows().as_deref(), local()))?;
            let sessions = Client::connect().and_then(|mut client| client.machine()).map(|machine| machine.sessions);
            self.ask(policy::people(sessions.ok()))?;
            self.ask(policy::inhibitors(inhibitors()))?;
        }
        self.may_disturb(settings)
    }

    /// The last rule: whoever has the lock keeps others waiting.
    fn may_disturb(&mut self, settings: &Settings) -> Option<()> {
        let Some(lock) = &settings.lock else { return self.ask(gate("lock", true, "none is asked for")) };
        self.ask(policy::lock(take_lock(lock)))
    }
}

/// The lock of the machine's group was for a reboot that is over, or never came.
fn give_back(settings: &Settings) -> Result<(), Error> {
    let is_locked = record::read(Path::new(FOLDER)).locked;
    match &settings.lock {
        Some(lock) if is_locked && !boot::is_on_trial() => {
            lock.give_back(&machine_id())?;
            remember_lock(false)
        }
        _ => Ok(()),
    }
}

/// It is written down before it is asked for: an answer may never come.
fn take_lock(lock: &Lock) -> Result<Taken, Error> {
    remember_lock(true)?;
    let taken = lock.take(&machine_id())?;
    if taken != Taken::Yes {
        remember_lock(false)?;
    }
    Ok(taken)
}

fn remember_lock(locked: bool) -> Result<(), Error> {
    let mut record = Record::open(Path::new(FOLDER))?;
    record.state.locked = locked;
    record.save()
}

fn machine_id() -> String {
    fs::read_to_string(MACHINE).unwrap_or_default().trim().to_owned()
}

/// Asks systemd-logind. One that does not run has nobody who inhibits.
fn inhibitors() -> Result<Vec<Inhibitor>, String> {
    let asked = Command::new("/usr/bin/busctl").args(ASK_INHIBITORS).output().map_err(|error| error.to_string())?;
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr);
        let is_absent =
            said.contains("not provided") || said.contains("has no owner") || said.contains("not activatable");
        return if is_absent { Ok(Vec::new()) } else { Err(said.trim().to_owned()) };
    }
    #[derive(Deserialize)]
    struct Answer {
        data: (Vec<Inhibitor>,),
    }
    serde_json::from_slice::<Answer>(&asked.stdout).map(|answer| answer.data.0).map_err(|error| error.to_string())
}

/// The day, 0 being Monday, and the minute in the machine's time zone.
fn local() -> Option<(usize, u32)> {
    let zone = TimeZone::tzif("local", &fs::read(ZONE).ok()?).ok()?;
    let now = Timestamp::now().to_zoned(zone);
    let day = usize::try_from(now.weekday().to_monday_zero_offset()).ok()?;
    Some((day, u32::try_from(now.hour()).ok()? * 60 + u32::try_from(now.minute()).ok()?))
}
