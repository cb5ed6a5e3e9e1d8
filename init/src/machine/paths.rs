//! Path units: what they watch, and what follows from a change (systemd.path(5)).

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ashlar_config::unit::{Body, Watched};

use super::Machine;
use crate::condition;
use crate::core::UnitId;

/// Watches by number: who is told, of which of its paths, and whether it is the path itself that is watched.
#[derive(Debug, Default)]
pub struct Paths(BTreeMap<i32, Vec<(UnitId, usize, bool)>>);

impl Machine {
    fn watched(&self, unit: UnitId) -> Option<Watched> {
        match &self.core.graph[unit].unit.body {
            Body::Path(watched) => Some(watched.clone()),
            _ => None,
        }
    }

    /// Begins to watch; what is there already counts at once.
    pub(super) fn open_paths(&mut self, unit: UnitId) {
        let Some(watched) = self.watched(unit) else { return };
        if let Some(mode) = watched.make_directory {
            for (_, path) in &watched.paths {
                let made =
                    fs::create_dir_all(path).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(mode)));
                if let Err(error) = made {
                    let name = self.name(unit);
                    self.log.say(crate::log::WARNING, Some(&name), &format!("cannot make {path}: {error}"));
                }
            }
        }
        self.core.sockets_opened(unit, Ok(()));
    }

    /// Watches, or stops to.
    pub(super) fn watch_paths(&mut self, unit: UnitId, on: bool) {
        self.unwatch_paths(unit);
        let Some(watched) = self.watched(unit).filter(|_| on) else { return };
        for (place, (kind, path)) in watched.paths.iter().enumerate() {
            let pattern = path.split(['*', '?', '[']).next().unwrap_or(path);
            let path = if kind == "PathExistsGlob" { pattern } else { path };
            for (target, own) in targets(Path::new(path)) {
                if let Ok(watch) = self.path_watches.watch_all(&target) {
                    self.paths.0.entry(watch).or_default().push((unit, place, own));
                }
            }
        }
        let there = watched.paths.iter().any(|(kind, path)| is_there(kind, path));
        if there {
            self.core.traffic(unit);
        }
    }

    pub(super) fn unwatch_paths(&mut self, unit: UnitId) {
        let mut idle = Vec::new();
        for (watch, users) in &mut self.paths.0 {
            users.retain(|(user, ..)| *user != unit);
            if users.is_empty() {
                idle.push(*watch);
            }
        }
        for watch in idle {
            self.paths.0.remove(&watch);
            self.path_watches.unwatch(watch);
        }
    }

    /// Something happened to what is watched.
    pub(super) fn paths_changed(&mut self) {
        let mut again = Vec::new();
        for (watch, only_written) in self.path_watches.read_kinds() {
            for (unit, place, own) in self.paths.0.get(&watch).cloned().unwrap_or_default() {
                let Some(watched) = self.watched(unit) else { continue };
                let Some((kind, path)) = watched.paths.get(place) else { continue };
                let changed = match kind.as_str() {
                    "PathModified" => own,
                    "PathChanged" => own && !only_written,
                    kind => is_there(kind, path),
                };
                match changed {
                    true => self.core.traffic(unit),
                    // A folder above it: what is below may be another one now.
                    false if !own => again.push((unit, kind.clone(), Path::new(path).exists())),
                    false => {}
                }
            }
        }
        again.dedup();
        for (unit, kind, exists) in again {
            let waits = self.core.run(unit).sub == crate::core::state::Sub::Waiting;
            if waits {
                self.watch_paths(unit, true);
                // It came: that is a change of it.
                if exists && kind.starts_with("PathC") | kind.starts_with("PathM") {
                    self.core.traffic(unit);
                }
            }
        }
    }
}

/// The path itself, if it is there, and the folders above it that are.
fn targets(path: &Path) -> Vec<(PathBuf, bool)> {
    let mut targets = vec![(path.to_owned(), true)];
    match path.exists() {
        // It may be replaced.
        true => targets.extend(path.parent().map(|parent| (parent.to_owned(), false))),
        false => {
            targets.clear();
            targets
                .extend(path.ancestors().skip(1).find(|above| above.is_dir()).map(|above| (above.to_owned(), false)));
        }
    }
    targets
}

/// Whether what a path unit waits for is there.
fn is_there(kind: &str, path: &str) -> bool {
    match kind {
        "PathExists" => Path::new(path).exists(),
        "PathExistsGlob" => !condition::matches(path).is_empty(),
        "DirectoryNotEmpty" => fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some()),
        _ => false,
    }
}
