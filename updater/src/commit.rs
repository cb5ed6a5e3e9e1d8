//! `updater commit`: PID 1 has judged a version on trial, and what follows stands on the disk: the entry loses its counter,
//! or its tries. Doing it twice does no harm.

use std::fs;
use std::path::Path;

use ashlar_control::client::Client;
use ashlar_control::message::{JobKind, JobMode, Method};
use ashlar_control::update::{Version, What};

use crate::boot::Boot;
use crate::error::{Error, at};
use crate::esp::Esp;
use crate::record::{FOLDER, Record};

const VERDICT: &str = "/run/ashlar/verdict";
/// Ordered after this verb's own unit.
const ROUND: &str = "ashlar-upgrade.service";

/// The verb.
pub fn main() -> Result<(), Error> {
    let verdict = fs::read_to_string(VERDICT).map_err(at("read", VERDICT))?;
    let boot = Boot::read()?;
    let esp = Esp::mount(&boot)?;
    let missing = || Error::Machine(format!("the EFI system partition has no entry of version {}", boot.version));
    let entry = esp.entry(&boot.version)?.ok_or_else(missing)?;
    let good = verdict.starts_with("good");
    // The boot entry counts; what is remembered of it comes after. One that the machine went over to while it ran has not
    // been booted yet: it keeps its tries, and is judged once more when it has.
    match (good, &boot.booted) {
        (true, Some(_)) => {}
        (true, None) => esp.rename(&entry, &entry.blessed())?,
        (false, _) => esp.rename(&entry, &entry.bad())?,
    }
    drop(esp);
    let mut record = Record::open(Path::new(FOLDER))?;
    let version = Version { version: boot.version.clone(), root_hash: boot.root_hash.clone() };
    if !good {
        return record.condemn(version, "", verdict.lines().nth(1).unwrap_or_default());
    }
    record.state.condemned.retain(|condemned| condemned.version != version);
    match &boot.booted {
        Some(booted) => {
            let reason = "without a reboot; the next boot tries it, too";
            record.note(What::Committed, &boot.version, &booted.version, reason)?;
        }
        None => {
            record.state.pending.take_if(|pending| *pending == version);
            record.note(What::Committed, &boot.version, "", "")?;
        }
    }
    if record.state.locked {
        drop(record);
        begin_round();
    }
    Ok(())
}

/// Other machines wait for the lock of their group, which a round gives back. PID 1 starts it once this has ended.
fn begin_round() {
    let call = Method::Enqueue { unit: ROUND.into(), job: JobKind::Start, mode: JobMode::default(), wait: false };
    if let Err(error) = Client::connect().and_then(|mut client| client.call(&call)) {
        // The timer begins one as well.
        eprintln!("updater: cannot start {ROUND}: {error}");
    }
}
