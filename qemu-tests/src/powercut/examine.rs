//! All states that cuts could have left along a recording, judged without booting them: what the boot loader would take,
//! and whether it is whole.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail, ensure};

use super::cuts::{cuts, mixed};
use super::esp::{Found, Sum, View};
use super::log::{Log, SECTOR, Write};
use crate::disk::{Disk, Partition};

/// A version whose boot entry may be there.
#[derive(Debug, Clone)]
pub struct Version {
    /// As in its entry's name.
    pub name: String,
    /// Its UKI.
    pub uki: Sum,
    /// The partitions of its slot and what has to be in them, as it came from the publisher.
    pub slot: [(String, Vec<u8>); 2],
}

/// A cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Entries of the log that stay whatever happens.
    pub before: usize,
    /// Entries that may have come.
    pub epoch: Range<usize>,
    /// What came of those that change the EFI system partition.
    pub came: Vec<Write>,
}

/// States that look the same to a boot loader.
#[derive(Debug, Clone)]
pub struct Class {
    /// The version that it takes.
    pub starts: String,
    /// How many different states.
    pub states: usize,
    /// One of them.
    pub example: Cut,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Writes of the guest.
    pub writes: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Flushes.
    pub flushes: usize,
    /// States that were made.
    pub made: usize,
    /// Different ones among them.
    pub different: usize,
    /// By the names of the boot entries.
    pub classes: BTreeMap<String, Class>,
    /// What is not as it has to be.
    pub broken: BTreeMap<String, Broken>,
}

/// States that are not as they have to be, for one reason.
#[derive(Debug, Clone, Copy)]
pub struct Broken {
    /// How many.
    pub states: usize,
    /// The first one's place in the log, in entries.
    pub entry: usize,
}

/// A recording, and what it began with.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The disk before the recording.
    pub disk: &'a Disk,
    /// What was done to it.
    pub log: &'a Log,
    /// Partitions that nobody may write, beside the table.
    pub untouched: &'a [&'a str],
    /// What may be started.
    pub versions: &'a [Version],
    /// Of many writes between two flushes so many sets are drawn.
    pub samples: u32,
}

impl Subject<'_> {
    /// Looks at all of it.
    pub fn examine(&self) -> Result<Findings> {
        let mut walk = Walk::new(self)?;
        let epochs = self.log.epochs();
        walk.findings.flushes = self.log.entries.len() - self.log.writes(0..self.log.entries.len()).count();
        for epoch in epochs {
            walk.epoch(epoch)?;
        }
        Ok(walk.findings)
    }
}

struct Walk<'a> {
    subject: &'a Subject<'a>,
    file: File,
    esp: Partition,
    /// The zones that may not be written, in sectors.
    forbidden: Vec<(String, Range<u64>)>,
    slots: Vec<Slot>,
    /// Changed sectors of the ESP, and where in the log.
    kept: HashMap<u64, u64>,
    /// XOR of the hashes of all changed sectors: the same for the same content, however it came.
    state: u64,
    hashes: HashMap<u64, u64>,
    seen: HashSet<u64>,
    /// Files beside the boot entries, which have to stay what they are.
    others: BTreeMap<String, Sum>,
    findings: Findings,
}

/// What has to be in a partition before its version may be named, and what is not there yet.
struct Slot {
    version: String,
    first: u64,
    content: Vec<u8>,
    wrong: BTreeSet<u64>,
}

impl<'a> Walk<'a> {
    fn new(subject: &'a Subject<'a>) -> Result<Self> {
        let file = File::open(&subject.disk.path)?;
        let partitions = subject.disk.partitions()?;
        let by_name = |name: &str| {
            let found = partitions.iter().find(|partition| partition.name == name).cloned();
            found.with_context(|| format!("there is no partition {name}"))
        };
        let sectors = |place: &Partition| place.start / SECTOR..(place.start + place.length) / SECTOR;
        let first = partitions.iter().map(|partition| partition.start).min().unwrap_or_default() / SECTOR;
        let last = partitions.iter().map(|partition| sectors(partition).end).max().unwrap_or_default();
        let mut forbidden =
            vec![("the partition table".to_owned(), 0..first), ("the table's copy".to_owned(), last..u64::MAX)];
        for name in subject.untouched {
            forbidden.push(((*name).to_owned(), sectors(&by_name(name)?)));
        }
        let mut slots = Vec::new();
        for version in subject.versions {
            for (partition, content) in &version.slot {
                slots.push(Slot::new(&version.name, &by_name(partition)?, content.clone(), &file)?);
            }
        }
        let mut walk = Self {
            subject,
            file,
            esp: by_name("esp")?,
            forbidden,
            slots,
            kept: HashMap::new(),
            state: 0,
            hashes: HashMap::new(),
            seen: HashSet::new(),
            others: BTreeMap::new(),
            findings: Findings::default(),
        };
        walk.others = walk.found(&HashMap::new())?.others;
        ensure!(!walk.others.is_empty(), "the EFI system partition has no boot loader");
        Ok(walk)
    }

    fn is_on_esp(&self, write: &Write) -> bool {
        let (first, last) = (self.esp.start / SECTOR, (self.esp.start + self.esp.length) / SECTOR);
        write.sector < last && write.sector + write.count > first
    }

    /// Judges every state that a cut before the flush could leave, and then keeps all that was written.
    fn epoch(&mut self, epoch: Range<usize>) -> Result<()> {
        let writes: Vec<Write> = self.subject.log.writes(epoch.clone()).collect();
        for write in &writes {
            self.findings.writes += 1;
            self.findings.bytes += write.count * SECTOR;
            self.is_allowed(write, epoch.start);
        }
        let on_esp: Vec<Write> = writes.iter().filter(|write| self.is_on_esp(write)).copied().collect();
        let hashes = self.hashed(&on_esp)?;
        for came in cuts(&on_esp, self.subject.samples, epoch.start as u64) {
            self.findings.made += 1;
            self.state(&epoch, came, &hashes)?;
        }
        for write in &writes {
            self.slots.iter_mut().try_for_each(|slot| slot.take(self.subject.log, write))?;
        }
        for (sector, place) in on_esp.iter().flat_map(sectors_of) {
            self.kept.insert(sector, place);
            let new = hashes.get(&place).copied().unwrap_or_default();
            self.state ^= new ^ self.hashes.insert(sector, new).unwrap_or_default();
        }
        Ok(())
    }

    fn is_allowed(&mut self, write: &Write, entry: usize) {
        for (name, zone) in &self.forbidden {
            if write.sector < zone.end && write.sector + write.count > zone.start {
                let broken = Broken { states: 0, entry };
                self.findings.broken.entry(format!("{name} was written")).or_insert(broken).states += 1;
            }
        }
    }

    /// Hashes of all sectors that came, by their places in the log.
    fn hashed(&self, writes: &[Write]) -> Result<HashMap<u64, u64>> {
        let mut hashes = HashMap::new();
        for write in writes {
            let bytes = self.subject.log.bytes(write)?;
            for ((sector, place), content) in sectors_of(write).zip(bytes.chunks_exact(SECTOR as usize)) {
                let words = content.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
                hashes.insert(place, words.fold(mixed(sector + 1), |hash, word| mixed(hash ^ word)));
            }
        }
        Ok(hashes)
    }

    fn state(&mut self, epoch: &Range<usize>, came: Vec<Write>, hashes: &HashMap<u64, u64>) -> Result<()> {
        let changed: HashMap<u64, u64> = came.iter().flat_map(sectors_of).collect();
        let state = changed.iter().fold(self.state, |state, (sector, place)| {
            state
                ^ hashes.get(place).copied().unwrap_or_default()
                ^ self.hashes.get(sector).copied().unwrap_or_default()
        });
        if !self.seen.insert(state) {
            return Ok(());
        }
        self.findings.different += 1;
        let judged = self.found(&changed).and_then(|found| self.judge(&found));
        match judged {
            Ok((name, starts)) => {
                let example = Cut { before: epoch.start, epoch: epoch.clone(), came };
                let class = Class { starts, states: 0, example };
                self.findings.classes.entry(name).or_insert(class).states += 1;
            }
            Err(error) => {
                let broken = Broken { states: 0, entry: epoch.start };
                self.findings.broken.entry(format!("{error:#}")).or_insert(broken).states += 1;
            }
        }
        Ok(())
    }

    fn found(&self, came: &HashMap<u64, u64>) -> Result<Found> {
        let (start, length) = (self.esp.start, self.esp.length);
        let (disk, log, kept) = (&self.file, self.subject.log, &self.kept);
        Found::read(View { disk, start, length, log, kept, came, place: 0 })
    }

    /// The class's name, and the version that is started.
    fn judge(&self, found: &Found) -> Result<(String, String)> {
        for (path, sum) in &self.others {
            ensure!(found.others.get(path) == Some(sum), "{path} is not what it was");
        }
        let mut versions = BTreeSet::new();
        for (name, sum) in found.entries.iter().filter_map(|(name, sum)| Some((name, (*sum)?))) {
            let version = self.subject.versions.iter().find(|version| version.uki == sum);
            let version = version.with_context(|| format!("{name} is damaged, and the boot loader sees it"))?;
            ensure!(name.contains(&version.name), "{name} is the UKI of {}", version.name);
            ensure!(versions.insert(&version.name), "{name} is there under two names");
            if let Some(slot) = self.slots.iter().find(|slot| slot.version == version.name && !slot.wrong.is_empty()) {
                bail!("{name} is there, and its slot still lacks {} sectors", slot.wrong.len());
            }
        }
        let names: Vec<&str> = found.entries.keys().map(String::as_str).collect();
        let (_, entry) = found.chosen().with_context(|| format!("nothing can be started: there is {names:?}"))?;
        Ok((names.join(", "), entry.version))
    }
}

impl Slot {
    fn new(version: &str, place: &Partition, content: Vec<u8>, disk: &File) -> Result<Self> {
        let first = place.start / SECTOR;
        let mut now = vec![0; content.len()];
        disk.read_exact_at(&mut now, place.start)?;
        let pairs = now.chunks(SECTOR as usize).zip(content.chunks(SECTOR as usize));
        let wrong = (first..).zip(pairs).filter(|(_, (is, wanted))| is != wanted).map(|(sector, _)| sector).collect();
        Ok(Self { version: version.to_owned(), first, content, wrong })
    }

    fn take(&mut self, log: &Log, write: &Write) -> Result<()> {
        let end = self.first + (self.content.len() as u64).div_ceil(SECTOR);
        if write.sector >= end || write.sector + write.count <= self.first {
            return Ok(());
        }
        let bytes = log.bytes(write)?;
        for (sector, is) in (write.sector..).zip(bytes.chunks_exact(SECTOR as usize)) {
            if !(self.first..end).contains(&sector) {
                continue;
            }
            let at = ((sector - self.first) * SECTOR) as usize;
            let wanted = &self.content[at..self.content.len().min(at + SECTOR as usize)];
            if is[..wanted.len()] == *wanted {
                self.wrong.remove(&sector);
            } else {
                self.wrong.insert(sector);
            }
        }
        Ok(())
    }
}

/// Each sector, and the place of its bytes.
fn sectors_of(write: &Write) -> impl Iterator<Item = (u64, u64)> + use<> {
    let Write { sector, count, place } = *write;
    (0..count).map(move |index| (sector + index, place + index))
}
