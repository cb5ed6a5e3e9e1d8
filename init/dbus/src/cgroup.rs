//! What control groups say of themselves: the accounting of units, and their processes.

use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// Of which there is no number.
pub const NONE: u64 = u64::MAX;

/// A group.
#[derive(Debug, Clone, Default)]
pub struct Group(Option<PathBuf>);

impl Group {
    /// By its path below the root; none if that is empty.
    pub fn new(path: &str) -> Self {
        Self((!path.is_empty()).then(|| Path::new(ROOT).join(path.trim_start_matches('/'))))
    }

    /// The number by which the kernel knows it; 0 for none.
    pub fn id(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        self.0.as_ref().and_then(|path| fs::metadata(path).ok()).map_or(0, |meta| meta.ino())
    }

    fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.0.as_ref()?.join(file)).ok()
    }

    /// A file; empty if it is not there.
    pub fn text(&self, file: &str) -> String {
        self.read(file).unwrap_or_default()
    }

    /// A file with one number; `max` and what is not there are [`NONE`].
    pub fn number(&self, file: &str) -> u64 {
        self.read(file).and_then(|text| text.trim().parse().ok()).unwrap_or(NONE)
    }

    /// A number out of lines of keys.
    pub fn keyed(&self, file: &str, key: &str) -> u64 {
        let text = self.read(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok());
        line.unwrap_or(NONE)
    }

    /// The sum over all disks of a number in io.stat.
    pub fn disks(&self, key: &str) -> u64 {
        let Some(text) = self.read("io.stat") else { return NONE };
        let words = text.split_whitespace().filter_map(|word| word.split_once('='));
        words.filter(|(name, _)| *name == key).filter_map(|(_, value)| value.parse::<u64>().ok()).sum()
    }

    /// Whether all of it stands still.
    pub fn is_frozen(&self) -> bool {
        self.keyed("cgroup.events", "frozen") == 1
    }

    /// Processes of it and of all below, each with its group.
    pub fn processes(&self) -> Vec<(String, u32)> {
        let mut found = Vec::new();
        let mut work: Vec<PathBuf> = self.0.iter().cloned().collect();
        while let Some(directory) = work.pop() {
            let name = directory.strip_prefix(ROOT).unwrap_or(&directory).display();
            let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| Some((format!("/{name}"), line.parse().ok()?))));
            let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
            work.extend(entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir())).map(|e| e.path()));
        }
        found
    }
}

/// A process's command line, as people read it.
pub fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&bytes).replace('\0', " ").trim_end().to_owned();
    if !line.is_empty() {
        return line;
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    format!("[{}]", name.trim_end())
}
