//! A container's file tree, as the inside lays it out: root, mounts, device nodes, masks. Every place in it is found
//! below the root's descriptor, so that no link in it leads out.

mod copy_up;
mod nodes;
mod place;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use ashlar_sys::mounts::{self, Change, FileSystem, NO_DEVICES, NO_EXEC, NO_SUID, Propagation, READ_ONLY};
use ashlar_sys::{at, filesystem};

use crate::bundle::Bundle;
use crate::console::Console;
use crate::error::{Failure, InStep, Step};
use crate::mounts::{Options, Origin, host_view, origin, propagation};
use crate::spec::{Mount, NamespaceKind, ROOTFS_OVERLAY};
use place::Shape;

/// Where they come from.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub root: Option<OwnedFd>,
    /// By their place in the bundle; file systems of the container's own are not here.
    pub mounts: Vec<Option<OwnedFd>>,
    pub console: Option<OwnedFd>,
}

/// Lays it out. Gives the root: on top of where it comes from, which only this mount namespace sees; or, of a bundle
/// without one, the maker's own, of which this is a copy. Gives a terminal of its own, too, if one is `wanted`.
pub(crate) fn lay_out(bundle: &Bundle, given: &mut Given, wanted: bool) -> Result<(OwnedFd, Option<Console>), Failure> {
    let root = match bundle.spec.root {
        Some(_) => {
            spread_as(Path::new("/"), Propagation::Private)?;
            let root = given.root.take();
            let root = root.ok_or_else(|| Failure::because(Step::Root, "of the container", "there is none"))?;
            attach_root(bundle, root)?
        }
        None => {
            // What is mounted on the host later is seen here, too.
            spread_as(Path::new("/"), Propagation::Slave)?;
            std::fs::File::open("/").step(Step::Root, "/")?.into()
        }
    };
    let nodes = if has_own_devices(bundle) { nodes::plan(bundle)? } else { Vec::new() };
    let mut read_only = Vec::new();
    for (mount, passed) in bundle.spec.mounts.iter().zip(&mut given.mounts) {
        mount_one(bundle, mount, passed.take(), &root, &mut read_only)?;
    }
    let console = wanted.then(|| Console::new(&root, bundle.process())).transpose()?;
    if has_own_devices(bundle) {
        let terminal =
            console.as_ref().map(|console| mounts::clone_tree(Some(console.terminal.as_fd()), Path::new(""), false));
        let terminal = terminal.transpose().step(Step::Node, "/dev/console")?;
        nodes::put(&nodes, &root, terminal.as_ref().or(given.console.as_ref()))?;
    }
    make_working_directory(bundle, &root);
    let change = Change { set: READ_ONLY, ..Change::default() };
    read_only.iter().try_for_each(|made| mounts::change(made, &change, false)).step(Step::Mount, "tmpfs, read-only")?;
    Ok((root, console))
}

/// Takes away what the container may not read or write. Hooks that change the root have run by now.
pub(crate) fn seal(bundle: &Bundle, root: &OwnedFd) -> Result<(), Failure> {
    bundle.spec.linux.readonly_paths.iter().try_for_each(|path| make_read_only(root, path))?;
    bundle.spec.linux.masked_paths.iter().try_for_each(|path| mask(root, path))?;
    if bundle.spec.root.as_ref().is_some_and(|written| written.readonly) && !is_overlaid(bundle) {
        let change = Change { set: READ_ONLY, ..Change::default() };
        mounts::change(root, &change, false).step(Step::Root, "read-only")?;
    }
    Ok(())
}

/// Images name one that they do not have. One that cannot be made is told when the process cannot go there.
fn make_working_directory(bundle: &Bundle, root: &OwnedFd) {
    if bundle.spec.root.is_some() {
        let _ = place::make(root, &bundle.process().cwd, Shape::Directory);
    }
}

/// How the root spreads once it is one.
pub(crate) fn spread(bundle: &Bundle) -> Result<(), Failure> {
    let written = bundle.spec.linux.rootfs_propagation.as_deref().unwrap_or_default();
    let Some((propagation, all)) = propagation(written).filter(|(kind, _)| *kind != Propagation::Private) else {
        return Ok(());
    };
    let root = std::fs::File::open("/").step(Step::Root, "/")?;
    let change = Change { propagation: Some(propagation), ..Change::default() };
    mounts::change(&root, &change, all).step(Step::Root, format!("as {written}"))
}

/// Nothing that is mounted here is seen outside; of a private one, nor the other way round.
fn spread_as(path: &Path, propagation: Propagation) -> Result<(), Failure> {
    let root = std::fs::File::open(path).step(Step::Root, "/")?;
    let change = Change { propagation: Some(propagation), ..Change::default() };
    mounts::change(&root, &change, true).step(Step::Root, "in private")
}

fn is_overlaid(bundle: &Bundle) -> bool {
    bundle.annotation(ROOTFS_OVERLAY) == Some("tmpfs")
}

fn attach_root(bundle: &Bundle, root: OwnedFd) -> Result<OwnedFd, Failure> {
    let subject = bundle.root().display().to_string();
    // Where hooks look for it. The machine's own root cannot lie on itself.
    let path = bundle.root();
    let stage = if path == Path::new("/") { &bundle.directory } else { &path };
    let stage = std::fs::File::open(stage).step(Step::Root, &subject)?;
    if is_overlaid(bundle) {
        return overlay(bundle, &root, &stage).step(Step::Overlay, subject);
    }
    mounts::attach(&root, &stage).step(Step::Root, subject)?;
    Ok(root)
}

/// A writable tmpfs over the root. Layers are named by path, so they are attached beside each other first.
fn overlay(bundle: &Bundle, lower: &OwnedFd, stage: &impl AsFd) -> std::io::Result<OwnedFd> {
    let layers = FileSystem::new("tmpfs")?;
    layers.set("mode", Some("0755"))?;
    let layers = layers.mount(NO_DEVICES)?;
    mounts::attach(&layers, stage)?;
    for name in ["lower", "upper", "work", "root"] {
        at::make_directory(&layers, Path::new(name), 0o755)?;
    }
    mounts::attach(lower, at::locate(&layers, Path::new("lower"))?)?;
    mounts::change_directory(&layers)?;
    let overlay = FileSystem::new("overlay")?;
    let data = [("source", "overlay"), ("lowerdir", "lower"), ("upperdir", "upper"), ("workdir", "work")];
    data.into_iter().try_for_each(|(key, value)| overlay.set(key, Some(value)))?;
    if bundle.makes(NamespaceKind::User) {
        // Only the host's root may write the attributes that are used otherwise.
        overlay.set("userxattr", None)?;
    }
    let root = overlay.mount(0)?;
    mounts::attach(&root, at::locate(&layers, Path::new("root"))?)?;
    Ok(root)
}

/// `read_only` gets what shall be so once all that is placed in it is there.
fn mount_one(
    bundle: &Bundle,
    mount: &Mount,
    passed: Option<OwnedFd>,
    root: &OwnedFd,
    read_only: &mut Vec<OwnedFd>,
) -> Result<(), Failure> {
    let options = Options::parse(&mount.options);
    let place = &mount.destination;
    match origin(mount, &options, &bundle.directory, |kind| bundle.owns(kind)) {
        Origin::Host { path, .. } => {
            // Not passed: it is not there, and need not be.
            let Some(tree) = passed else { return Ok(()) };
            let subject = format!("{} at {place}", path.display());
            let shape = Shape::of(&tree).step(Step::Mount, &subject)?;
            let target = place::make(root, place, shape)?;
            mounts::attach(&tree, &target).step(Step::Mount, subject)
        }
        Origin::New(kind) => {
            let subject = format!("{kind} at {place}");
            if matches!(kind.as_str(), "proc" | "sysfs") && place::is_link(root, place) {
                // Whoever can choose where they are can have them taken for what they are not (CVE-2019-16884).
                let reason = "it must be mounted on ordinary directory, and that is a link";
                return Err(Failure::because(Step::Mount, subject, reason));
            }
            let target = place::make(root, place, Shape::Directory)?;
            if options.data.iter().any(|(_, value)| value.as_ref().is_some_and(|value| value.len() > LONGEST)) {
                return mount_by_path(&kind, mount, &options, &target).step(Step::Mount, subject);
            }
            let label = bundle.spec.linux.mount_label.as_deref().filter(|label| !label.is_empty());
            let made = match make_file_system(&kind, mount, &options, label) {
                // Root of somebody else's user namespace may not make what shows namespaces that are not his.
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => match host_view(&kind) {
                    Some(path) => restricted(path, &options),
                    None => Err(error),
                },
                made => made,
            };
            let made = made.step(Step::Mount, &subject)?;
            if options.copy_up {
                copy_up::copy(&target, &made).step(Step::Mount, &subject)?;
            }
            mounts::attach(&made, &target).step(Step::Mount, &subject)?;
            if let Some((spread, all)) = options.propagation {
                let change = Change { propagation: Some(spread), ..Change::default() };
                mounts::change(&made, &change, all).step(Step::Mount, subject)?;
            }
            if kind == "tmpfs" && (options.set | options.set_below) & READ_ONLY != 0 {
                read_only.push(made);
            }
            Ok(())
        }
    }
}

/// The host's, as restricted as one of the container's own would be.
fn restricted(path: &Path, options: &Options) -> std::io::Result<OwnedFd> {
    let tree = mounts::clone_tree(None, path, true)?;
    let change = Change { set: options.set | options.set_below, ..Change::default() };
    mounts::change(&tree, &change, true)?;
    Ok(tree)
}

/// What fsconfig(2) takes as a value: an overlay's layers may be more.
const LONGEST: usize = 255;

fn mount_by_path(kind: &str, mount: &Mount, options: &Options, target: &OwnedFd) -> std::io::Result<()> {
    let pair = |(key, value): &(String, Option<String>)| match value {
        Some(value) => format!("{key}={value}"),
        None => key.clone(),
    };
    let data: Vec<String> = options.data.iter().map(pair).collect();
    // The host's /proc is still there. These attributes have the same bits in both interfaces.
    let place = PathBuf::from(format!("/proc/self/fd/{}", target.as_raw_fd()));
    let attributes = options.set & (READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC);
    filesystem::mount(mount.source.as_deref().unwrap_or(kind), &place, kind, attributes, &data.join(","))
}

fn make_file_system(kind: &str, mount: &Mount, options: &Options, label: Option<&str>) -> std::io::Result<OwnedFd> {
    let system = FileSystem::new(kind)?;
    system.set("source", Some(mount.source.as_deref().unwrap_or(kind)))?;
    options.data.iter().try_for_each(|(key, value)| system.set(key, value.as_deref()))?;
    // What shows the kernel has labels of its own. Without SELinux there is nobody to take one.
    if label.is_some() && !matches!(kind, "proc" | "sysfs" | "cgroup2") && Path::new("/sys/fs/selinux/enforce").exists()
    {
        system.set("context", label)?;
    }
    // A tmpfs is empty: other mounts, nodes and what lies under it are placed there first.
    let later = if kind == "tmpfs" { READ_ONLY } else { 0 };
    system.mount((options.set | options.set_below) & !later)
}

/// /dev is the container's own: a file system for it, or a folder of its root.
fn has_own_devices(bundle: &Bundle) -> bool {
    let mount = bundle.spec.mounts.iter().find(|mount| mount.destination.trim_end_matches('/') == "/dev");
    mount.map_or(bundle.spec.root.is_some(), |mount| mount.kind.as_deref() == Some("tmpfs"))
}

fn make_read_only(root: &OwnedFd, path: &str) -> Result<(), Failure> {
    let Some(place) = place::find(root, path).step(Step::Mask, path)? else { return Ok(()) };
    let clone = mounts::clone_tree(Some(place.as_fd()), Path::new(""), true).step(Step::Mask, path)?;
    let change = Change { set: READ_ONLY, ..Change::default() };
    mounts::change(&clone, &change, true).step(Step::Mask, path)?;
    mounts::attach(&clone, &place).step(Step::Mask, path)
}

/// A directory becomes an empty one, a file the null device.
fn mask(root: &OwnedFd, path: &str) -> Result<(), Failure> {
    let Some(place) = place::find(root, path).step(Step::Mask, path)? else { return Ok(()) };
    let cover = || match Shape::of(&place)? {
        Shape::Directory => FileSystem::new("tmpfs")?.mount(READ_ONLY | NO_SUID | NO_DEVICES | NO_EXEC),
        Shape::File => mounts::clone_tree(None, Path::new("/dev/null"), false),
    };
    let cover = cover().step(Step::Mask, path)?;
    mounts::attach(&cover, &place).step(Step::Mask, path)
}
