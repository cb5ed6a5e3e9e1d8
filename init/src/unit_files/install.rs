//! Changing links: enable, disable, mask, link and so on (systemctl(1), "Unit File Commands"), with the words and the
//! answers that systemd has.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use ashlar_config::systemd::install::{Install, Link};
use ashlar_config::systemd::{Host, is_template, template_of};
use ashlar_config::unit::is_unit_name;
pub use ashlar_control::message::{FileChange as Kind, LinkChange as Change};

use super::index::{Found, Index, is_mask};
use super::state::links_to;
use super::{ADMINISTRATORS, RUNTIME, VENDORS};

/// What is asked for.
pub struct Request<'a> {
    pub kind: &'a Kind,
    pub units: &'a [String],
    pub runtime: bool,
    pub force: bool,
    pub host: &'a Host,
    /// The units that pull one of the image in; `None`: it has none of that name.
    pub image: &'a dyn Fn(&str) -> Option<Vec<String>>,
}

/// Why it was not done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("Unit {0} does not exist")]
    Missing(String),
    #[error("Unit {0} is masked")]
    Masked(String),
    #[error("{0}")]
    Exists(String),
    #[error("{0}")]
    Invalid(String),
    #[error("cannot change {path}: {error}")]
    Change { path: String, error: String },
}

struct Work<'a> {
    request: &'a Request<'a>,
    index: Index,
    folder: PathBuf,
    changes: Vec<Change>,
    /// Some unit said what enabling it means.
    informed: bool,
}

/// Does it. Says whether any of the units has something to say of enabling, and what changed.
pub fn carry_out(request: &Request<'_>) -> Result<(bool, Vec<Change>), Problem> {
    let folder = PathBuf::from(if request.runtime { RUNTIME } else { ADMINISTRATORS });
    let mut work = Work { request, index: Index::read(), folder, changes: Vec::new(), informed: false };
    for unit in request.units {
        let name = unit.rsplit('/').next().unwrap_or_default();
        if !is_unit_name(name) {
            return Err(Problem::Invalid(format!("\"{unit}\" is not a valid unit name.")));
        }
    }
    match request.kind {
        Kind::Enable => work.enable()?,
        Kind::Reenable => {
            work.disable()?;
            work.enable()?;
        }
        // There are no presets: what has something to say of enabling is enabled.
        Kind::Preset => work.enable()?,
        Kind::Disable => work.disable()?,
        Kind::Mask => work.each(Work::mask)?,
        Kind::Unmask => work.each(Work::unmask)?,
        Kind::Link => work.each(Work::link_file)?,
        Kind::Revert => work.each(Work::revert)?,
        Kind::AddDependency { target, requires } => work.pull(target, *requires)?,
        Kind::SetDefault => work.set_default()?,
    }
    Ok((work.informed, work.changes))
}

impl Work<'_> {
    fn each(&mut self, act: fn(&mut Self, &str) -> Result<(), Problem>) -> Result<(), Problem> {
        self.request.units.iter().try_for_each(|unit| act(self, unit))
    }

    /// A unit's file and what it says; of one of the image what the image says.
    fn look(&self, name: &str) -> Result<(String, Install), Problem> {
        match self.index.find(name) {
            Some(Found::Masked(_)) => Err(Problem::Masked(name.to_owned())),
            Some(Found::File(path)) => {
                let loaded = self.index.load_with_install(name, None, self.request.host);
                // Of a link it is the file that is meant.
                let own = fs::read_link(path).ok().filter(|target| target.is_absolute());
                let path = own.unwrap_or_else(|| path.clone()).display().to_string();
                Ok((path, loaded.map_or_else(Install::default, |(_, install)| install)))
            }
            _ => Err(Problem::Missing(name.to_owned())),
        }
    }

    fn enable(&mut self) -> Result<(), Problem> {
        let mut done = BTreeSet::new();
        let mut names: VecDeque<String> = self.request.units.iter().cloned().collect();
        while let Some(unit) = names.pop_front() {
            if unit.starts_with('/') {
                self.link_file(&unit)?;
                self.index = Index::read();
            }
            let name = self.index.resolve(unit.rsplit('/').next().unwrap_or_default());
            if !done.insert(name.clone()) {
                continue;
            }
            if let (Some(pulls), None) = ((self.request.image)(&name), self.index.find(&name)) {
                self.informed = true;
                for by in pulls {
                    self.unmask_pull(&by, &name)?;
                }
                continue;
            }
            let (path, install) = self.look(&name)?;
            self.informed |= install.says_something() || !install.also.is_empty();
            for link in install.links(&name, &path).map_err(Problem::Invalid)? {
                self.link(&link)?;
            }
            names.extend(install.also);
        }
        Ok(())
    }

    fn disable(&mut self) -> Result<(), Problem> {
        let mut done = BTreeSet::new();
        let mut names: VecDeque<String> = self.request.units.iter().cloned().collect();
        while let Some(unit) = names.pop_front() {
            let name = unit.rsplit('/').next().unwrap_or_default().to_owned();
            if !done.insert(name.clone()) {
                continue;
            }
            if let (Some(pulls), None) = ((self.request.image)(&name), self.index.find(&name)) {
                self.informed = true;
                for by in pulls {
                    self.link_pull_to_nothing(&by, &name)?;
                }
            } else {
                match self.look(&name) {
                    Ok((_, install)) => {
                        self.informed |= install.says_something() || !install.also.is_empty();
                        names.extend(install.also);
                    }
                    Err(Problem::Missing(_)) if links_to(&self.folder, &name).is_empty() => {
                        return Err(Problem::Missing(name));
                    }
                    Err(_) => {}
                }
            }
            for link in links_to(&self.folder, &name) {
                self.unlink(&link)?;
            }
            // A file that was only linked here goes, too.
            let own = self.folder.join(&name);
            if fs::read_link(&own).is_ok() && !is_mask(&own) && template_of(&name).is_none() {
                self.unlink(&own)?;
            }
        }
        Ok(())
    }

    /// The image's own pull on a unit counts again.
    fn unmask_pull(&mut self, by: &str, name: &str) -> Result<(), Problem> {
        for folder in [ADMINISTRATORS, RUNTIME] {
            let link = Path::new(folder).join(format!("{by}.wants/{name}"));
            if is_mask(&link) {
                self.unlink(&link)?;
            }
        }
        Ok(())
    }

    fn link_pull_to_nothing(&mut self, by: &str, name: &str) -> Result<(), Problem> {
        self.link(&Link { name: format!("{by}.wants/{name}"), target: "/dev/null".into() })
    }

    fn mask(&mut self, name: &str) -> Result<(), Problem> {
        if name.contains('/') {
            return Err(Problem::Invalid(format!("\"{name}\" is not a valid unit name.")));
        }
        self.link(&Link { name: name.to_owned(), target: "/dev/null".into() })
    }

    fn unmask(&mut self, name: &str) -> Result<(), Problem> {
        let link = self.folder.join(name);
        if is_mask(&link) { self.unlink(&link) } else { Ok(()) }
    }

    fn link_file(&mut self, path: &str) -> Result<(), Problem> {
        if !path.starts_with('/') {
            return Err(Problem::Invalid(format!("\"{path}\" is not an absolute path.")));
        }
        if !Path::new(path).is_file() {
            return Err(Problem::Missing(path.to_owned()));
        }
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        // What is in a folder of unit files already needs no link.
        if super::FOLDERS.iter().any(|folder| Path::new(path).parent() == Some(Path::new(folder))) {
            return Ok(());
        }
        self.link(&Link { name, target: path.to_owned() })
    }

    /// Back to what the image or its packages say.
    fn revert(&mut self, name: &str) -> Result<(), Problem> {
        let vendors = Path::new(VENDORS).join(name).exists() || (self.request.image)(name).is_some();
        if !vendors && self.index.find(name).is_none() {
            return Err(Problem::Missing(name.to_owned()));
        }
        let writable = |path: &PathBuf| path.starts_with("/etc") || path.starts_with("/run");
        for folder in self.index.changes_of(name).into_iter().filter(writable) {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                self.unlink(&entry.path())?;
            }
            self.unlink(&folder)?;
        }
        for folder in [ADMINISTRATORS, RUNTIME] {
            let own = Path::new(folder).join(name);
            if is_mask(&own) || (vendors && own.symlink_metadata().is_ok()) {
                self.unlink(&own)?;
            }
        }
        Ok(())
    }

    fn pull(&mut self, target: &str, requires: bool) -> Result<(), Problem> {
        if !is_unit_name(target) {
            return Err(Problem::Invalid(format!("\"{target}\" is not a valid unit name.")));
        }
        let suffix = if requires { "requires" } else { "wants" };
        for name in self.request.units {
            let file = match (self.request.image)(name) {
                Some(_) => format!("{VENDORS}/{name}"),
                None => self.look(name)?.0,
            };
            self.link(&Link { name: format!("{target}.{suffix}/{name}"), target: file })?;
        }
        Ok(())
    }

    fn set_default(&mut self) -> Result<(), Problem> {
        let [name] = self.request.units else { return Err(Problem::Invalid("name one target".into())) };
        if !name.ends_with(".target") || is_template(name) || name == "default.target" {
            return Err(Problem::Invalid(format!("{name} cannot be the default target.")));
        }
        let target = match self.look(name) {
            Ok((path, _)) => path,
            Err(Problem::Missing(_)) if (self.request.image)(name).is_some() => format!("{VENDORS}/{name}"),
            Err(problem) => return Err(problem),
        };
        let link = self.folder.join("default.target");
        if fs::read_link(&link).is_ok_and(|old| old != Path::new(&target)) {
            self.unlink(&link)?;
        }
        self.link(&Link { name: "default.target".into(), target })
    }

    fn link(&mut self, link: &Link) -> Result<(), Problem> {
        let path = self.folder.join(&link.name);
        if let Ok(old) = fs::read_link(&path) {
            if old == Path::new(&link.target) {
                return Ok(());
            }
            // The same unit from another folder, or from before it moved.
            let same = old.file_name() == Path::new(&link.target).file_name();
            if !self.request.force && !same {
                let (path, old) = (path.display(), old.display());
                return Err(Problem::Exists(format!("File '{path}' already exists and is a symlink to {old}")));
            }
            self.unlink(&path)?;
        } else if path.symlink_metadata().is_ok() {
            if !self.request.force || path.is_dir() {
                return Err(Problem::Exists(format!("File '{}' already exists", path.display())));
            }
            self.unlink(&path)?;
        }
        let make = || -> io::Result<()> {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            symlink(&link.target, &path)
        };
        make().map_err(|error| failed(&path, &error))?;
        self.note("symlink", &path, &link.target);
        Ok(())
    }

    fn unlink(&mut self, path: &Path) -> Result<(), Problem> {
        let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
        let removed = if is_folder { fs::remove_dir(path) } else { fs::remove_file(path) };
        removed.map_err(|error| failed(path, &error))?;
        // A folder of pulls that is empty says nothing.
        if let Some(parent) = path.parent().filter(|parent| super::pulls(parent)) {
            let _ = fs::remove_dir(parent);
        }
        self.note("unlink", path, "");
        Ok(())
    }

    fn note(&mut self, kind: &str, path: &Path, target: &str) {
        let path = path.display().to_string();
        self.changes.push(Change { kind: kind.into(), path, target: target.into() });
    }
}

fn failed(path: &Path, error: &io::Error) -> Problem {
    Problem::Change { path: path.display().to_string(), error: error.to_string() }
}
