//! An upgrade, from the question whether there is one to the boot entry. Each step is possible again after a cut at any
//! place: what was written is found and left, and the entry comes last.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::Path;

use ashlar_config::boot_entry::BootEntry;
use ashlar_config::version::compare;
use ashlar_control::update::{Outcome, Plan, Request, Stage, Until, Version, What};
use ashlar_fetch::registry::Address;
use ashlar_fetch::{Policy, Proxy};
use ashlar_formats::alike::Kind;
use ashlar_formats::date::Date;

use crate::archive::Archive;
use crate::blocks::Transfer;
use crate::boot::{self, ARCH, Boot, Image};
use crate::device::{BLOCK, Buffer, Device};
use crate::error::{Error, at};
use crate::esp::Esp;
use crate::firmware::Firmware;
use crate::offer::{Offer, Wish, choose, offers};
use crate::patch::Patch;
use crate::peers::Peers;
use crate::record::{FOLDER, Record};
use crate::road::{Fill, Road};
use crate::settings::Settings;
use crate::slot::{Slot, Slots};
use crate::source::{Folder, Http, Registry, Source};
use crate::tree::{self, Tree};
use crate::{change, live, rollback, trust};

/// The root that the image brought.
const ANCHOR: &str = "/usr/share/ashlar/update/root.json";
const CHANNEL: &str = "stable";
/// What was verified, below the record.
pub const METADATA: &str = "metadata";

/// Told of what is done, and how far it is.
pub type Progress<'a> = &'a mut dyn FnMut(Stage, u64, u64);

/// Takes the next version, as far as is asked for. A folder that was passed is read instead of a source.
pub fn upgrade(request: &Request, folder: Option<OwnedFd>, progress: Progress<'_>) -> Result<Outcome, Error> {
    let settings = Settings::read();
    let source = source(request, folder, &settings)?;
    let boot = Boot::read()?;
    let busy = || Error::Held("another upgrade is at work, or a way back: wait until it has ended".to_owned());
    let mut record = Record::try_open(Path::new(FOLDER))?.ok_or_else(busy)?;
    settle(&boot, &mut record)?;
    progress(Stage::Trust, 0, 0);
    let pin = record.state.pin.clone();
    let Some(offer) = next(request, pin.as_deref(), &settings, source.as_ref(), &boot)? else {
        return Ok(Outcome::Current { version: boot.version, waits: false });
    };
    let known = Version { version: offer.release.version.clone(), root_hash: offer.release.root_hash.clone() };
    match request.until {
        Until::Check => return Ok(Outcome::Available(plan(&offer, &boot))),
        Until::Plan => {}
        Until::Download | Until::Switch => may_begin(&boot, &record, &known, request.retry)?,
    }
    // What somebody has passed is as near as anything.
    let near = settings.peers.as_ref().filter(|_| !request.folder);
    let bring = |progress| bring(request, (source.as_ref(), &Peers::find(near)), &offer, &boot, progress);
    if request.until == Until::Plan {
        return bring(progress);
    }
    let change = if request.live { Some(live::possible(&offer, &boot)?) } else { None };
    let result = match record.state.pending.as_ref() == Some(&known) {
        true => Ok(Outcome::Current { version: known.version.clone(), waits: true }),
        false => bring(progress),
    };
    match &result {
        Ok(Outcome::Switched(plan)) => {
            if compare(&known.version, &boot.version) == Ordering::Less {
                rollback::leave(&Esp::mount(&boot)?, &mut record, &boot, &known.version)?;
            }
            record.state.condemned.retain(|condemned| condemned.version != known);
            record.state.pending = Some(known.clone());
            record.note(What::Installed, &known.version, &boot.version, &from_near(plan))?;
        }
        Ok(_) => {}
        Err(error) => record.note(What::Failed, &known.version, &boot.version, &error.line())?,
    }
    match change.filter(|_| result.is_ok()) {
        None => result,
        Some(change) => {
            let live = live::go_over(&boot, &known, &change)?;
            record.note(What::Live, &known.version, &boot.version, "")?;
            Ok(Outcome::Live(live))
        }
    }
}

/// The folder or archive that was passed, the address that is said, or the machine's own.
pub fn source(request: &Request, folder: Option<OwnedFd>, settings: &Settings) -> Result<Box<dyn Source>, Error> {
    if let Some(folder) = folder {
        let file = File::from(folder);
        return match file.metadata().map_err(at("read", "what was passed"))?.is_dir() {
            true => Ok(Box::new(Folder::new(file.into()))),
            false => Ok(Box::new(Archive::open(file)?)),
        };
    }
    let missing = || {
        Error::Request(
            "this machine has no source of updates: say `[update] source = \"https://…\"` in its machine.toml, or \
             name one with --from"
                .to_owned(),
        )
    };
    let base = request.source.as_ref().or(settings.source.as_ref()).ok_or_else(missing)?;
    let proxy = settings.proxy.as_deref().map(Proxy::parse).transpose();
    let proxy = proxy.map_err(|error| Error::Request(format!("use the proxy {}: {}", error.path, error.cause)))?;
    let policy = Policy { proxy, most_speed: settings.bandwidth, ..Policy::default() };
    match Address::is_meant(base) {
        true => Ok(Box::new(Registry::new(base, policy)?)),
        false => Ok(Box::new(Http::new(base, policy)?)),
    }
}

/// The release that comes next, if there is one.
pub fn next(
    request: &Request,
    pin: Option<&str>,
    settings: &Settings,
    source: &dyn Source,
    boot: &Boot,
) -> Result<Option<Offer>, Error> {
    let version = wanted(request.version.as_deref(), pin, &boot.version)?;
    let anchor = fs::read(ANCHOR).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Request(
            "this image trusts no publisher: build it with `[update] root = \"root.json\"`, which `ashlar keys` makes"
                .to_owned(),
        ),
        _ => at("read", ANCHOR)(error),
    })?;
    let metadata = Path::new(FOLDER).join(METADATA);
    let trusted = trust::refresh(&metadata, &anchor, source, Date::now())?;
    let image = Image::read()?;
    let channel = request.channel.as_deref().or(settings.channel.as_deref()).unwrap_or(CHANNEL);
    let wish = Wish { running: &boot.version, version, channel };
    choose(offers(&trusted.targets, &image.name, ARCH), &wish)
}

/// The version that is asked for, where it has to be a certain one.
fn wanted<'a>(asked: Option<&'a str>, pin: Option<&'a str>, running: &str) -> Result<Option<&'a str>, Error> {
    match (asked, pin) {
        (Some(asked), Some(pin)) if asked != pin => {
            Err(Error::Held(format!("this machine is pinned to version {pin}: `os unpin` ends that")))
        }
        (_, Some(pin)) if pin == running => Err(Error::Held(format!(
            "this machine is pinned to version {pin}, which is the one that runs: `os unpin` ends that"
        ))),
        (asked, pin) => Ok(asked.or(pin)),
    }
}

/// A rule, or somebody, may say no.
fn may_begin(boot: &Boot, record: &Record, known: &Version, retry: bool) -> Result<(), Error> {
    if let Some(why) = &record.state.hold {
        return Err(Error::Held(format!("upgrades are on hold: {why}; `os hold --off` ends that")));
    }
    if let Some(booted) = &boot.booted {
        let (running, booted) = (&boot.version, &booted.version);
        return Err(Error::Held(format!(
            "version {running} was gone over to without a reboot, and {booted} is the last one that was booted: reboot \
             first, so that there is always a way back to one that was"
        )));
    }
    if boot::is_on_trial() {
        let running = &boot.version;
        return Err(Error::Held(format!(
            "version {running} is on trial itself: wait until it is committed, see `os status`"
        )));
    }
    if let Some(why) = record.condemned(known).filter(|_| !retry) {
        let version = &known.version;
        return Err(Error::Held(format!(
            "version {version} did not stay on this machine: {why}; --retry tries it again"
        )));
    }
    Ok(())
}

/// What other versions have come to where the boot loader alone knows: it has given one up, and this one runs.
pub fn settle(boot: &Boot, record: &mut Record) -> Result<(), Error> {
    let esp = Esp::mount(boot)?;
    let pending = record.state.pending.clone().filter(|pending| pending.version != boot.version);
    let mut others = esp.entries()?.into_iter().filter(|entry| entry.version != boot.version);
    let Some(other) = others.next() else {
        return pending.map_or(Ok(()), |pending| record.condemn(pending, &boot.version, "its boot entry is gone"));
    };
    if !other.is_bad() {
        return Ok(());
    }
    let known = match pending {
        Some(pending) if pending.version == other.version => pending,
        _ => Version { version: other.version.clone(), root_hash: esp.root_of(&other)?.to_string() },
    };
    if record.condemned(&known).is_some() {
        return Ok(());
    }
    let tries = other.counter.map_or(0, |(_, failed)| failed);
    let why = format!("it was started {tries} times and never came as far as being judged");
    record.condemn(known, &boot.version, &why)
}

/// For the history, where machines of the site have given something.
fn from_near(plan: &Plan) -> String {
    let (near, fetch) = (plan.near.unwrap_or_default(), plan.fetch.unwrap_or_default());
    let kilobytes = |bytes: u64| bytes.div_ceil(1000);
    match near {
        0 => String::new(),
        _ => format!("{} of {} kB came from machines of this site", kilobytes(near), kilobytes(near + fetch)),
    }
}

fn plan(offer: &Offer, boot: &Boot) -> Plan {
    let running = change::running();
    Plan {
        from: boot.version.clone(),
        to: offer.release.version.clone(),
        root_hash: offer.release.root_hash.clone(),
        notes: offer.release.notes.clone(),
        slot: if boot.slot == "a" { "b" } else { "a" }.to_owned(),
        fetch: None,
        near: None,
        reuse: None,
        change: running.as_ref().zip(offer.release.contents.as_ref()).map(|(from, to)| change::between(from, to)),
        state: running.map(|running| running.versioned.into_iter().collect()).unwrap_or_default(),
    }
}

fn bring(
    request: &Request,
    (source, peers): (&dyn Source, &Peers),
    offer: &Offer,
    boot: &Boot,
    progress: Progress<'_>,
) -> Result<Outcome, Error> {
    let slots = Slots::find(boot)?;
    let running_tree = Tree::read(&slots.running.tree, boot.root_hash()?)?;
    let ours = Some((Kind::Tree, running_tree.bytes.clone()));
    let tree_road = Road::find(source, offer, ("root.verity", &offer.tree), ours).near(peers);
    let tree = fetch_tree(&tree_road, offer)?;
    has_room(&slots.other, offer, &tree)?;
    let places = tree.places_in(&running_tree);
    drop(running_tree);
    let esp = Esp::mount(boot)?;
    let entry = BootEntry::new(&offer.release.version).on_trial();
    let leaving: Vec<BootEntry> = esp.entries()?.into_iter().filter(|other| other.version != boot.version).collect();
    esp.has_room(&entry, &leaving, offer.uki.size)?;
    let (running, slot) = (Device::open(&slots.running.data)?, Device::open_writable(&slots.other.data)?);
    let mut compared = |done, total| progress(Stage::Compare, done, total);
    let guess = Tree::guess(&slots.other.tree);
    let mut transfer = Transfer::plan(&tree, &places, &running, (&slot, guess.as_ref()), &mut compared)?;
    drop(guess);
    let patch = || offer.patch("root.erofs", &boot.root_hash).and_then(|offered| Patch::try_open(source, offered));
    let root_near = if peers.have(&offer.root) { transfer.fetch_bytes() } else { 0 };
    if root_near == 0 {
        transfer = transfer.with_patch(patch());
    }
    // Not kept while the root comes: it holds the UKI that runs, which is as large as all else here together.
    let uki = || {
        let ours = esp.entry(&boot.version)?.map(|entry| esp.content(&entry)).transpose()?;
        let ours = ours.map(|content| (Kind::Uki, content));
        Ok::<_, Error>(Road::find(source, offer, ("ashlar.efi", &offer.uki), ours).near(peers))
    };
    let [uki_fetch, uki_near] = uki().map(|uki| [uki.fetch_bytes(), uki.near_bytes()])?;
    let fetch = transfer.fetch_bytes() - root_near + tree_road.fetch_bytes() + uki_fetch;
    let near = root_near + tree_road.near_bytes() + uki_near;
    drop(tree_road);
    let reuse = Some(transfer.local_bytes());
    let told =
        |near: u64, fetch| Plan { fetch: Some(fetch), near: (near > 0).then_some(near), reuse, ..plan(offer, boot) };
    let plan = told(near, fetch);
    if request.until == Until::Plan {
        return Ok(Outcome::Available(plan));
    }
    live::let_go(&slots.other)?;
    // What the firmware would refuse costs the version that is in the other slot nothing.
    let program = match Firmware::read()?.filter(|_| request.until == Until::Switch) {
        Some(firmware) => Some(uki()?.content().and_then(|program| firmware.would_start(&program).map(|()| program))?),
        None => None,
    };
    // From here on the other slot holds no version that could be started: its entry has to go first.
    esp.tidy()?;
    leaving.iter().try_for_each(|old| esp.remove(old))?;
    if root_near > 0 {
        transfer.fetch_near(peers, &offer.root, progress)?;
        // What they had not, or did not come to.
        transfer = if transfer.fetch_bytes() > 0 { transfer.with_patch(patch()) } else { transfer };
    }
    transfer.complete(source, &offer.root, &slots.other.data, progress)?;
    write_tree(&slots.other, &tree)?;
    Tree::read(&slots.other.tree, offer.root_hash)?;
    if request.until == Until::Download {
        return Ok(Outcome::Downloaded(plan));
    }
    let mut written = |done, total| progress(Stage::Switch, done, total);
    let write = &mut |fill: Fill<'_>| esp.write(fill, &offer.uki, &entry, offer.root_hash, &mut written);
    match &program {
        Some(program) => write(&mut |take| take(program))?,
        None => uki()?.take(write)?,
    }
    esp.switch_to(&entry)?;
    // By now it is known who gave what.
    let given = peers.given().min(near + fetch);
    Ok(Outcome::Switched(told(given, near + fetch - given)))
}

/// The whole tree, checked twice: it is the file that was signed, and it has the root hash that was.
fn fetch_tree(road: &Road<'_>, offer: &Offer) -> Result<Tree, Error> {
    if offer.tree.size > tree::LIMIT {
        return Err(Error::Trust(format!("the hash tree would have {} bytes", offer.tree.size)));
    }
    let tree = Tree::new(road.content()?, offer.root_hash)?;
    if tree.superblock.data_bytes() != offer.root.size {
        return Err(Error::Trust("the hash tree is one of a root of another size".into()));
    }
    Ok(tree)
}

fn has_room(slot: &Slot, offer: &Offer, tree: &Tree) -> Result<(), Error> {
    let version = &offer.release.version;
    for (what, has, needs) in
        [("root", slot.data_size, offer.root.size), ("hash tree", slot.tree_size, tree.bytes.len() as u64)]
    {
        if needs > has {
            let name = &slot.name;
            return Err(Error::Machine(format!(
                "the {what} of version {version} needs {needs} bytes, and slot {name} has {has}"
            )));
        }
    }
    Ok(())
}

fn write_tree(slot: &Slot, tree: &Tree) -> Result<(), Error> {
    let device = Device::open_writable(&slot.tree)?;
    let mut buffer = Buffer::new(tree.bytes.len().next_multiple_of(BLOCK));
    buffer[..tree.bytes.len()].copy_from_slice(&tree.bytes);
    device.write(&buffer, 0)?;
    device.sync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_stronger_than_what_is_asked_for() {
        let check = |asked, pin, expect: Result<Option<&str>, &str>| match (wanted(asked, pin, "2"), expect) {
            (Ok(version), Ok(expect)) => assert_eq!(version, expect),
            (Err(Error::Held(why)), Err(part)) => assert!(why.contains(part), "{why}"),
            (version, _) => panic!("{version:?}"),
        };
        check(None, None, Ok(None));
        check(Some("3"), None, Ok(Some("3")));
        check(None, Some("3"), Ok(Some("3")));
        check(Some("3"), Some("3"), Ok(Some("3")));
        check(Some("4"), Some("3"), Err("pinned to version 3: `os unpin`"));
        check(None, Some("2"), Err("which is the one that runs"));
    }
}
