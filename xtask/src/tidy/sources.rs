//! How sources look: a module doc at the head, no leftovers, no drawers for unlike things, and no machine's names.

use std::collections::BTreeSet;
use std::fs;

use anyhow::Result;

use super::workspace::{Workspace, files};
use crate::project;

/// Module names that say nothing.
const DRAWERS: [&str; 8] =
    ["mod.rs", "util.rs", "utils.rs", "common.rs", "helper.rs", "helpers.rs", "misc.rs", "manager.rs"];
/// What unfinished work looks like; in pieces, so that this file is not full of it.
const LEFTOVERS: [&str; 6] = [
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("#[ig", "nore"),
    concat!("FIX", "ME"),
    concat!("TO", "DO"),
    concat!("dbg", "!("),
];
/// Endings of files that people write.
const WRITTEN: [&str; 8] = [".rs", ".toml", ".md", ".sh", ".ci/run", ".json", ".lock", ".varlink"];

/// Sources without a module doc, with leftovers, or with a name that says nothing.
pub fn check(_: &Workspace) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for name in files(".rs")? {
        let source = fs::read_to_string(project::root().join(&name))?;
        let base = name.rsplit('/').next().unwrap_or_default();
        // An interface has the name that others gave it.
        if DRAWERS.contains(&base) && !name.contains("/interface/") {
            faults.push(format!("{name}: call it by what it does"));
        }
        faults.extend(look(&source).into_iter().map(|fault| format!("{name}:{fault}")));
    }
    Ok(faults)
}

fn look(source: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !source.starts_with("//!") {
        faults.push("1: no module doc".to_owned());
    }
    for (index, line) in source.lines().enumerate() {
        let found = LEFTOVERS.iter().filter(|leftover| line.contains(**leftover));
        faults.extend(found.map(|leftover| format!("{}: {leftover}", index + 1)));
    }
    faults
}

/// Package hosts of this machine, and folders of people, in files of the repository.
pub fn machines(_: &Workspace) -> Result<Vec<String>> {
    let hosts = package_hosts();
    let folders = [concat!("/ro", "ot/."), concat!("/ho", "me/user"), concat!("/Us", "ers/")].map(str::to_owned);
    let names: Vec<String> = hosts.into_iter().chain(folders).chain(own_folder()).collect();
    let mut faults = Vec::new();
    for ending in WRITTEN {
        for file in files(ending)? {
            let Ok(text) = fs::read_to_string(project::root().join(&file)) else { continue };
            let found = names.iter().filter(|name| text.contains(name.as_str()));
            faults.extend(found.map(|name| format!("{file}: names {name}")));
        }
    }
    Ok(faults)
}

/// Where this checkout lies, unless that is too short to mean anything.
fn own_folder() -> Option<String> {
    let root = project::root().display().to_string();
    (root.matches('/').count() > 1).then_some(root)
}

/// The hosts that this machine's apt asks.
fn package_hosts() -> BTreeSet<String> {
    let lists = ["/etc/apt/sources.list.d"].into_iter().filter_map(|folder| fs::read_dir(folder).ok());
    let paths = lists.flatten().flatten().map(|entry| entry.path()).chain(["/etc/apt/sources.list".into()]);
    paths
        .filter_map(|path: std::path::PathBuf| fs::read_to_string(path).ok())
        .flat_map(|text| hosts_in(&text))
        .collect()
}

fn hosts_in(sources: &str) -> Vec<String> {
    let lines = sources.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words = lines.flat_map(str::split_whitespace).filter_map(|word| word.split_once("://"));
    words.map(|(_, rest)| rest.split(['/', ':']).next().unwrap_or_default().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks() {
        let check = |source: String, expect: &[&str]| assert_eq!(look(&source), expect, "{source}");
        check("//! Doc.\nfn x() {}\n".into(), &[]);
        check("fn x() {}\n".into(), &["1: no module doc"]);
        check(format!("//! Doc.\n{}\n", LEFTOVERS[0]), &[&format!("2: {}", LEFTOVERS[0])]);
    }

    #[test]
    fn hosts() {
        let check = |text: &str, expect: &[&str]| assert_eq!(hosts_in(text), expect, "{text}");
        check("deb http://a.example/debian x main", &["a.example"]);
        check("Types: deb\nURIs: https://b.example:80/x\n# http://c.example", &["b.example"]);
    }
}
