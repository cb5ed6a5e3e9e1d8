//! What one instance of PID 1 leaves to the next: a log of records in a memory file.
//!
//! A record is one line, `["key",value]`; the last one of a key counts, `null` forgets it. A turn of the loop adds the
//! records of what changed with a single write, so that the file is always as after some whole turn, whenever a fault
//! comes; and a turn costs what it changed, not what there is. When most of the log is history it is written anew.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

use ashlar_sys::memfd;
use serde::Serialize;
use serde_json::Value;

/// A log that is shorter is never written anew.
const WORTHWHILE: u64 = 128 << 10;
/// How much is copied at a time.
const CHUNK: usize = 64 << 10;
/// How much longer than its live records a log may be.
const HISTORY: u64 = 4;

/// The log.
#[derive(Debug)]
pub struct Snapshot {
    file: File,
    length: u64,
    /// Where each key's last record stands, and its length.
    live: BTreeMap<String, (u64, u64)>,
    live_length: u64,
    pending: Vec<u8>,
}

impl Snapshot {
    /// An empty one.
    pub fn create() -> io::Result<Self> {
        Ok(Self::over(memfd::create(c"ashlar-state")?))
    }

    fn over(file: File) -> Self {
        Self { file, length: 0, live: BTreeMap::new(), live_length: 0, pending: Vec::new() }
    }

    /// Takes over an earlier instance's log; returns its records, too.
    pub fn load(file: File) -> io::Result<(Self, BTreeMap<String, Value>)> {
        let length = file.metadata()?.len();
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        let mut snapshot = Self::over(file);
        snapshot.length = length;
        let mut records = BTreeMap::new();
        let mut at = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let length = line.len() as u64;
            at += length;
            let Ok((key, value)) = serde_json::from_slice::<(String, Value)>(line) else { continue };
            snapshot.account(&key, (at - length, length), value.is_null());
            match value {
                Value::Null => records.remove(&key),
                value => records.insert(key, value),
            };
        }
        Ok((snapshot, records))
    }

    /// Its descriptor, which stays the same for good.
    pub fn descriptor(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    fn account(&mut self, key: &str, record: (u64, u64), gone: bool) {
        let old = match (gone, self.live.get_mut(key)) {
            (true, _) => self.live.remove(key),
            (false, Some(old)) => Some(std::mem::replace(old, record)),
            (false, None) => self.live.insert(key.into(), record),
        };
        self.live_length += if gone { 0 } else { record.1 };
        self.live_length = self.live_length.saturating_sub(old.map_or(0, |(_, length)| length));
    }

    /// Records a value with the next [`Self::commit`].
    pub fn put(&mut self, key: &str, value: &impl Serialize) {
        let start = self.pending.len();
        if serde_json::to_writer(&mut self.pending, &(key, value)).is_err() {
            return self.pending.truncate(start);
        }
        self.pending.push(b'\n');
        let record = (self.length + start as u64, (self.pending.len() - start) as u64);
        self.account(key, record, false);
    }

    /// Forgets a value with the next [`Self::commit`].
    pub fn remove(&mut self, key: &str) {
        if self.live.contains_key(key) {
            self.put(key, &Value::Null);
            self.account(key, (0, 0), true);
        }
    }

    /// Writes what was recorded since the last time.
    pub fn commit(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.write()?;
        if self.length > WORTHWHILE && self.length > self.live_length * HISTORY {
            self.compact()?;
        }
        Ok(())
    }

    /// Copies the live records to a new file, in their order, then puts that in the place of the old one. Never all of
    /// them at a time: what PID 1 has once taken of memory it keeps.
    fn compact(&mut self) -> io::Result<()> {
        let mut fresh = Self::create()?;
        let mut records: Vec<&mut (u64, u64)> = self.live.values_mut().collect();
        records.sort_unstable();
        for (place, length) in records.iter().map(|record| **record) {
            let start = fresh.pending.len();
            fresh.pending.resize(start + usize::try_from(length).unwrap_or(0), 0);
            self.file.read_exact_at(&mut fresh.pending[start..], place)?;
            if fresh.pending.len() > CHUNK {
                fresh.write()?;
            }
        }
        fresh.write()?;
        memfd::replace(&self.file, &fresh.file)?;
        self.length = 0;
        for record in records {
            record.0 = self.length;
            self.length += record.1;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.pending, self.length)?;
        self.length += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reload(snapshot: &Snapshot) -> BTreeMap<String, Value> {
        Snapshot::load(snapshot.file.try_clone().unwrap()).unwrap().1
    }

    #[test]
    fn the_last_record_counts_once_it_is_committed() {
        let mut snapshot = Snapshot::create().unwrap();
        snapshot.put("a", &1);
        snapshot.put("b", &"x\ny");
        snapshot.commit().unwrap();
        snapshot.put("a", &2);
        assert_eq!(reload(&snapshot)["a"], 1);
        snapshot.remove("b");
        snapshot.commit().unwrap();
        let records = reload(&snapshot);
        assert_eq!((records.len(), &records["a"]), (1, &Value::from(2)));
    }

    #[test]
    fn history_is_dropped() {
        let mut snapshot = Snapshot::create().unwrap();
        let number = snapshot.descriptor();
        snapshot.put("stays", &"here");
        for turn in 0..100_000 {
            snapshot.put("counter", &turn);
            snapshot.commit().unwrap();
        }
        assert!(snapshot.length <= WORTHWHILE + 64, "{}", snapshot.length);
        assert_eq!(snapshot.descriptor(), number);
        let records = reload(&snapshot);
        assert_eq!((&records["counter"], &records["stays"]), (&Value::from(99_999), &Value::from("here")));
        // And again, from where the first time left them.
        snapshot.compact().unwrap();
        snapshot.compact().unwrap();
        assert_eq!(reload(&snapshot), records);
    }
}
