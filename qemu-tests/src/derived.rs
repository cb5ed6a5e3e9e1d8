//! Images of a test's own: what `base` is, and units beside those that are shipped. Built by the program that users have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::{BUILDER_VARIABLE, PROGRAMS_VARIABLE, fixture, tool};

/// A unit: the name of its folder, and its `unit.toml`.
pub type Unit<'a> = (&'a str, &'a str);

/// What builds: the builder, and the folder of our programs that go into an image.
#[derive(Debug)]
pub struct Tools {
    /// The program `ashlar`.
    pub builder: PathBuf,
    /// For this host's architecture.
    pub programs: PathBuf,
}

impl Tools {
    /// What `cargo xtask test` hands to the stories.
    pub fn of_stories() -> Result<Self> {
        Ok(Self { builder: fixture::variable(BUILDER_VARIABLE)?, programs: fixture::variable(PROGRAMS_VARIABLE)? })
    }
}

/// An image that inherits from `base`. Its folder is removed with it.
#[derive(Debug)]
pub struct Derived {
    folder: PathBuf,
}

impl Derived {
    /// Builds one for this host's architecture with what `cargo xtask test` hands to the stories.
    pub fn build(name: &str, units: &[Unit<'_>]) -> Result<Self> {
        Self::build_with(&Tools::of_stories()?, name, units)
    }

    /// As [`Self::build`].
    pub fn build_with(tools: &Tools, name: &str, units: &[Unit<'_>]) -> Result<Self> {
        Self::make(tools, name, None, "", units)
    }

    /// A version of an image; `more` is what its file says besides.
    pub fn version(name: &str, version: &str, more: &str, units: &[Unit<'_>]) -> Result<Self> {
        Self::version_with(&Tools::of_stories()?, name, version, more, units)
    }

    /// As [`Self::version`].
    pub fn version_with(tools: &Tools, name: &str, version: &str, more: &str, units: &[Unit<'_>]) -> Result<Self> {
        Self::make(tools, name, Some(version), more, units)
    }

    fn make(tools: &Tools, name: &str, version: Option<&str>, more: &str, units: &[Unit<'_>]) -> Result<Self> {
        let folder = format!("ashlar-image-{name}-{}-{}", version.unwrap_or_default(), std::process::id());
        let derived = Self { folder: std::env::temp_dir().join(folder) };
        derived.write(name, more, units)?;
        derived.run(tools, name, version)?;
        Ok(derived)
    }

    /// Its disk.
    pub fn disk(&self) -> PathBuf {
        self.output().join("disk.raw")
    }

    /// The folder that it was built in.
    pub fn output(&self) -> PathBuf {
        self.folder.join("output")
    }

    /// The image's file, its locks (no package is its own), and the units' folders.
    fn write(&self, name: &str, more: &str, units: &[Unit<'_>]) -> Result<()> {
        let checkout = fixture::checkout()?;
        for (unit, text) in units {
            put(&self.folder.join("units").join(unit).join("unit.toml"), text.as_bytes())?;
        }
        let names: Vec<&str> = units.iter().map(|(unit, _)| *unit).collect();
        let image = format!(
            "name = {name:?}\ninherits = [{:?}]\nunit-folders = [{:?}, \"units\"]\nunits = {names:?}\n{more}",
            checkout.join("images/base.toml"),
            checkout.join("system-containers"),
        );
        put(&self.folder.join(name).with_extension("toml"), image.as_bytes())?;
        let arch = Arch::host();
        let (base, tools) = (format!("base.{arch}.lock"), format!("tools.{arch}.lock"));
        for (from, to) in [(&base, &format!("{name}.{arch}.lock")), (&tools, &tools)] {
            let from = checkout.join("images").join(from);
            let lock = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
            put(&self.folder.join(to), &lock)?;
        }
        Ok(())
    }

    fn run(&self, tools: &Tools, name: &str, version: Option<&str>) -> Result<()> {
        let mut command = Command::new(&tools.builder);
        command.arg("build").arg(self.folder.join(name).with_extension("toml"));
        command.args(["--quick", "--arch", Arch::host().name(), "--programs"]);
        command.arg(&tools.programs).arg("--output").arg(self.folder.join("output"));
        if let Some(version) = version {
            command.args(["--version", version]);
        }
        tool::output(&mut command).map(drop)
    }
}

impl Drop for Derived {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn put(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    fs::write(path, content).with_context(|| format!("write {}", path.display()))
}
