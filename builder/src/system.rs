//! What makes a root file system out of packages' files: all that their maintainer scripts would have done and that
//! matters to a system which nobody installs anything on.
//!
//! [`finish`] is applied to the machine's root and to every container's. What is the same in all of them is laid out
//! once. Not here: which packages (`lock`), units and their bundles (`bundle`).

mod alternatives;
mod certificates;
mod pam;
mod tmpfiles;

use std::sync::Arc;

use crate::accounts::Accounts;
use crate::debian::Arch;
use crate::libraries;
use crate::tree::{self, Glob, Kind, Node, Tree};

/// Where base files stand that PID 1 copies to `/run/ashlar/etc` at every boot.
pub const BASE_FILES: &str = "usr/share/ashlar/etc";
/// Where their copies are.
const LIVE_FILES: &str = "/run/ashlar/etc";
pub const OS_RELEASE: &str = "usr/lib/os-release";

/// Files of /etc that belong to the running machine, not to the image.
const LIVE: [&str; 6] = ["passwd", "group", "hostname", "hosts", "machine-id", "localtime"];
const RESOLV_CONF: &str = "/run/systemd/resolve/stub-resolv.conf";

const FOLDERS: [&str; 12] =
    ["dev", "etc", "home", "mnt", "opt", "proc", "run", "srv", "sys", "usr/local", "usr/lib64", "var"];
const VAR_FOLDERS: [&str; 5] = ["var/cache", "var/lib", "var/log", "var/tmp", "var/spool"];
/// Programs that keep their set-user-id bit, in the machine's root only: rootless containers need them.
const SET_USER_ID: [&str; 2] = ["usr/bin/newgidmap", "usr/bin/newuidmap"];

/// What every root of an image shares.
pub struct System<'a> {
    /// Architecture.
    pub arch: Arch,
    /// Users and groups.
    pub accounts: &'a Accounts,
    /// os-release.
    pub os_release: &'a str,
    /// Paths that the image leaves out.
    pub drop: &'a [Glob],
}

/// Which root a tree is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The machine's: /var is its state partition.
    Machine,
    /// A container's.
    Container,
}

/// os-release of an image (os-release(5)).
pub fn os_release(image: &str, version: &str, suite: &str) -> String {
    format!(
        "NAME=Ashlar\nID=ashlar\nID_LIKE=debian\nPRETTY_NAME=\"Ashlar {version}\"\nVERSION_ID={version}\n\
         VERSION_CODENAME={suite}\nVARIANT_ID={image}\nIMAGE_ID=ashlar\nIMAGE_VERSION={version}\n"
    )
}

/// A tree with the folders and links that every root has, for packages to be laid over.
///
/// # Errors
/// None that a caller could cause.
pub fn skeleton(origin: &Arc<str>) -> Result<Tree, tree::Error> {
    let mut tree = Tree::default();
    for (link, target) in [("bin", "usr/bin"), ("lib", "usr/lib"), ("lib64", "usr/lib64"), ("sbin", "usr/sbin")] {
        tree.make_directory(target, origin)?;
        tree.add(link, Node::symlink(target, origin))?;
    }
    for folder in FOLDERS {
        tree.make_directory(folder, origin)?;
    }
    for (folder, mode) in [("root", 0o700), ("tmp", 0o1777), ("proc", 0o555), ("sys", 0o555)] {
        tree.set(folder, Node { mode, ..Node::directory(origin) })?;
    }
    Ok(tree)
}

impl System<'_> {
    /// Makes packages' files a root.
    ///
    /// # Errors
    /// Something stands where a folder has to be.
    pub fn finish(&self, tree: &mut Tree, role: Role, shared: &mut Shared) -> Result<(), tree::Error> {
        let origin = Arc::clone(&shared.origin);
        tree.retain(|path, _| !self.drop.iter().any(|glob| glob.matches(path)));
        for path in ["boot", "media", "etc/os-release", "etc/motd", "etc/issue", "etc/issue.net"] {
            tree.remove(path);
        }
        match role {
            Role::Machine => {
                tree.remove("var");
                tree.make_directory("var", &origin)?;
                // What an administrator writes is shown there, from the state partition.
                for folder in ["etc/systemd/system", "etc/systemd/system.control", "etc/containers/systemd"] {
                    tree.remove(folder);
                    tree.make_directory(folder, &origin)?;
                }
            }
            Role::Container => {
                VAR_FOLDERS.iter().try_for_each(|folder| tree.make_directory(folder, &origin))?;
                tree.set("var/run", Node::symlink("/run", &origin))?;
                tree.set("var/lock", Node::symlink("/run/lock", &origin))?;
            }
        }
        tree.retain(|path, _| !path.starts_with("run/") && !path.starts_with("dev/"));
        tree.change(|path, node| {
            let keeps = role == Role::Machine && SET_USER_ID.contains(&path);
            if matches!(node.kind, Kind::File(_)) && !keeps {
                node.mode &= 0o1777;
            }
        });
        self.etc(tree, shared)?;
        tmpfiles::apply(tree, &origin)?;
        alternatives::choose(tree, &origin)?;
        certificates::bundle(tree, shared)?;
        pam::write(tree, shared)?;
        if let Some(cache) = libraries::cache(tree, self.arch) {
            tree.set(libraries::CACHE, shared.file(cache))?;
        }
        Ok(())
    }

    fn etc(&self, tree: &mut Tree, shared: &mut Shared) -> Result<(), tree::Error> {
        let origin = Arc::clone(&shared.origin);
        for name in LIVE {
            tree.set(&format!("etc/{name}"), Node::symlink(&format!("{LIVE_FILES}/{name}"), &origin))?;
        }
        tree.set("etc/resolv.conf", Node::symlink(RESOLV_CONF, &origin))?;
        tree.set("etc/mtab", Node::symlink("../proc/self/mounts", &origin))?;
        tree.set("etc/os-release", Node::symlink("../usr/lib/os-release", &origin))?;
        tree.set(OS_RELEASE, shared.file(self.os_release))?;
        let by_resolved = tree.iter().any(|(path, _)| path.ends_with("/libnss_resolve.so.2"));
        tree.set("etc/nsswitch.conf", shared.file(nsswitch(by_resolved)))?;
        ["shadow", "gshadow", "subuid", "subgid"].iter().for_each(|name| tree.remove(&format!("etc/{name}")));
        Ok(())
    }

    /// The files that PID 1 copies at boot, into the machine's root.
    ///
    /// # Errors
    /// Something stands in their place.
    pub fn base_files(&self, tree: &mut Tree, shared: &mut Shared) -> Result<(), tree::Error> {
        let files = [
            ("passwd", self.accounts.passwd_file()),
            ("group", self.accounts.group_file()),
            ("hostname", "ashlar\n".to_owned()),
            ("hosts", "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned()),
        ];
        files.into_iter().try_for_each(|(name, text)| tree.set(&format!("{BASE_FILES}/{name}"), shared.file(text)))
    }
}

/// Where names are looked up (nsswitch.conf(5)).
fn nsswitch(by_resolved: bool) -> String {
    let hosts = if by_resolved { "files resolve [!UNAVAIL=return] dns" } else { "files dns" };
    let lines = [
        ("passwd", "files"),
        ("group", "files"),
        ("shadow", "files"),
        ("gshadow", "files"),
        ("hosts", hosts),
        ("networks", "files"),
        ("protocols", "files"),
        ("services", "files"),
        ("ethers", "files"),
        ("rpc", "files"),
    ];
    lines.iter().map(|(database, sources)| format!("{database}: {sources}\n")).collect()
}

/// Files that are the same in many roots, each kept once.
pub struct Shared {
    /// Who made them, for errors.
    pub origin: Arc<str>,
    contents: std::collections::HashMap<Vec<u8>, Arc<Vec<u8>>>,
}

impl Shared {
    /// None yet.
    pub fn new() -> Self {
        Self { origin: "the builder".into(), contents: std::collections::HashMap::new() }
    }

    /// A file of root's that everybody may read; the same content is the same file.
    pub fn file(&mut self, content: impl Into<Vec<u8>>) -> Node {
        self.node(content.into(), 0o644)
    }

    /// A file with another mode.
    pub fn node(&mut self, content: Vec<u8>, mode: u32) -> Node {
        let content = Arc::clone(self.contents.entry(content.clone()).or_insert_with(|| Arc::new(content)));
        Node { kind: Kind::File(content), mode, uid: 0, gid: 0, origin: Arc::clone(&self.origin) }
    }
}

#[cfg(test)]
mod tests;
