//! Looking for the root over all disks until it is there, or long enough.
//!
//! A root hash names the bytes, not the disk: a copied disk has the same. Its state would be another machine's, so the
//! disk that the boot loader came from counts, if the loader says which one that is.

use std::fs::{self, File};
use std::thread;
use std::time::{Duration, Instant};

use ashlar_formats::gpt::{self, Table};
use ashlar_formats::uuid::Uuid;
use ashlar_formats::verity::RootHash;

use crate::console;
use crate::error::Error;
use crate::slot::{self, Look, Slot, look};

/// Disks of large machines and on slow buses take their time.
const LIMIT: Duration = Duration::from_secs(30);
/// How long the loader's disk is waited for when another one has the same root.
const GRACE: Duration = Duration::from_secs(3);
/// Between two looks: soon at first, and never so often that looking is all that the machine does.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(500));
/// Devices that hold no disk of ours, or that are slow to say so.
const IGNORED: [&str; 6] = ["loop", "ram", "zram", "dm-", "md", "fd"];
/// Digits of a root hash that are enough for people.
const SHORT: usize = 16;

/// A disk and what one look at it found.
type Looked = (String, Result<Look, gpt::Error>);

/// The slot of that root hash; `loader` is the partition that the boot loader was started from. `prepare` is called
/// before each look but the first, to bring up what may have come.
pub fn find(
    wanted: RootHash,
    loader: Option<Uuid>,
    mut prepare: impl FnMut() -> Result<(), Error>,
) -> Result<Slot, Error> {
    let started = Instant::now();
    let mut first_seen = None;
    loop {
        let looked: Vec<Looked> = disks().into_iter().map(look_at).collect();
        let slots = matching(&looked, wanted);
        if let Some(slot) = choose(&slots, loader) {
            return Ok(slot);
        }
        if let Some(slot) = slots.first()
            && first_seen.get_or_insert_with(Instant::now).elapsed() > GRACE
        {
            console::alarm(&format!("the boot loader's disk has no root {}: taking {}", short(wanted), slot.disk));
            return Ok((*slot).clone());
        }
        if started.elapsed() > LIMIT {
            let (wanted, found) = (short(wanted), describe(&looked));
            return Err(Error::NoRoot { seconds: LIMIT.as_secs(), wanted, found });
        }
        thread::sleep((started.elapsed() / 8).clamp(PAUSES.0, PAUSES.1));
        prepare()?;
    }
}

/// The EFI system partition that the loader was started from, where no slot tells it; the only one, if it does not say.
pub fn esp(loader: Option<Uuid>) -> Option<String> {
    let on = |name: String| {
        let disk = path(&name);
        let table = Table::read(&mut File::open(&disk).ok()?).ok()?.table;
        slot::esp(&disk, &table)
    };
    let found: Vec<(String, Uuid)> = disks().into_iter().filter_map(on).collect();
    let chosen = match loader {
        Some(loader) => found.iter().find(|(_, id)| *id == loader),
        None => found.first().filter(|_| found.len() == 1),
    };
    chosen.map(|(path, _)| path.clone())
}

/// Names of the disks, in order. Those without a medium have no size.
fn disks() -> Vec<String> {
    let entries = fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    let disk = |entry: fs::DirEntry| {
        let (name, path) = (entry.file_name().into_string().ok()?, entry.path());
        let size = fs::read_to_string(path.join("size")).ok()?;
        let is_disk = !path.join("partition").exists() && size.trim() != "0";
        (is_disk && !IGNORED.iter().any(|prefix| name.starts_with(prefix))).then_some(name)
    };
    let mut disks: Vec<String> = entries.filter_map(disk).collect();
    disks.sort();
    disks
}

/// In sysfs a slash of the name is an exclamation mark.
fn path(name: &str) -> String {
    format!("/dev/{}", name.replace('!', "/"))
}

fn look_at(name: String) -> Looked {
    let disk = path(&name);
    let looked = File::open(&disk)
        .map_err(gpt::Error::from)
        .and_then(|mut file| look(&disk, &mut file, |path| File::open(path)));
    (disk, looked)
}

fn matching(looked: &[Looked], wanted: RootHash) -> Vec<&Slot> {
    let looks = looked.iter().filter_map(|(_, look)| look.as_ref().ok());
    looks.flatten().filter_map(|(_, slot)| slot.as_ref().ok()).filter(|slot| slot.root_hash == wanted).collect()
}

/// The slot on the loader's disk; any, if the loader does not say which disk that is.
fn choose(slots: &[&Slot], loader: Option<Uuid>) -> Option<Slot> {
    let of_loader = |slot: &&&Slot| loader.is_none_or(|id| slot.esp.as_ref().is_some_and(|(_, esp)| *esp == id));
    slots.iter().find(of_loader).map(|slot| (**slot).clone())
}

/// Each disk and what is on it, for a person.
fn describe(looked: &[Looked]) -> String {
    let trees = |look: &Look| {
        let tree = |(label, slot): &(String, Result<Slot, String>)| match slot {
            Ok(slot) => format!("{label} has {}…", short(slot.root_hash)),
            Err(why) => format!("{label} {why}"),
        };
        look.iter().map(tree).collect::<Vec<_>>().join(", ")
    };
    let disks = looked.iter().map(|(disk, look)| match look {
        Ok(look) if look.is_empty() => format!("{disk} without a root for this kind of machine"),
        Ok(look) => format!("{disk} ({})", trees(look)),
        Err(gpt::Error::None) => format!("{disk} without a GPT"),
        Err(gpt::Error::Disk(error)) => format!("{disk} ({error})"),
        Err(error) => format!("{disk} ({error})"),
    });
    let disks = disks.collect::<Vec<_>>().join(", ");
    if disks.is_empty() { "no disk at all".to_owned() } else { disks }
}

/// The beginning of a hash.
fn short(hash: RootHash) -> String {
    hash.to_string()[..SHORT].to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::slot::tests::{disk, open};

    fn looked(name: &str) -> Looked {
        let (bytes, _) = disk();
        (name.to_owned(), look(name, &mut Cursor::new(&bytes), |path| open(&bytes, path)))
    }

    #[test]
    fn the_loaders_disk_counts() {
        let root = disk().1.root;
        let mut both = [looked("/dev/vda"), looked("/dev/vdb")];
        let slot = both[1].1.as_mut().unwrap()[0].1.as_mut().unwrap();
        slot.esp = Some(("/dev/vdb1".into(), Uuid([9; 16])));
        let slots = matching(&both, root);
        let check = |loader: Option<u8>, expect| {
            let chosen = choose(&slots, loader.map(|byte| Uuid([byte; 16])));
            assert_eq!(chosen.as_ref().map(|slot| slot.disk.as_str()), expect, "{loader:?}");
        };
        check(None, Some("/dev/vda"));
        check(Some(1), Some("/dev/vda"));
        check(Some(9), Some("/dev/vdb"));
        check(Some(5), None);
        assert_eq!(matching(&both, RootHash([0; 32])), Vec::<&Slot>::new());
    }

    #[test]
    fn descriptions() {
        let check = |looked: &[Looked], expect: &str| assert_eq!(describe(looked), expect);
        let hash = short(disk().1.root);
        check(&[], "no disk at all");
        check(&[looked("/dev/vda")], &format!("/dev/vda (verity-a has {hash}…, verity-b is empty)"));
        check(&[("/dev/sdb".into(), Err(gpt::Error::None))], "/dev/sdb without a GPT");
        check(&[("/dev/sdb".into(), Ok(Vec::new()))], "/dev/sdb without a root for this kind of machine");
    }
}
