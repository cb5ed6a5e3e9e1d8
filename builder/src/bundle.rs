//! From a unit's file to what ships: the resolved units as JSON, and an OCI bundle (image specification aside, runtime
//! specification 1.2: `config.json` and a root file system).
//!
//! Everything that a unit names is looked for here: users, programs, capabilities, devices, paths, other units. What
//! is missing is an error of its file.

mod config;
mod devices;
mod mounts;
mod names;
pub mod policy;
mod seccomp;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ashlar_config::Error;
use ashlar_config::nearest::nearest;
use ashlar_config::unit::{Placement, Rootfs, Unit, UserNamespace, resolve};
use ashlar_fetch::Digest;

use crate::accounts::Accounts;
use crate::inspect::UnitRow;
use crate::sources::{UnitContent, UnitSource};
use crate::system::{Role, Shared, System};
use crate::tree::{self, Kind, Node, Tree};

pub use names::check as check_names;

/// Below the machine's root.
pub const BUNDLES: &str = "usr/lib/ashlar/bundles";
/// Below the machine's root.
pub const UNITS: &str = "usr/lib/ashlar/units";
/// A private user namespace has as many ids.
const IDS: u32 = 0x1_0000;
/// Ranges of ids, by number: behind those of the host and a few to spare, as far as systemd leaves them to containers
/// (<https://systemd.io/UIDS-GIDS>).
const RANGES: std::ops::Range<u32> = 8..0x6fff;
/// In these the machine's own files are not to be looked for: they come and go while it runs.
const LIVE: [&str; 9] = ["dev", "proc", "sys", "run", "tmp", "var", "home", "root", "mnt"];

/// A unit, ready to be laid out.
pub struct Bundle {
    /// Folder name of the unit.
    pub name: String,
    /// What PID 1 loads.
    pub units: Vec<Unit>,
    /// `config.json`.
    pub config: serde_json::Value,
    /// Its own root; None if it has the machine's.
    pub rootfs: Option<Tree>,
    /// The row in the table of units.
    pub row: UnitRow,
}

/// What bundles are made of.
pub struct Workshop<'a> {
    /// What all roots share.
    pub system: &'a System<'a>,
    /// Trees of packages, by name.
    pub packages: &'a BTreeMap<String, Tree>,
    /// Our own programs, by name.
    pub programs: &'a BTreeMap<String, Arc<Vec<u8>>>,
    /// The machine's root.
    pub machine: &'a Tree,
}

/// A bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A mistake in the unit's file.
    #[error(transparent)]
    Config(#[from] Error),
    /// Its files do not make a root.
    #[error("lay out the root of unit {unit}")]
    Tree {
        /// The unit.
        unit: String,
        /// What is wrong.
        source: tree::Error,
    },
}

/// First ids of the private user namespaces, by unit. A name says which, and those that it would share with another one go
/// on to the next: so a unit that comes or goes leaves the others as they are.
pub fn ranges(units: &[UnitSource]) -> BTreeMap<String, u32> {
    let private = units.iter().filter(|unit| unit.written.seal.user_namespace == UserNamespace::Private);
    let mut taken = BTreeSet::new();
    private
        .map(|unit| {
            let digest = Digest::of(unit.name.as_bytes()).to_string();
            let wish = u32::from_str_radix(&digest[..8], 16).unwrap_or_default() % RANGES.len() as u32;
            let mut numbers = (RANGES.start + wish..RANGES.end).chain(RANGES);
            let number = numbers.find(|number| taken.insert(*number)).unwrap_or(RANGES.start);
            (unit.name.clone(), number * IDS)
        })
        .collect()
}

impl Workshop<'_> {
    /// Makes a unit's bundle. `closure` names the packages of its root.
    ///
    /// # Errors
    /// Something that the unit names is not there, or its root cannot be put together.
    pub fn make(
        &self,
        unit: &UnitSource,
        first_id: Option<u32>,
        closure: &[&str],
        shared: &mut Shared,
    ) -> Result<Bundle, BundleError> {
        let written = &unit.written;
        let owner = self.owner(unit)?;
        let bundle = format!("/{BUNDLES}/{}", unit.name);
        let placement = Placement { bundle: &bundle, first_id: first_id.unwrap_or(0), owner };
        let units = resolve(&unit.file, &unit.name, written, placement)?;
        let entries = mounts::of(&written.seal);
        let rootfs = match written.rootfs {
            Rootfs::Machine => None,
            Rootfs::Private => Some(self.rootfs(unit, closure, &entries, shared)?),
        };
        self.check_programs(unit, rootfs.as_ref().unwrap_or(self.machine))?;
        self.check_mounts(unit)?;
        let who = config::Who { owner, groups: self.groups(unit)?, first_id };
        let config = config::write(unit, &who, &entries)?;
        let row = table::row(unit);
        Ok(Bundle { name: unit.name.clone(), units, config, rootfs, row })
    }

    fn rootfs(
        &self,
        unit: &UnitSource,
        closure: &[&str],
        entries: &[mounts::Entry],
        shared: &mut Shared,
    ) -> Result<Tree, BundleError> {
        let failed = |source| BundleError::Tree { unit: unit.name.clone(), source };
        let mut tree = crate::system::skeleton(&shared.origin).map_err(failed)?;
        for package in closure.iter().filter_map(|name| self.packages.get(*name)) {
            tree.overlay(package).map_err(failed)?;
        }
        self.system.finish(&mut tree, Role::Container, shared).map_err(failed)?;
        self.add_files(unit, &mut tree, shared)?;
        for entry in entries {
            self.mount_point(&mut tree, entry, &shared.origin).map_err(failed)?;
        }
        Ok(tree)
    }

    /// The files that a unit brings.
    ///
    /// # Errors
    /// A program that is not there, or a place that is no folder.
    pub fn add_files(&self, unit: &UnitSource, tree: &mut Tree, shared: &mut Shared) -> Result<(), BundleError> {
        for (target, content) in &unit.files {
            let node = match content {
                UnitContent::File { content, executable } => {
                    shared.node(content.clone(), if *executable { 0o755 } else { 0o644 })
                }
                UnitContent::Program(name) => Node {
                    kind: Kind::File(Arc::clone(self.program(unit, name)?)),
                    mode: 0o755,
                    ..Node::directory(&shared.origin)
                },
            };
            tree.set(target.trim_start_matches('/'), node)
                .map_err(|source| BundleError::Tree { unit: unit.name.clone(), source })?;
        }
        Ok(())
    }

    fn program(&self, unit: &UnitSource, name: &str) -> Result<&Arc<Vec<u8>>, Error> {
        self.programs.get(name).ok_or_else(|| {
            let what = format!("`program:{name}` in `files`: there is no such program of ours");
            unit.mistake(name, what, near(name, self.programs.keys().map(String::as_str)))
        })
    }

    /// A root is read-only when mounts are made: where they go has to be there.
    fn mount_point(&self, tree: &mut Tree, entry: &mounts::Entry, origin: &Arc<str>) -> Result<(), tree::Error> {
        let path = entry.destination.trim_start_matches('/');
        let top = path.split('/').next().unwrap_or_default();
        if ["run", "dev", "tmp", "proc", "sys", ""].contains(&top) || tree.follow(path).is_some() {
            return Ok(());
        }
        let source = self.machine.follow(entry.source.trim_start_matches('/'));
        match source.map(|node| &node.kind) {
            Some(Kind::File(_)) => tree.add(path, Node::file("", 0o644, origin)),
            _ => tree.make_directory(path, origin),
        }
    }

    fn owner(&self, unit: &UnitSource) -> Result<(u32, u32), Error> {
        let accounts: &Accounts = self.system.accounts;
        let user = &unit.written.user;
        accounts.user(user).ok_or_else(|| {
            let what = format!("user `{user}`: no package declares it");
            unit.mistake(user, what, near(user, accounts.user_names()))
        })
    }

    fn groups(&self, unit: &UnitSource) -> Result<Vec<u32>, Error> {
        let accounts: &Accounts = self.system.accounts;
        let number = |group: &String| {
            accounts.group(group).ok_or_else(|| {
                let what = format!("group `{group}`: no package declares it");
                unit.mistake(group, what, near(group, accounts.group_names()))
            })
        };
        let sockets = &unit.written.sockets;
        sockets.iter().filter_map(|socket| socket.group.as_ref()).try_for_each(|group| number(group).map(drop))?;
        for user in sockets.iter().filter_map(|socket| socket.user.as_ref()) {
            let what = || format!("user `{user}` of a socket: no package declares it");
            accounts.user(user).ok_or_else(|| unit.mistake(user, what(), near(user, accounts.user_names())))?;
        }
        let mut groups: std::collections::BTreeSet<u32> = accounts.memberships(&unit.written.user);
        for group in &unit.written.groups {
            groups.insert(number(group)?);
        }
        Ok(groups.into_iter().collect())
    }

    fn check_programs(&self, unit: &UnitSource, root: &Tree) -> Result<(), Error> {
        let written = &unit.written;
        let health = written.health.as_ref().map(|health| &health.command);
        let commands = [&written.command].into_iter().chain(&written.start_pre).chain(&written.reload).chain(health);
        for program in commands.filter_map(|command| command.first()) {
            let found = root.follow(program.trim_start_matches('/'));
            match found {
                Some(Node { kind: Kind::File(_), mode, .. }) if mode & 0o111 != 0 => {}
                Some(Node { kind: Kind::File(_), .. }) => {
                    let remedy = "; make it so (chmod +x) where it comes from".to_owned();
                    return Err(unit.mistake(program, format!("program `{program}` is not executable"), remedy));
                }
                _ => {
                    let what = format!("there is no program `{program}` in its root");
                    return Err(unit.mistake(program, what, self.remedy(program)));
                }
            }
        }
        Ok(())
    }

    fn remedy(&self, program: &str) -> String {
        let path = program.trim_start_matches('/');
        let owner = self.packages.iter().find(|(_, tree)| tree.get(path).is_some());
        owner.map(|(name, _)| format!("; add `{name}` to its packages")).unwrap_or_default()
    }

    /// What of the host is shown to a container has to be there, as far as it can be known beforehand.
    fn check_mounts(&self, unit: &UnitSource) -> Result<(), Error> {
        for mount in unit.written.seal.mounts.iter().filter(|mount| mount.kind.as_deref().unwrap_or("bind") == "bind") {
            let is_plain =
                |path: &str| path.starts_with('/') && !path.split('/').any(|part| part == ".." || part == ".");
            let target = mount.target.as_ref().unwrap_or(&mount.source);
            if let Some(path) = [&mount.source, target].into_iter().find(|path| !is_plain(path)) {
                return Err(unit.mistake(path, format!("`{path}` in `mounts` is no absolute path"), String::new()));
            }
            let path = mount.source.trim_start_matches('/');
            let top = path.split('/').next().unwrap_or_default();
            let optional = mount.options.iter().any(|option| option == "x-optional");
            if !LIVE.contains(&top) && !path.is_empty() && !optional && self.machine.follow(path).is_none() {
                let what = format!("there is no `/{path}` on the machine to mount");
                let siblings = self.machine.iter().map(|(path, _)| path.as_str());
                let near = near(path, siblings.filter(|other| other.matches('/').count() == path.matches('/').count()));
                return Err(unit.mistake(&mount.source, what, near));
            }
        }
        Ok(())
    }
}

fn near<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    nearest(name, candidates).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
