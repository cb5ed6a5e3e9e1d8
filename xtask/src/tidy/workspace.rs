//! What `cargo metadata` says of the workspace, and the files that are in the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::project;
use crate::step::{cargo, output};

/// A package of the workspace or of others.
#[derive(Debug)]
pub struct Package {
    pub name: String,
    pub version: String,
    /// SPDX expression; empty if it names none.
    pub licence: String,
    pub manifest: PathBuf,
    pub is_member: bool,
    /// Packages by name that its manifest asks for, tests' included.
    pub asks: BTreeSet<String>,
    /// Ids of packages that it links, build scripts' included.
    links: Vec<String>,
}

/// All packages by id.
#[derive(Debug)]
pub struct Workspace {
    packages: BTreeMap<String, Package>,
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

impl Workspace {
    /// Asks Cargo.
    pub fn read() -> Result<Self> {
        let mut command = cargo();
        command.args(["metadata", "--format-version", "1", "--filter-platform", "x86_64-unknown-linux-gnu"]);
        let metadata: Value = serde_json::from_str(&output(&mut command)?).context("cannot read cargo metadata")?;
        let members: BTreeSet<String> =
            list(&metadata["workspace_members"]).filter_map(Value::as_str).map(str::to_owned).collect();
        let mut packages: BTreeMap<String, Package> = list(&metadata["packages"])
            .map(|package| {
                let id = text(package, "id");
                let is_member = members.contains(&id);
                (id, package_of(package, is_member))
            })
            .collect();
        for node in list(&metadata["resolve"]["nodes"]) {
            if let Some(package) = packages.get_mut(&text(node, "id")) {
                package.links = linked(node);
            }
        }
        Ok(Self { packages })
    }

    /// Ours.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter(|package| package.is_member)
    }

    /// Everybody else's.
    pub fn others(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter(|package| !package.is_member)
    }

    /// Names of all packages that a member links, over any number of steps, each with the one that brought it.
    pub fn closure(&self, member: &str) -> BTreeMap<&str, &str> {
        let mut found = BTreeMap::new();
        let mut open: Vec<&Package> = self.members().filter(|package| package.name == member).collect();
        while let Some(package) = open.pop() {
            for linked in package.links.iter().filter_map(|id| self.packages.get(id)) {
                if found.insert(linked.name.as_str(), package.name.as_str()).is_none() {
                    open.push(linked);
                }
            }
        }
        found
    }
}

fn package_of(package: &Value, is_member: bool) -> Package {
    Package {
        name: text(package, "name"),
        version: text(package, "version"),
        licence: text(package, "license"),
        manifest: text(package, "manifest_path").into(),
        is_member,
        asks: list(&package["dependencies"]).map(|dependency| text(dependency, "name")).collect(),
        links: Vec::new(),
    }
}

fn linked(node: &Value) -> Vec<String> {
    let is_linked = |dependency: &&Value| list(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev");
    list(&node["deps"]).filter(is_linked).map(|dependency| text(dependency, "pkg")).collect()
}

/// Files of the repository below its top that end so, those not yet committed included.
pub fn files(ending: &str) -> Result<Vec<String>> {
    let mut command = Command::new("git");
    command.current_dir(project::root()).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let names = output(&mut command)?;
    let exists = |name: &&str| project::root().join(name).is_file();
    Ok(names.lines().filter(|name| name.ends_with(ending)).filter(exists).map(str::to_owned).collect())
}
