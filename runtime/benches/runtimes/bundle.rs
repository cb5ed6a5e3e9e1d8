//! Bundles: the configuration that the first runtime's `spec` writes, and a root that holds this program under two names.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use serde_json::{Value, json};

const OWN: &str = "/proc/self/exe";

/// Removed when it is dropped.
pub struct Bundle {
    folder: PathBuf,
}

impl Bundle {
    /// `runtime` says what a configuration looks like.
    pub fn new(runtime: &str) -> Result<Self, String> {
        let bundle = Self { folder: std::env::temp_dir().join(format!("runtimes-{}", std::process::id())) };
        for program in ["true", "sleep"] {
            let folder = bundle.path(program);
            let made = fill(&folder.join("rootfs"));
            made.map_err(|error| format!("cannot make the bundle {}: {error}", folder.display()))?;
            success(Command::new(runtime).arg("spec").current_dir(&folder))?;
            let change = change(&folder.join("config.json"), program);
            change.map_err(|error| format!("cannot use what `{runtime} spec` has written: {error}"))?;
        }
        Ok(bundle)
    }

    /// The bundle whose process is this program.
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// Its container, by the least that makes one.
    pub fn floor(&self) -> Result<(), String> {
        success(Command::new(OWN).arg("floor").arg(self.path("true").join("rootfs")))
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn fill(root: &Path) -> io::Result<()> {
    for folder in ["dev", "proc", "sys"] {
        fs::create_dir_all(root.join(folder))?;
    }
    ["true", "sleep"].into_iter().try_for_each(|program| fs::copy(OWN, root.join(program)).map(drop))
}

fn change(config: &Path, program: &str) -> io::Result<()> {
    let mut written: Value = serde_json::from_slice(&fs::read(config)?)?;
    written["process"]["args"] = json!([format!("/{program}")]);
    written["process"]["terminal"] = json!(false);
    fs::write(config, written.to_string())
}

/// Runs it; nobody reads what it prints.
pub fn success(command: &mut Command) -> Result<(), String> {
    let run = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let name = Path::new(command.get_program()).display().to_string();
    match run {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name}: {status}")),
        Err(error) => Err(format!("cannot run {name}: {error}")),
    }
}
