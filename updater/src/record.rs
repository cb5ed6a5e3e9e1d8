//! What the machine remembers of its updates, outside both slots, so that a way back does not forget why. One process at a
//! time has it; whoever comes second waits.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ashlar_control::update::{Condemned, Event, State, Version, What};
use ashlar_formats::date::Date;

use crate::error::{Error, at};

/// Kept by the unit's state folder.
pub const FOLDER: &str = "/var/lib/ashlar-updater";
const FILE: &str = "state.json";
const LOCK: &str = "lock";
/// Events that are remembered.
const HISTORY: usize = 200;

/// The record, ours until the value goes away.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    /// What it says.
    pub state: State,
    _lock: File,
}

impl Record {
    /// Opens it, once nobody else has it.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (path, file) = lock_file(folder)?;
        file.lock().map_err(at("lock", path))?;
        Ok(Self::with(folder, file))
    }

    /// Opens it, unless somebody has it.
    pub fn try_open(folder: &Path) -> Result<Option<Self>, Error> {
        let (path, file) = lock_file(folder)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self::with(folder, file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(at("lock", path)(error)),
        }
    }

    fn with(folder: &Path, lock: File) -> Self {
        Self { path: folder.join(FILE), state: read(folder), _lock: lock }
    }

    /// Keeps what it says, whole or not at all.
    pub fn save(&mut self) -> Result<(), Error> {
        let surplus = self.state.history.len().saturating_sub(HISTORY);
        self.state.history.drain(..surplus);
        let bytes = serde_json::to_vec_pretty(&self.state).map_err(|error| Error::Machine(error.to_string()))?;
        replace(&self.path, &bytes)
    }

    /// Something has happened.
    pub fn note(&mut self, what: What, version: &str, from: &str, reason: &str) -> Result<(), Error> {
        let time = Date::now().to_string();
        let (version, from, reason) = (version.to_owned(), from.to_owned(), reason.to_owned());
        self.state.history.push(Event { time, what, version, from, reason });
        self.save()
    }

    /// A version is not to be taken again by itself.
    pub fn condemn(&mut self, version: Version, from: &str, reason: &str) -> Result<(), Error> {
        let name = version.version.clone();
        self.state.pending.take_if(|pending| pending.version == name);
        self.state.condemned.retain(|other| other.version != version);
        self.state.condemned.push(Condemned { version, reason: reason.to_owned() });
        self.note(What::Condemned, &name, from, reason)
    }

    /// Why a version was condemned, if it was.
    pub fn condemned(&self, version: &Version) -> Option<&str> {
        let found = self.state.condemned.iter().find(|other| other.version == *version);
        found.map(|condemned| condemned.reason.as_str())
    }
}

/// Replaces a file by its next state, whole or not at all, and has the medium keep it.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = File::create(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().map_err(at("write", path))
}

fn lock_file(folder: &Path) -> Result<(PathBuf, File), Error> {
    fs::create_dir_all(folder).map_err(at("make", folder))?;
    let path = folder.join(LOCK);
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(at("open", &path))?;
    Ok((path, file))
}

/// What it says, for those who only read. One that does not read may have held something back: so that is what it does.
pub fn read(folder: &Path) -> State {
    let path = folder.join(FILE);
    let state = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
        Err(error) => Err(error.to_string()),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
    };
    state.unwrap_or_else(|error| {
        let path = path.display();
        let why = format!("what this machine remembers of its versions does not read ({path}: {error})");
        State { hold: Some(why), ..State::default() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers() {
        let folder = tempfile::tempdir().unwrap();
        let version = Version { version: "2".into(), root_hash: "0f".into() };
        let mut record = Record::open(folder.path()).unwrap();
        record.state.pending = Some(version.clone());
        record.note(What::Installed, "2", "1", "").unwrap();
        record.condemn(version.clone(), "1", "a.service failed").unwrap();
        record.condemn(version.clone(), "1", "b.service failed").unwrap();
        assert!(Record::try_open(folder.path()).unwrap().is_none());
        drop(record);
        let mut record = Record::open(folder.path()).unwrap();
        assert_eq!((record.condemned(&version), record.state.pending.clone()), (Some("b.service failed"), None));
        assert_eq!(
            record.state.history.iter().map(|event| event.what).collect::<Vec<_>>(),
            [What::Installed, What::Condemned, What::Condemned]
        );
        for _ in 0..2 * HISTORY {
            record.note(What::Committed, "2", "", "").unwrap();
        }
        assert_eq!(read(folder.path()).history.len(), HISTORY);
        drop(record);
        fs::remove_file(folder.path().join(FILE)).unwrap();
        assert_eq!(read(folder.path()), State::default());
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(read(folder.path()).hold.is_some_and(|why| why.contains("does not read")));
        let mut record = Record::open(folder.path()).unwrap();
        record.state.hold = None;
        record.save().unwrap();
        assert_eq!(read(folder.path()), State::default());
    }
}
