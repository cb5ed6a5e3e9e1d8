//! An upgrade, from the question whether there is one to the boot entry. Each step is possible again after a cut at any
//! place: what was written is found and left, and the entry comes last.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use ashlar_config::boot_entry::BootEntry;
use ashlar_control::update::{Outcome, Plan, Request, Stage, Until, Version, What};
use ashlar_formats::date::Date;
use serde::Deserialize;

use crate::blocks::Transfer;
use crate::boot::{self, ARCH, Boot, Image};
use crate::device::{BLOCK, Buffer, Device};
use crate::error::{Error, at};
use crate::esp::Esp;
use crate::offer::{Offer, Offered, Wish, choose, offers};
use crate::patch::{Patch, sha256};
use crate::record::{FOLDER, Record};
use crate::slot::{Slot, Slots};
use crate::source::{Folder, Http, Source, Take};
use crate::tree::{self, Tree};
use crate::trust;

/// The root that the image brought.
const ANCHOR: &str = "/usr/share/ashlar/update/root.json";
/// The machine's settings, as provision left them.
const SETTINGS: &str = "/run/ashlar/update.json";
const CHANNEL: &str = "stable";
/// What was verified, below the record.
const METADATA: &str = "metadata";

/// What the machine's configuration says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Settings {
    source: Option<String>,
    channel: Option<String>,
}

/// Told of what is done, and how far it is.
pub type Progress<'a> = &'a mut dyn FnMut(Stage, u64, u64);

/// Takes the next version, as far as is asked for. A folder that was passed is read instead of a source.
pub fn upgrade(request: &Request, folder: Option<OwnedFd>, progress: Progress<'_>) -> Result<Outcome, Error> {
    let settings = settings();
    let source = source(request, folder, &settings)?;
    let boot = Boot::read()?;
    let busy = || Error::Held("another upgrade is at work, or a way back: wait until it has ended".to_owned());
    let mut record = Record::try_open(Path::new(FOLDER))?.ok_or_else(busy)?;
    settle(&boot, &mut record)?;
    progress(Stage::Trust, 0, 0);
    let Some(offer) = next(request, &settings, source.as_ref(), &boot)? else {
        return Ok(Outcome::Current { version: boot.version, waits: false });
    };
    let known = Version { version: offer.release.version.clone(), root_hash: offer.release.root_hash.clone() };
    match request.until {
        Until::Check => return Ok(Outcome::Available(plan(&offer, &boot, None))),
        Until::Plan => return bring(request, source.as_ref(), &offer, &boot, progress),
        Until::Download | Until::Switch => may_begin(&boot, &record, &known, request.retry)?,
    }
    if record.state.pending.as_ref() == Some(&known) {
        return Ok(Outcome::Current { version: known.version, waits: true });
    }
    let result = bring(request, source.as_ref(), &offer, &boot, progress);
    match &result {
        Ok(Outcome::Switched(_)) => {
            record.state.condemned.retain(|condemned| condemned.version != known);
            record.state.pending = Some(known.clone());
            record.note(What::Installed, &known.version, &boot.version, "")?;
        }
        Ok(_) => {}
        Err(error) => record.note(What::Failed, &known.version, &boot.version, &error.line())?,
    }
    result
}

fn settings() -> Settings {
    let bytes = fs::read(SETTINGS).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// The folder that was passed, the address that is said, or the machine's own.
fn source(request: &Request, folder: Option<OwnedFd>, settings: &Settings) -> Result<Box<dyn Source>, Error> {
    if let Some(folder) = folder {
        return Ok(Box::new(Folder::new(folder)));
    }
    let missing = || {
        Error::Request(
            "this machine has no source of updates: say `[update] source = \"https://…\"` in its machine.toml, or \
             name one with --from"
                .to_owned(),
        )
    };
    let base = request.source.as_ref().or(settings.source.as_ref()).ok_or_else(missing)?;
    Ok(Box::new(Http::new(base)?))
}

/// The release that comes next, if there is one.
fn next(request: &Request, settings: &Settings, source: &dyn Source, boot: &Boot) -> Result<Option<Offer>, Error> {
    let anchor = fs::read(ANCHOR).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::Request(
            "this image trusts no publisher: build it with `[update] root = \"root.json\"`, which `ashlar keys` makes"
                .to_owned(),
        ),
        _ => at("read", ANCHOR)(error),
    })?;
    let targets = trust::refresh(&Path::new(FOLDER).join(METADATA), &anchor, source, Date::now())?;
    let image = Image::read()?;
    let channel = request.channel.as_deref().or(settings.channel.as_deref()).unwrap_or(CHANNEL);
    let wish = Wish { running: &boot.version, version: request.version.as_deref(), channel };
    choose(offers(&targets, &image.name, ARCH), &wish)
}

/// A rule, or somebody, may say no.
fn may_begin(boot: &Boot, record: &Record, known: &Version, retry: bool) -> Result<(), Error> {
    if let Some(why) = &record.state.hold {
        return Err(Error::Held(format!("upgrades are on hold: {why}; `os hold --off` ends that")));
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

fn plan(offer: &Offer, boot: &Boot, transfer: Option<(u64, u64)>) -> Plan {
    Plan {
        from: boot.version.clone(),
        to: offer.release.version.clone(),
        root_hash: offer.release.root_hash.clone(),
        notes: offer.release.notes.clone(),
        slot: if boot.slot == "a" { "b" } else { "a" }.to_owned(),
        fetch: transfer.map(|(fetch, _)| fetch + offer.tree.size),
        reuse: transfer.map(|(_, reuse)| reuse),
    }
}

fn bring(
    request: &Request,
    source: &dyn Source,
    offer: &Offer,
    boot: &Boot,
    progress: Progress<'_>,
) -> Result<Outcome, Error> {
    let slots = Slots::find(boot)?;
    let tree = fetch_tree(source, offer)?;
    has_room(&slots.other, offer, &tree)?;
    let running_tree = Tree::read(&slots.running.tree, boot.root_hash()?)?;
    let places = tree.places_in(&running_tree);
    drop(running_tree);
    let esp = Esp::mount(boot)?;
    let entry = BootEntry::new(&offer.release.version).on_trial();
    let leaving: Vec<BootEntry> = esp.entries()?.into_iter().filter(|other| other.version != boot.version).collect();
    esp.has_room(&entry, &leaving, offer.uki.size)?;
    let (running, slot) = (Device::open(&slots.running.data)?, Device::open_writable(&slots.other.data)?);
    let mut compared = |done, total| progress(Stage::Compare, done, total);
    let transfer = Transfer::plan(&tree, &places, &running, &slot, &mut compared)?;
    let patch = offer.patch("root.erofs", &boot.root_hash).and_then(|offered| open(source, offered));
    let transfer = transfer.with_patch(patch, &places);
    let uki = Uki::find(source, offer, &esp, &boot.version)?;
    let plan = plan(offer, boot, Some((transfer.fetch_bytes() + uki.fetch_bytes(), transfer.local_bytes())));
    if request.until == Until::Plan {
        return Ok(Outcome::Available(plan));
    }
    // From here on the other slot holds no version that could be started: its entry has to go first.
    esp.tidy()?;
    leaving.iter().try_for_each(|old| esp.remove(old))?;
    transfer.run(source, &offer.root, &mut |done, total| progress(Stage::Fetch, done, total))?;
    write_tree(&slots.other, &tree)?;
    tree.check(&slots.other.data, &mut |done, total| progress(Stage::Verify, done, total))?;
    Tree::read(&slots.other.tree, offer.root_hash)?;
    if request.until == Until::Download {
        return Ok(Outcome::Downloaded(plan));
    }
    uki.install(source, &esp, &entry, &mut |done, total| progress(Stage::Switch, done, total))?;
    Ok(Outcome::Switched(plan))
}

/// A patch, unless it cannot be had: there are other roads.
fn open(source: &dyn Source, offered: &Offered) -> Option<Patch> {
    Patch::open(source, offered).map_err(|error| eprintln!("{}: doing without it", error.line())).ok()
}

/// The way to the UKI: out of the running version's, or whole.
struct Uki<'a> {
    offer: &'a Offer,
    patch: Option<(Patch, Vec<u8>)>,
}

impl<'a> Uki<'a> {
    fn find(source: &dyn Source, offer: &'a Offer, esp: &Esp, running: &str) -> Result<Self, Error> {
        let old = esp.entry(running)?.map(|entry| esp.content(&entry)).transpose()?;
        let patch = old.and_then(|old| {
            let offered = offer.patch("ashlar.efi", &sha256(&old))?;
            Some((open(source, offered)?, old))
        });
        Ok(Self { offer, patch })
    }

    fn fetch_bytes(&self) -> u64 {
        self.patch.as_ref().map_or(self.offer.uki.size, |(patch, _)| patch.size())
    }

    fn install(
        &self,
        source: &dyn Source,
        esp: &Esp,
        entry: &BootEntry,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Error> {
        let Offer { uki, root_hash, .. } = self.offer;
        if let Some((patch, old)) = &self.patch {
            let wanted = vec![true; patch.head.pieces.len()];
            let mut base = |first: u64, buffer: &mut [u8]| {
                let part = old.get(first as usize..).and_then(|rest| rest.get(..buffer.len()));
                buffer.copy_from_slice(part.ok_or_else(|| Error::Trust("the patch is for a longer base".into()))?);
                Ok(())
            };
            let mut fill = |take: Take<'_>| patch.apply(source, &wanted, &mut base, &mut |_, bytes| take(bytes));
            match esp.install(&mut fill, uki, entry, *root_hash, progress) {
                Err(error @ (Error::Trust(_) | Error::Source(_) | Error::NoRanges)) => {
                    eprintln!("{}: the UKI is fetched whole", error.line());
                }
                other => return other,
            }
        }
        let mut fill = |take: Take<'_>| source.part(&uki.path, uki.size, 0, uki.size, take);
        esp.install(&mut fill, uki, entry, *root_hash, progress)
    }
}

/// The whole tree, checked twice: it is the file that was signed, and it has the root hash that was.
fn fetch_tree(source: &dyn Source, offer: &Offer) -> Result<Tree, Error> {
    if offer.tree.size > tree::LIMIT {
        return Err(Error::Trust(format!("the hash tree would have {} bytes", offer.tree.size)));
    }
    let bytes = source.whole(&offer.tree.path, offer.tree.size)?;
    let bytes = bytes.ok_or_else(|| Error::Source(format!("{} is not there", offer.tree.path)))?;
    if sha256(&bytes) != offer.tree.sha256 {
        return Err(Error::Trust("the hash tree is not the file that was signed".into()));
    }
    let tree = Tree::new(bytes, offer.root_hash)?;
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
