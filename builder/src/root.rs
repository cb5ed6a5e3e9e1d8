//! The machine's root: packages, kernel modules, our programs, all units with their bundles; and its image as EROFS.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::BufWriter;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use ashlar_config::unit::Rootfs;
use ashlar_formats::tuf::{CONTENTS, Contents};
use ashlar_formats::uuid::Uuid;

use crate::accounts::Accounts;
use crate::bundle::{self, BUNDLES, Bundle, UNITS, Workshop, policy};
use crate::contents::{self, json};
use crate::debian::{Arch, Lock};
use crate::inspect::{PackageRow, Units};
use crate::kernel::Kernel;
use crate::locking::ACCOUNTS;
use crate::programs::{IN_ROOT, Programs};
use crate::sources::Sources;
use crate::steps::{Key, Steps};
use crate::system::{Role, Shared, System, skeleton};
use crate::tools::Tools;
use crate::tree::{self, Glob, Kind, Node, Tree};

const SYSUSERS: &str = "usr/lib/sysusers.d/";
const ROOT: &str = "root.erofs";
const EXPANDED: &str = "usr/share/ashlar/image.json";
/// What the updater trusts first.
const TRUST: &str = "usr/share/ashlar/update/root.json";
/// See init/src/machine/live.rs.
const NEXT: &str = "usr/lib/ashlar/next";
/// The unit whose program is the message bus.
const BUS: &str = "dbus";
/// Fixed, as all that is fixed keeps upgrades small: what compresses well without moving everything when one file
/// changes.
const FORMAT: [&str; 3] = ["-zlz4hc,level=9", "-C65536", "--quiet"];

/// What a root is made of.
pub struct Parts<'a> {
    /// The image and its units.
    pub sources: &'a Sources,
    /// Architecture.
    pub arch: Arch,
    /// All packages.
    pub lock: &'a Lock,
    /// Their trees, by name.
    pub packages: &'a BTreeMap<String, Tree>,
    /// Our programs.
    pub programs: &'a Programs,
    /// The kernel, for its modules.
    pub kernel: &'a Kernel,
    /// os-release.
    pub os_release: &'a str,
}

/// A root, ready to be written, and what is said about it.
pub struct Root {
    /// All of it.
    pub tree: Tree,
    /// One a package.
    pub packages: Vec<PackageRow>,
    /// All units.
    pub units: Units,
    /// What it is made of.
    pub contents: Contents,
}

/// Puts the root together.
///
/// # Errors
/// A mistake in a unit, or packages that do not go together.
pub fn make(parts: &Parts<'_>) -> anyhow::Result<Root> {
    let closures = Closures::of(parts)?;
    let accounts = accounts(parts, &closures)?;
    let drop: Vec<Glob> = parts.sources.image.drop.iter().map(|pattern| Glob::new(pattern)).collect();
    let system = System { arch: parts.arch, accounts: &accounts, os_release: parts.os_release, drop: &drop };
    let mut shared = Shared::new();
    let mut machine = machine(parts, &closures, &system, &mut shared).context("lay out the machine's root")?;
    let mut bundles = bundles(parts, &closures, &system, &machine, &mut shared)?;
    for unit in parts.sources.units.iter().filter(|unit| unit.written.rootfs == Rootfs::Machine) {
        workshop(parts, &system, &machine.clone()).add_files(unit, &mut machine, &mut shared)?;
    }
    let used = closures.all();
    let rows = bundles.iter().map(|bundle| bundle.row.clone()).collect();
    let contents = contents::tell(&mut bundles, &machine, &parts.kernel.image)?;
    let units = bundles.iter().flat_map(|bundle| bundle.units.clone()).collect();
    lay_in(bundles, &mut machine, &mut shared)?;
    machine.set(CONTENTS, shared.file(json(&contents)?))?;
    let packages = used.iter().filter_map(|name| row(parts, name)).collect();
    Ok(Root { tree: machine, packages, units: Units { units, table: rows }, contents })
}

/// Packages by the root that holds them.
struct Closures<'a> {
    machine: Vec<&'a str>,
    units: Vec<Vec<&'a str>>,
}

impl<'a> Closures<'a> {
    fn of(parts: &Parts<'a>) -> anyhow::Result<Self> {
        let exclude: BTreeSet<&str> = parts.sources.image.exclude.iter().map(String::as_str).collect();
        let closure = |names: &'a [String]| -> anyhow::Result<Vec<&'a str>> {
            let closure = parts.lock.closure(names.iter().map(String::as_str), &exclude)?;
            Ok(closure.into_iter().map(|package| package.name.as_str()).collect())
        };
        let units = parts.sources.units.iter().map(|unit| {
            closure(&unit.written.packages).with_context(|| format!("find the packages of unit {}", unit.name))
        });
        Ok(Self { machine: closure(&parts.sources.image.packages)?, units: units.collect::<Result<_, _>>()? })
    }

    fn all(&self) -> BTreeSet<&'a str> {
        self.machine.iter().chain(self.units.iter().flatten()).copied().collect()
    }
}

fn accounts(parts: &Parts<'_>, closures: &Closures<'_>) -> anyhow::Result<Accounts> {
    let masters = parts.packages.get(ACCOUNTS);
    let master = |name: &str| {
        let content = masters.and_then(|tree| tree.read(&format!("usr/share/base-passwd/{name}.master")));
        content
            .map(|content| String::from_utf8_lossy(content).into_owned())
            .with_context(|| format!("find Debian's own accounts: package {ACCOUNTS} has no {name}.master"))
    };
    let mut declared = BTreeMap::new();
    for tree in closures.all().iter().filter_map(|name| parts.packages.get(*name)) {
        for (path, node) in tree.below(SYSUSERS).filter(|(path, _)| path.ends_with(".conf")) {
            let Kind::File(content) = &node.kind else { continue };
            declared.insert(path[SYSUSERS.len()..].to_owned(), String::from_utf8_lossy(content).into_owned());
        }
    }
    Ok(Accounts::gather(&master("passwd")?, &master("group")?, &declared)?)
}

fn machine(
    parts: &Parts<'_>,
    closures: &Closures<'_>,
    system: &System<'_>,
    shared: &mut Shared,
) -> anyhow::Result<Tree> {
    let mut tree = skeleton(&shared.origin)?;
    for package in closures.machine.iter().filter_map(|name| parts.packages.get(*name)) {
        tree.overlay(package)?;
    }
    tree.overlay(&parts.kernel.modules)?;
    system.finish(&mut tree, Role::Machine, shared)?;
    system.base_files(&mut tree, shared)?;
    for (name, place) in IN_ROOT {
        let Some(program) = parts.programs.get(name) else { continue };
        let kind = Kind::File(Arc::clone(program));
        tree.set(place, Node { kind, mode: 0o755, ..Node::directory(&shared.origin) })?;
    }
    if let Some(trust) = &parts.sources.trust {
        let kind = Kind::File(Arc::new(trust.clone()));
        tree.set(TRUST, Node { kind, mode: 0o644, ..Node::directory(&shared.origin) })?;
    }
    tree.set(EXPANDED, shared.file(json(&parts.sources.image)?))?;
    // Where PID 1 mounts the next root when it goes over to that while it runs.
    tree.make_directory(NEXT, &shared.origin)?;
    Ok(tree)
}

fn workshop<'a>(parts: &Parts<'a>, system: &'a System<'a>, machine: &'a Tree) -> Workshop<'a> {
    Workshop { system, packages: parts.packages, programs: parts.programs, machine }
}

fn bundles(
    parts: &Parts<'_>,
    closures: &Closures<'_>,
    system: &System<'_>,
    machine: &Tree,
    shared: &mut Shared,
) -> anyhow::Result<Vec<Bundle>> {
    let sources = parts.sources;
    let ranges = bundle::ranges(&sources.units);
    // Programs and mounts of units are looked for with the files that units add to the machine.
    let mut seen = machine.clone();
    for unit in sources.units.iter().filter(|unit| unit.written.rootfs == Rootfs::Machine) {
        workshop(parts, system, machine).add_files(unit, &mut seen, shared)?;
    }
    let workshop = workshop(parts, system, &seen);
    let mut bundles = Vec::new();
    for (unit, closure) in sources.units.iter().zip(&closures.units) {
        bundles.push(workshop.make(unit, ranges.get(&unit.name).copied(), closure, shared)?);
    }
    bundle::check_names(&sources.units, &bundles, &sources.known_units())?;
    admit(sources, &ranges, system.accounts, &mut bundles, shared)?;
    Ok(bundles)
}

/// Tells the message bus who may be on it.
fn admit(
    sources: &Sources,
    ranges: &BTreeMap<String, u32>,
    accounts: &Accounts,
    bundles: &mut [Bundle],
    shared: &mut Shared,
) -> anyhow::Result<()> {
    let Some(at) = bundles.iter().position(|bundle| bundle.name == BUS) else { return Ok(()) };
    let Some(mut daemon) = bundles[at].rootfs.take() else { return Ok(()) };
    let empty = Tree::default();
    let on_the_bus =
        sources.units.iter().zip(bundles.iter()).filter(|(unit, _)| !unit.written.seal.bus_names.is_empty());
    let members: Vec<policy::Member<'_>> = on_the_bus
        .map(|(unit, bundle)| policy::Member {
            unit: &unit.name,
            uid: accounts.user(&unit.written.user).unwrap_or_default().0 + ranges.get(&unit.name).copied().unwrap_or(0),
            names: &unit.written.seal.bus_names,
            root: bundle.rootfs.as_ref().unwrap_or(&empty),
        })
        .collect();
    policy::write(&mut daemon, &members, shared).context("write the bus policies of units")?;
    bundles[at].rootfs = Some(daemon);
    Ok(())
}

/// Units and bundles at their place in the machine's root.
fn lay_in(bundles: Vec<Bundle>, machine: &mut Tree, shared: &mut Shared) -> anyhow::Result<()> {
    let origin = Arc::clone(&shared.origin);
    for folder in [UNITS, BUNDLES] {
        machine.make_directory(folder, &origin)?;
    }
    for bundle in bundles {
        for unit in &bundle.units {
            machine.set(&format!("{UNITS}/{}.json", unit.name), shared.file(json(unit)?))?;
        }
        let folder = format!("{BUNDLES}/{}", bundle.name);
        let text = serde_json::to_string(&bundle.config).context("write JSON")? + "\n";
        machine.set(&format!("{folder}/config.json"), shared.file(text))?;
        if let Some(rootfs) = bundle.rootfs {
            machine.graft(&format!("{folder}/rootfs"), rootfs, &origin)?;
        }
    }
    Ok(())
}

fn row(parts: &Parts<'_>, name: &str) -> Option<PackageRow> {
    let package = parts.lock.get(name)?;
    let size = |node: &Node| match &node.kind {
        Kind::File(content) => content.len() as u64,
        _ => 0,
    };
    let installed_bytes = parts.packages.get(name)?.iter().map(|(_, node)| size(node)).sum();
    Some(PackageRow { name: package.name.clone(), version: package.version.clone(), installed_bytes })
}

/// Writes a tree as EROFS into `folder` as `root.erofs`, every time in it being `seconds`.
///
/// In two layers, always: first what comes out of packages, which takes nearly all of the time and seldom changes, then
/// what the builder, units and programs add, behind it. So the first is a step of its own, and the outcome does not
/// depend on whether that was done before.
///
/// # Errors
/// The folder cannot be written, or mkfs.erofs fails.
pub fn write(
    tree: &Tree,
    seconds: u64,
    name: &str,
    tools: &Tools,
    key: Key,
    steps: &Steps,
    folder: &Path,
) -> anyhow::Result<()> {
    let is_folder = |node: &Node| matches!(node.kind, Kind::Directory);
    let is_packaged = |node: &Node| node.origin.starts_with(tree::PACKAGE) && !is_folder(node);
    let packaged = tree.part(|_, node| is_packaged(node));
    let is_there = |path: &str, node: &Node| is_packaged(node) || (is_folder(node) && packaged.get(path).is_some());
    let added = tree.part(|path, node| !is_there(path, node));
    let uuid = format!("-U{}", Uuid::derived("root", name.as_bytes()));
    let time = format!("-T{seconds}");
    let workers = format!("--workers={}", crate::debian::workers::processors());
    let layer = |layer: &Tree, folder: &Path, more: &[&str]| {
        let mut arguments = FORMAT.to_vec();
        arguments.extend([uuid.as_str(), time.as_str(), workers.as_str(), "--tar=f"]);
        arguments.extend(more);
        arguments.push(ROOT);
        let feed = |input| tree::write_tar(layer, seconds, BufWriter::with_capacity(1 << 20, input));
        tools.run(folder, "/usr/bin/mkfs.erofs", &arguments, Some(&feed))
    };
    let key =
        key.with("tree", packaged.digest().to_string().as_bytes()).with("form", format!("{uuid}{time}").as_bytes());
    let first = steps.result(&key, |result| layer(&packaged, result, &[]))?;
    let path = folder.join(ROOT);
    fs::copy(first.path().join(ROOT), &path).with_context(|| format!("write {}", path.display()))?;
    layer(&added, folder, &["--incremental=data"])
}
