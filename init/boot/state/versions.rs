//! State that goes back with its version: of folders that units call versioned, a copy is kept before a newer version's
//! services come to them, and put back when the older version runs again. It happens here, before any service has started.
//!
//! | in `/var/lib/ashlar/versions` | is |
//! |---|---|
//! | `owner` | the version whose state is in `/var/lib` |
//! | `begun` | the change that is being made, `FROM TO`, until it is complete |
//! | `kept/VERSION/NAME` | what `/var/lib/NAME` was when that version was left |
//!
//! A cut at any point is answered by the next boot: what was copied has its name only when it is whole, and what goes back
//! goes by renames. What a newer version has made of its state is kept, too, until the next upgrade: somebody may want it.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use ashlar_config::version::compare;
use ashlar_sys::filesystem as fsys;
use serde::Deserialize;

use crate::error::Error;
use crate::problem;

const FOLDER: &str = "lib/ashlar/versions";
const UNITS: &str = "/usr/lib/ashlar/units";
/// coreutils: owners, times, holes, links and extended attributes stay; where a file system can share blocks, it does.
const COPY: &str = "/usr/bin/cp";
const COPY_OPTIONS: [&str; 3] = ["-a", "--reflink=auto", "-T"];

/// What is needed of a unit of the image.
#[derive(Deserialize)]
struct Unit {
    body: Body,
}

#[derive(Deserialize)]
struct Body {
    service: Option<Service>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Service {
    #[serde(default)]
    state_directory: Vec<String>,
    #[serde(default)]
    state_versioned: bool,
}

/// The folders below /var/lib that units of this image call versioned.
pub fn folders_of_this_image() -> Vec<String> {
    let units = fs::read_dir(UNITS).into_iter().flatten().flatten().filter_map(|entry| fs::read(entry.path()).ok());
    let services = units.filter_map(|text| serde_json::from_slice::<Unit>(&text).ok()?.body.service);
    services.filter(|service| service.state_versioned).flat_map(|service| service.state_directory).collect()
}

/// Makes the state in `var` that of the version that runs; `folders` says which is versioned, where that is wanted.
pub fn settle(var: &Path, running: &str, folders: impl FnOnce() -> Vec<String>) -> Result<(), Error> {
    let versions = Versions { lib: var.join("lib"), folder: var.join(FOLDER), running };
    versions.recover()?;
    match versions.read("owner") {
        Some(owner) if owner == running => Ok(()),
        Some(owner) => versions.change(&owner, folders),
        None => versions.write("owner", running),
    }
}

fn is_back(from: &str, to: &str) -> bool {
    compare(to, from) == Ordering::Less
}

struct Versions<'a> {
    lib: PathBuf,
    folder: PathBuf,
    running: &'a str,
}

impl Versions<'_> {
    /// A change that was begun is left to go on if it leads to the version that runs, and else undone: no service has seen
    /// anything of it.
    fn recover(&self) -> Result<(), Error> {
        let Some(begun) = self.read("begun") else { return Ok(()) };
        let (from, to) = begun.split_once(' ').unwrap_or_default();
        let is_complete = self.read("owner").as_deref() == Some(to);
        if !is_complete && to == self.running {
            return Ok(());
        }
        if !is_complete && is_back(from, to) {
            self.exchange(from, to)?;
        }
        self.end()
    }

    fn change(&self, owner: &str, folders: impl FnOnce() -> Vec<String>) -> Result<(), Error> {
        let is_back = is_back(owner, self.running);
        let change = format!("{owner} {}", self.running);
        if self.read("begun").as_deref() != Some(&change) {
            self.forget_all_but(is_back.then_some(self.running))?;
            self.write("begun", &change)?;
        }
        let left = self.kept(owner);
        fs::create_dir_all(&left).map_err(Error::at("make", &left))?;
        if is_back {
            self.exchange(self.running, owner)?;
        } else {
            folders().iter().for_each(|name| {
                // A version that cannot be left as it was is still better than a machine without state.
                if let Err(error) = self.keep(name, &left) {
                    problem::report(&format!(
                        "{error}: a way back from {} would find what that has made of it",
                        self.running
                    ));
                }
            });
        }
        self.write("owner", self.running)?;
        self.end()
    }

    fn end(&self) -> Result<(), Error> {
        let begun = self.folder.join("begun");
        fs::remove_file(&begun).map_err(Error::at("remove", &begun))
    }

    /// Copies a folder, if it is there and was not copied yet.
    fn keep(&self, name: &str, left: &Path) -> Result<(), Error> {
        let (from, to) = (self.lib.join(name), left.join(name));
        if to.exists() || !from.exists() {
            return Ok(());
        }
        let part = left.join(format!("{name}.part"));
        remove(&part)?;
        let mut command = Command::new(COPY);
        command.args(COPY_OPTIONS).arg(&from).arg(&part).env_clear();
        let output = command.output().map_err(Error::at("start", COPY))?;
        if !output.status.success() {
            remove(&part)?;
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::at("keep a copy of", from)(io::Error::other(said)));
        }
        // All of the copy is on the medium before it has its name.
        File::open(&part).and_then(|file| fsys::sync(&file)).map_err(Error::at("write", &part))?;
        fs::rename(&part, &to).map_err(Error::at("rename", &part))
    }

    /// What one version had left comes back, and what is there now is kept as the other's.
    fn exchange(&self, back: &str, leaving: &str) -> Result<(), Error> {
        let kept = self.kept(back);
        for entry in fs::read_dir(&kept).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if entry.path().extension().is_some_and(|extension| extension == "part") {
                continue;
            }
            let (live, aside) = (self.lib.join(&name), self.kept(leaving).join(&name));
            if live.exists() {
                fs::rename(&live, &aside).map_err(Error::at("keep", &live))?;
            }
            fs::rename(entry.path(), &live).map_err(Error::at("put back", &live))?;
            let name = name.to_string_lossy();
            problem::note(&format!("/var/lib/{name} is what {back} left; {leaving}'s is {}", aside.display()));
        }
        Ok(())
    }

    fn forget_all_but(&self, version: Option<&str>) -> Result<(), Error> {
        let kept = self.folder.join("kept");
        for entry in fs::read_dir(kept).into_iter().flatten().flatten() {
            if version.is_none_or(|version| entry.file_name() != version) {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    fn kept(&self, version: &str) -> PathBuf {
        self.folder.join("kept").join(version)
    }

    fn read(&self, file: &str) -> Option<String> {
        Some(fs::read_to_string(self.folder.join(file)).ok()?.trim().to_owned())
    }

    /// Whole or not at all.
    fn write(&self, file: &str, text: &str) -> Result<(), Error> {
        let path = self.folder.join(file);
        let new = self.folder.join(format!("{file}.new"));
        let write = || {
            fs::create_dir_all(&self.folder)?;
            let mut file = File::create(&new)?;
            writeln!(file, "{text}")?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(Error::at("write", &path))
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::at("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn boot(&self, version: &str) {
            settle(self.0.path(), version, || vec!["db".into(), "absent".into()]).unwrap();
        }

        fn write(&self, name: &str, text: &str) {
            let folder = self.0.path().join("lib").join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("data"), text).unwrap();
        }

        fn read(&self, path: &str) -> String {
            fs::read_to_string(self.0.path().join("lib").join(path).join("data")).unwrap_or_default()
        }
    }

    #[test]
    fn state_goes_back_with_its_version() {
        let machine = Machine(tempfile::tempdir().unwrap());
        machine.boot("1");
        machine.write("db", "of 1");
        machine.write("log", "of 1");
        machine.boot("1");
        machine.boot("2");
        assert_eq!(machine.read("db"), "of 1", "a newer version goes on from there");
        machine.write("db", "of 2");
        machine.write("log", "of 2");
        machine.boot("1");
        assert_eq!((machine.read("db"), machine.read("log")), ("of 1".into(), "of 2".into()));
        assert_eq!(machine.read("ashlar/versions/kept/2/db"), "of 2");
        machine.write("db", "of 1, later");
        machine.boot("3");
        assert_eq!(machine.read("db"), "of 1, later");
        assert_eq!(machine.read("ashlar/versions/kept/1/db"), "of 1, later");
        assert_eq!(machine.read("ashlar/versions/kept/2/db"), "", "what nobody came back for is gone");
    }

    /// Power fails after each step; the next boot is of the same version, or of the other one.
    #[test]
    fn a_cut_loses_nothing() {
        let cut = |steps: &[(&str, Option<&str>)], then: &str, expect: &str| {
            let machine = Machine(tempfile::tempdir().unwrap());
            machine.boot("1");
            machine.write("db", "of 1");
            machine.boot("2");
            machine.write("db", "of 2");
            // Going back to 1 was begun.
            let lib = machine.0.path().join("lib");
            fs::write(lib.join("ashlar/versions/begun"), "2 1\n").unwrap();
            fs::create_dir_all(lib.join("ashlar/versions/kept/2")).unwrap();
            for (from, to) in steps {
                fs::rename(lib.join(from), lib.join(to.unwrap())).unwrap();
            }
            machine.boot(then);
            assert_eq!(machine.read("db"), expect, "{steps:?}");
        };
        let aside = ("db", Some("ashlar/versions/kept/2/db"));
        let back = ("ashlar/versions/kept/1/db", Some("db"));
        cut(&[], "1", "of 1");
        cut(&[aside], "1", "of 1");
        cut(&[aside, back], "1", "of 1");
        // The boot loader may have changed its mind.
        cut(&[], "2", "of 2");
        cut(&[aside], "2", "of 2");
        cut(&[aside, back], "2", "of 2");
        cut(&[aside, back], "3", "of 2");
    }
}
