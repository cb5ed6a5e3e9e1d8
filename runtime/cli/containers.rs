//! Containers that this runtime has made: a folder each, with the state, a copy of config.json, and, as long as the
//! container waits to be started, its gate.
//!
//! ```text
//! ROOT/ID/state.json    the process, its group, where it came from
//! ROOT/ID/config.json   what it was made from: later changes of the bundle are none of the container's
//! ROOT/ID/gate          a socket; gone once the container was started
//! ```
//! Who changes a container holds a lock on its folder. What is in there says enough at every moment to clear away what
//! was made, should the runtime be killed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ashlar_runtime::Bundle;
use ashlar_sys::{child, credentials, process};
use serde::{Deserialize, Serialize};

use crate::{About, Failed, group, time};

const STATE: &str = "state.json";
const CONFIG: &str = "config.json";
const GATE: &str = "gate";
/// SIGKILL.
pub const KILL: i32 = 9;

/// Where containers are kept if nobody says.
pub fn root(said: Option<&str>) -> Result<PathBuf, Failed> {
    match (said, std::env::var("XDG_RUNTIME_DIR")) {
        (Some(said), _) => std::path::absolute(said).about(format!("use --root {said}")),
        (None, Ok(folder)) if !credentials::is_root_of_the_host() => Ok(PathBuf::from(folder).join("ashlar-runtime")),
        _ => Ok("/run/ashlar-runtime".into()),
    }
}

/// What is known about a container.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct State {
    /// Version of the specification that its configuration follows.
    pub oci_version: String,
    /// Its name.
    pub id: String,
    /// Its process; 0 before there is one.
    pub pid: u32,
    /// When that began, in the kernel's ticks: a number is given anew.
    pub pid_start: u64,
    /// Where its bundle was.
    pub bundle: PathBuf,
    /// Its root file system.
    pub rootfs: PathBuf,
    /// When it was made.
    pub created: String,
    /// Who made it.
    pub owner: String,
    /// From its configuration.
    pub annotations: BTreeMap<String, String>,
    /// Its control group, below the root of them.
    pub group: Option<String>,
    /// The unit of systemd that has it.
    pub unit: Option<String>,
    /// It has no hooks for after its start or its end: nobody need read its configuration for them.
    pub hookless: bool,
}

/// Where a container is in its life (runtime.md, State); `paused` is ours, and everybody's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Creating,
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    /// The specification's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A container's folder.
#[derive(Debug)]
pub struct Container {
    path: PathBuf,
    folder: File,
    /// Nobody else changes it.
    locked: bool,
    /// What is known about it.
    pub state: State,
}

/// Names are names of folders, and of units.
pub fn check_id(id: &str) -> Result<(), Failed> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    match !id.is_empty() && id.len() <= 255 && id.chars().all(fits) && id != "." && id != ".." {
        true => Ok(()),
        false => Err(Failed::new(format!(
            "`{id}` is no name for a container: letters, digits and `_+-.` are, up to 255 of them"
        ))),
    }
}

impl Container {
    /// A new one, locked. `config` is its configuration as it was read.
    pub fn new(root: &Path, id: &str, bundle: &Bundle, config: &[u8]) -> Result<Self, Failed> {
        check_id(id)?;
        let private = |path: &Path, all: bool| fs::DirBuilder::new().mode(0o700).recursive(all).create(path);
        let path = root.join(id);
        let made = match private(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                private(root, true).and_then(|()| private(&path, false))
            }
            made => made,
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Failed::new(format!("container with id `{id}` exists already")));
            }
            made => made.about(format!("make {}", path.display()))?,
        }
        let folder = File::open(&path).about(format!("open {}", path.display()))?;
        folder.lock().about(format!("lock {}", path.display()))?;
        let spec = &bundle.spec;
        let state = State {
            oci_version: spec.oci_version.clone(),
            id: id.to_owned(),
            bundle: bundle.directory.clone(),
            rootfs: spec.root.as_ref().map_or_else(PathBuf::new, |root| bundle.directory.join(&root.path)),
            created: time::now(),
            owner: std::env::var("USER").unwrap_or_else(|_| credentials::user().to_string()),
            annotations: spec.annotations.clone(),
            hookless: spec.hooks.poststart.is_empty() && spec.hooks.poststop.is_empty(),
            ..State::default()
        };
        let container = Self { path, folder, locked: true, state };
        let written = fs::write(container.path.join(CONFIG), config);
        if let Err(error) = written.about(format!("write {}", container.path.join(CONFIG).display())) {
            let _ = container.remove();
            return Err(error);
        }
        Ok(container)
    }

    /// One that is there, to be looked at.
    pub fn open(root: &Path, id: &str) -> Result<Self, Failed> {
        Self::find(root, id)?.ok_or_else(|| Failed::new(format!("container `{id}` does not exist")))
    }

    /// One that is there, to be changed: nobody else does meanwhile.
    pub fn lock(root: &Path, id: &str) -> Result<Self, Failed> {
        let container = Self::open(root, id)?;
        container.folder.lock().about(format!("lock {}", container.path.display()))?;
        // Whoever held the lock may have changed it, or removed it.
        Self::open(root, id).map(|fresh| Self { state: fresh.state, locked: true, ..container })
    }

    /// One if it is there.
    pub fn find(root: &Path, id: &str) -> Result<Option<Self>, Failed> {
        check_id(id)?;
        let path = root.join(id);
        let folder = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            folder => folder.about(format!("open {}", path.display()))?,
        };
        let file = path.join(STATE);
        let state = match fs::read(&file) {
            // Whoever made it was killed before there was anything to tell.
            Err(error) if error.kind() == io::ErrorKind::NotFound => State { id: id.to_owned(), ..State::default() },
            text => serde_json::from_slice(&text.about(format!("read {}", file.display()))?)
                .map_err(|error| Failed::new(format!("cannot use {}: {error}", file.display())))?,
        };
        Ok(Some(Self { path, folder, locked: false, state }))
    }

    /// All of them.
    pub fn all(root: &Path) -> Vec<Self> {
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        let mut ids: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        ids.sort();
        ids.iter().filter_map(|id| Self::find(root, id).ok().flatten()).collect()
    }

    /// Writes down what is known, all or nothing.
    pub fn save(&self) -> Result<(), Failed> {
        let (file, new) = (self.path.join(STATE), self.path.join("state.new"));
        let write = || {
            let text = serde_json::to_vec(&self.state).map_err(io::Error::other)?;
            File::create(&new)?.write_all(&text)?;
            fs::rename(&new, &file)
        };
        write().about(format!("write {}", file.display()))
    }

    /// Its configuration at the time when it was made.
    pub fn bundle(&self) -> Result<Bundle, Failed> {
        Ok(Bundle::read(&self.state.bundle, &self.path.join(CONFIG))?)
    }

    /// Path of its gate, short enough for a socket however deep the folder is.
    pub fn gate(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{GATE}", self.folder.as_raw_fd()))
    }

    /// It was started.
    pub fn close_gate(&self) -> Result<(), Failed> {
        fs::remove_file(self.path.join(GATE)).about(format!("remove the gate of {}", self.path.display()))
    }

    /// Removes the folder; what it tells of must be gone.
    pub fn remove(&self) -> Result<(), Failed> {
        // The state goes last: without it nobody knows what is left.
        for file in [GATE, "state.new", CONFIG, STATE] {
            let _ = fs::remove_file(self.path.join(file));
        }
        fs::remove_dir_all(&self.path).about(format!("remove {}", self.path.display()))
    }

    /// Notes the process of the container.
    pub fn adopt(&mut self, pid: u32) {
        (self.state.pid, self.state.pid_start) = (pid, start_of(pid).unwrap_or(0));
    }

    /// The directory of its control group.
    pub fn group(&self) -> Option<PathBuf> {
        self.state.group.as_deref().map(group::directory)
    }

    /// Whether its process lives.
    pub fn lives(&self) -> bool {
        self.state.pid != 0 && start_of(self.state.pid) == Some(self.state.pid_start)
    }

    /// Sends a signal to its process, and to nobody who was given the same number; says whether it lives.
    pub fn signal(&self, number: i32) -> io::Result<bool> {
        let Ok(process) = child::watch(self.state.pid) else { return Ok(false) };
        // From here on the number may be given anew: the descriptor is of whoever had it just now.
        match self.lives() {
            true => process::signal(&process, number).map(|()| true),
            false => Ok(false),
        }
    }

    /// Kills all of it.
    pub fn stop(&self) -> Result<(), Failed> {
        match self.group() {
            Some(group) => group::signal_all(&group, KILL),
            None => drop(self.signal(KILL).about(format!("kill container `{}`", self.state.id))?),
        }
        Ok(())
    }

    /// Where it is in its life.
    pub fn status(&self) -> Status {
        if self.state.pid == 0 {
            // Somebody is at it, or was killed over it.
            let busy = !self.locked && self.folder.try_lock_shared().is_err();
            return if busy { Status::Creating } else { Status::Stopped };
        }
        if !self.lives() {
            return Status::Stopped;
        }
        if self.group().is_some_and(|group| group::is_frozen(&group)) {
            return Status::Paused;
        }
        match self.path.join(GATE).exists() {
            true => Status::Created,
            false => Status::Running,
        }
    }
}

/// When a process began, if it has not ended (proc(5), stat: the fields behind the name in brackets).
fn start_of(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |id: &str, fits| assert_eq!(check_id(id).is_ok(), fits, "{id}");
        check("a-b_c+d.1", true);
        check("", false);
        check("..", false);
        check("a/b", false);
        check(&"x".repeat(256), false);
    }

    #[test]
    fn processes() {
        assert!(start_of(std::process::id()).is_some());
        assert!(start_of(u32::MAX).is_none());
    }
}
