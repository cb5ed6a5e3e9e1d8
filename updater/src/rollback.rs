//! The way back by hand: the other slot's version is started next. Its bytes are checked first, all of them: a way back
//! that leads nowhere is worse than none.

use std::cmp::Ordering;
use std::fs;
use std::path::Path;

use ashlar_config::boot_entry::BootEntry;
use ashlar_config::version::compare;
use ashlar_control::update::{Condemned, Switched, Version, What};

use crate::boot::{self, Boot};
use crate::error::Error;
use crate::esp::Esp;
use crate::record::{FOLDER, Record};
use crate::slot::Slots;
use crate::tree::Tree;

/// Where the first program after the kernel's keeps it (init/boot/state).
const KEPT: &str = "/var/lib/ashlar/versions/kept";

/// Has the other version started next.
pub fn roll_back(to: Option<&str>) -> Result<Switched, Error> {
    let boot = Boot::read()?;
    let mut record = Record::open(Path::new(FOLDER))?;
    let esp = Esp::mount(&boot)?;
    let running = boot.version.clone();
    own_entry(&esp, &boot)?;
    let mut others = esp.entries()?.into_iter().filter(|entry| entry.version != running);
    let other = others.find(|entry| to.is_none_or(|to| entry.version == to));
    let other = other.ok_or_else(|| nothing(&running, to))?;
    let hash = esp.root_of(&other)?;
    let slots = Slots::find(&boot)?;
    Tree::read(&slots.other.tree, hash)?.check(&slots.other.data, &mut |_, _| {})?;

    let newer = compare(&other.version, &running) == Ordering::Greater;
    let known = Version { version: other.version.clone(), root_hash: hash.to_string() };
    let waits = record.state.pending.as_ref() == Some(&known) && !other.is_bad();
    if newer && waits {
        // It has not run yet: the way back is not to try it.
        esp.rename(&other, &other.bad())?;
        record.condemn(known, &running, "taken back before it was tried")?;
        return Ok(Switched { version: running.clone(), from: running, ..Switched::default() });
    }
    // A newer one wins by being newer once it has tries. An older one needs that this one has none.
    let trial = newer || other.is_bad();
    if trial {
        esp.rename(&other, &other.on_trial())?;
    }
    if !newer {
        leave(&esp, &mut record, &boot, &other.version)?;
    }
    record.state.condemned.retain(|condemned| condemned.version != known);
    record.state.pending = trial.then_some(known);
    let why = if boot::is_on_trial() { "while it was on trial" } else { "" };
    record.note(What::RolledBack, &other.version, &running, why)?;
    let state = if newer { Vec::new() } else { kept(Path::new(KEPT), &other.version) };
    Ok(Switched { version: other.version, from: running, trial, state })
}

/// The state that a version left, which comes back with it.
fn kept(folder: &Path, version: &str) -> Vec<String> {
    let entries = fs::read_dir(folder.join(version)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.ends_with(".part"));
    names.sort();
    names
}

/// Has the running version left for an older one: the boot loader prefers the newer as long as that has tries.
pub fn leave(esp: &Esp, record: &mut Record, boot: &Boot, older: &str) -> Result<(), Error> {
    let ours = own_entry(esp, boot)?;
    esp.rename(&ours, &ours.bad())?;
    let version = Version { version: boot.version.clone(), root_hash: boot.root_hash.clone() };
    record.state.condemned.retain(|condemned| condemned.version != version);
    record.state.condemned.push(Condemned { version, reason: format!("left by hand for {older}") });
    Ok(())
}

fn own_entry(esp: &Esp, boot: &Boot) -> Result<BootEntry, Error> {
    let missing = || Error::Machine(format!("the EFI system partition has no entry of version {}", boot.version));
    esp.entry(&boot.version)?.ok_or_else(missing)
}

fn nothing(running: &str, to: Option<&str>) -> Error {
    Error::Request(match to {
        Some(to) if to == running => format!("version {to} is the one that runs"),
        Some(to) => format!("version {to} is not on this machine"),
        None => format!("there is nothing but version {running} on this machine"),
    })
}
