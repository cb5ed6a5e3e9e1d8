//! What a unit that is down has left is removed (systemctl(1), clean): its folders by a process of its own, as they may
//! hold much.

use std::fs;
use std::io::ErrorKind;

use ashlar_config::unit::{FOLDERS, FolderKind};
use ashlar_control::message::{Refusal, Reply};
use ashlar_sys::process;

use super::Machine;
use crate::log;

/// The descriptors that a service has left with us.
const STORE: &str = "fdstore";
const ALL: &str = "all";

impl Machine {
    pub(super) fn clean(&mut self, name: &str, what: &[String]) -> Result<Reply, Refusal> {
        if let Some(strange) = what.iter().find(|word| !is_known(word)) {
            return Err(Refusal::Invalid { reason: format!("Invalid resource type: {strange}") });
        }
        self.load_named(name);
        let unit = self.unit_named(name)?;
        let name = self.name(unit);
        if !self.core.may_be_cleaned(unit) {
            return Err(Refusal::Busy { unit: name });
        }
        let wanted = |word: &str| what.iter().any(|given| given == word || given == ALL);
        let Some(service) = self.core.service(unit) else { return Err(Refusal::NothingToClean { unit: name }) };
        let store = wanted(STORE) && service.supervision.fd_store > 0;
        let kinds = FOLDERS.iter().filter(|(kind, ..)| wanted(kind.name()));
        let below = |(kind, place, _): &(FolderKind, &str, &str)| {
            service.folders(*kind).map(|folder| format!("{place}/{folder}")).collect::<Vec<_>>()
        };
        let folders: Vec<String> = kinds.flat_map(below).collect();
        if folders.is_empty() && !store {
            return Err(Refusal::NothingToClean { unit: name });
        }
        if store {
            self.stores.remove(&unit);
            self.save_store(unit);
        }
        if folders.is_empty() {
            return Ok(Reply::Done {});
        }
        let log = &mut self.log;
        let child = process::fork(&[], None, || {
            let mut code = 0;
            for folder in &folders {
                if let Err(error) = fs::remove_dir_all(folder).or_else(absent) {
                    log.say(log::ERROR, Some(&name), &format!("cannot remove {folder}: {error}"));
                    code = 1;
                }
            }
            code
        });
        let child = child.map_err(|error| Refusal::Failed { reason: format!("cannot begin to clean: {error}") })?;
        self.core.cleaning(unit, child.pid);
        Ok(Reply::Done {})
    }
}

fn is_known(word: &str) -> bool {
    [STORE, ALL].contains(&word) || FOLDERS.iter().any(|(kind, ..)| kind.name() == word)
}

/// What is not there needs no removal.
fn absent(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }
}
