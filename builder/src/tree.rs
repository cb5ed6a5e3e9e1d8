//! A root file system in memory: what is where, with which owner and mode. Contents are shared, so that many trees
//! cost one.
//!
//! Paths are relative and plain (`usr/bin/ls`); the root itself is not in it. The top-level `bin`, `sbin`, `lib` and
//! `lib64` are links into `usr` in every tree, and whatever a package puts below them goes where they lead.

mod glob;
mod tar;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ashlar_fetch::Digest;

use crate::debian::{self, Unpacked};

pub use glob::Glob;
pub use tar::write as write_tar;

/// Links that a merged-/usr system has at its top.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];
/// What the origin of a package's files begins with.
pub const PACKAGE: &str = "package ";
/// As many links may be followed to a path as Linux follows.
const MAX_LINKS: usize = 40;

/// A tree.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    nodes: BTreeMap<String, Node>,
}

/// One thing in a tree.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits, 12 of them.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Who put it there, for errors.
    pub origin: Arc<str>,
}

/// What a node is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file. Files that share their content are laid out once.
    File(Arc<Vec<u8>>),
    /// A symbolic link with its target, as it stands.
    Symlink(String),
}

/// A tree cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two packages disagree.
    #[error(
        "lay out /{path}: it comes from {first} and, different, from {second}; leave one of them out with `drop` or `exclude`"
    )]
    Conflict {
        /// Where.
        path: String,
        /// Who came first.
        first: Arc<str>,
        /// Who came then.
        second: Arc<str>,
    },
    /// A hard link to what is not there.
    #[error("lay out /{path} of {origin}: it is a hard link to /{target}, which is no file of the same package")]
    Link {
        /// Where.
        path: String,
        /// What it names.
        target: String,
        /// Whose it is.
        origin: Arc<str>,
    },
    /// A directory that is none.
    #[error("lay out /{path} of {origin}: /{above} is no directory, but comes as a file from {other}")]
    NoDirectory {
        /// Where.
        path: String,
        /// What is no directory.
        above: String,
        /// Whose it is.
        origin: Arc<str>,
        /// Who put the file there.
        other: Arc<str>,
    },
    /// Links without end.
    #[error("lay out /{path} of {origin}: its folder is a link that leads nowhere")]
    Loop {
        /// Where.
        path: String,
        /// Whose it is.
        origin: Arc<str>,
    },
}

impl Node {
    /// A directory of root's.
    pub fn directory(origin: &Arc<str>) -> Self {
        Self { kind: Kind::Directory, mode: 0o755, uid: 0, gid: 0, origin: Arc::clone(origin) }
    }

    /// A file of root's.
    pub fn file(content: impl Into<Vec<u8>>, mode: u32, origin: &Arc<str>) -> Self {
        Self { kind: Kind::File(Arc::new(content.into())), mode, uid: 0, gid: 0, origin: Arc::clone(origin) }
    }

    /// A link.
    pub fn symlink(target: &str, origin: &Arc<str>) -> Self {
        Self { kind: Kind::Symlink(target.to_owned()), mode: 0o777, uid: 0, gid: 0, origin: Arc::clone(origin) }
    }

    /// Whether both are the same to whoever looks at them.
    fn is_like(&self, other: &Node) -> bool {
        let kind = match (&self.kind, &other.kind) {
            (Kind::Directory, Kind::Directory) => return true,
            (Kind::File(a), Kind::File(b)) => Arc::ptr_eq(a, b) || a == b,
            (Kind::Symlink(a), Kind::Symlink(b)) => a == b,
            _ => false,
        };
        kind && (self.mode, self.uid, self.gid) == (other.mode, other.uid, other.gid)
    }
}

impl Tree {
    /// A tree of one package's files. Hard links become what they link to.
    ///
    /// # Errors
    /// A hard link to what is not in the package.
    pub fn of_package(unpacked: Unpacked<'_>) -> Result<Self, Error> {
        let origin: Arc<str> = format!("{PACKAGE}{}", unpacked.package.name).into();
        let mut tree = Self::default();
        let mut links = Vec::new();
        for entry in unpacked.entries {
            let Some(path) = merged(&entry.path) else { continue };
            let kind = match entry.kind {
                debian::Kind::Directory => Kind::Directory,
                debian::Kind::File(content) => Kind::File(Arc::new(content)),
                debian::Kind::Symlink(target) => Kind::Symlink(target),
                debian::Kind::Hardlink(target) => {
                    links.push((path, target));
                    continue;
                }
            };
            let node = Node { kind, mode: entry.mode, uid: entry.uid, gid: entry.gid, origin: Arc::clone(&origin) };
            tree.nodes.insert(path, node);
        }
        for (path, target) in links {
            let node = merged(&target).and_then(|target| tree.nodes.get(&target)).cloned();
            let node = node.ok_or_else(|| Error::Link { path: path.clone(), target, origin: Arc::clone(&origin) })?;
            tree.nodes.insert(path, node);
        }
        Ok(tree)
    }

    /// Lays another tree over this one. Directories are merged; what is in both has to be the same.
    ///
    /// # Errors
    /// Two different things at one path.
    pub fn overlay(&mut self, other: &Tree) -> Result<(), Error> {
        other.nodes.iter().try_for_each(|(path, node)| self.add(path, node.clone()))
    }

    /// Adds a node, its folders included, through links where these lead to other folders.
    ///
    /// # Errors
    /// Something different is there already.
    pub fn add(&mut self, path: &str, node: Node) -> Result<(), Error> {
        let path = self.place(path, &node.origin)?;
        match self.nodes.get(&path) {
            None => {
                self.nodes.insert(path, node);
                Ok(())
            }
            Some(there) if there.is_like(&node) => Ok(()),
            // A package may call a directory what is a link to one in another.
            Some(Node { kind: Kind::Symlink(_), .. }) if matches!(node.kind, Kind::Directory) => Ok(()),
            Some(there) => Err(Error::Conflict { path, first: Arc::clone(&there.origin), second: node.origin }),
        }
    }

    /// Puts a node in the place of whatever is there.
    ///
    /// # Errors
    /// Its folder is none.
    pub fn set(&mut self, path: &str, node: Node) -> Result<(), Error> {
        let path = self.place(path, &node.origin)?;
        self.remove(&path);
        self.nodes.insert(path, node);
        Ok(())
    }

    /// Makes sure that there is a directory; returns where it is in the end.
    ///
    /// # Errors
    /// Something else is there.
    pub fn make_directory(&mut self, path: &str, origin: &Arc<str>) -> Result<(), Error> {
        self.add(path, Node::directory(origin))
    }

    /// Takes a path away, with all that is below it.
    pub fn remove(&mut self, path: &str) {
        self.nodes.remove(path);
        let below = format!("{path}/");
        let inside: Vec<String> = self.below(&below).map(|(path, _)| path.clone()).collect();
        for path in inside {
            self.nodes.remove(&path);
        }
    }

    /// Keeps what the question is answered with yes for.
    pub fn retain(&mut self, keep: impl Fn(&str, &Node) -> bool) {
        self.nodes.retain(|path, node| keep(path, node));
    }

    /// Changes every node.
    pub fn change(&mut self, change: impl Fn(&str, &mut Node)) {
        for (path, node) in &mut self.nodes {
            change(path, node);
        }
    }

    /// A node by its own path; links are not followed.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// What a path leads to, through links.
    pub fn follow(&self, path: &str) -> Option<&Node> {
        let mut path = self.resolve(path)?;
        for _ in 0..MAX_LINKS {
            match self.nodes.get(&path)? {
                Node { kind: Kind::Symlink(target), .. } => path = self.resolve(&joined(&path, target))?,
                node => return Some(node),
            }
        }
        None
    }

    /// Content of the file that a path leads to.
    pub fn read(&self, path: &str) -> Option<&Arc<Vec<u8>>> {
        match &self.follow(path)?.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// All nodes, folders before what is in them.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Node)> {
        self.nodes.iter()
    }

    /// The nodes whose path begins with `prefix`.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a String, &'a Node)> {
        self.nodes.range(prefix.to_owned()..).take_while(move |(path, _)| path.starts_with(prefix))
    }

    /// The nodes that the question is answered with yes for, with the folders that they are in.
    pub fn part(&self, belongs: impl Fn(&str, &Node) -> bool) -> Tree {
        let mut part = BTreeMap::new();
        for (path, node) in self.nodes.iter().filter(|(path, node)| belongs(path, node)) {
            let slashes = path.match_indices('/').map(|(at, _)| &path[..at]);
            for folder in slashes.filter(|folder| !part.contains_key(*folder)).collect::<Vec<_>>() {
                part.extend(self.nodes.get(folder).map(|node| (folder.to_owned(), node.clone())));
            }
            part.insert(path.clone(), node.clone());
        }
        Tree { nodes: part }
    }

    /// A digest of all that can be seen of it.
    pub fn digest(&self) -> Digest {
        self.digest_with(&mut HashMap::new())
    }

    /// The same, with the digests of files that other trees have, too, while those trees are there.
    pub fn digest_with(&self, known: &mut HashMap<*const Vec<u8>, Digest>) -> Digest {
        let mut text = String::new();
        for (path, Node { kind, mode, uid, gid, .. }) in &self.nodes {
            let content = match kind {
                Kind::Directory => "folder".to_owned(),
                Kind::Symlink(target) => format!("link {target}"),
                Kind::File(content) => {
                    known.entry(Arc::as_ptr(content)).or_insert_with(|| Digest::of(content)).to_string()
                }
            };
            text += &format!("{path}\0{mode:o}\0{uid}\0{gid}\0{content}\0");
        }
        Digest::of(text.as_bytes())
    }

    /// Hangs a whole tree into a folder of this one.
    ///
    /// # Errors
    /// Something is there already.
    pub fn graft(&mut self, folder: &str, other: Tree, origin: &Arc<str>) -> Result<(), Error> {
        self.make_directory(folder, origin)?;
        for (path, node) in other.nodes {
            self.nodes.insert(format!("{folder}/{path}"), node);
        }
        Ok(())
    }

    /// The path at which something named `path` really lands; the folders on the way are made.
    fn place(&mut self, path: &str, origin: &Arc<str>) -> Result<String, Error> {
        let Some((folder, name)) = path.rsplit_once('/') else { return Ok(path.to_owned()) };
        let lost = || Error::Loop { path: path.to_owned(), origin: Arc::clone(origin) };
        let folder = self.real(folder).ok_or_else(lost)?;
        if !self.nodes.contains_key(&folder) {
            let mut at = 0;
            while let Some(end) =
                folder[at..].find('/').map(|slash| at + slash).or((at < folder.len()).then_some(folder.len()))
            {
                let above = &folder[..end];
                if !self.nodes.contains_key(above) {
                    self.nodes.insert(above.to_owned(), Node::directory(origin));
                }
                at = (end + 1).min(folder.len());
            }
        }
        match self.nodes.get(&folder) {
            Some(Node { kind: Kind::Directory, .. }) | None => {
                Ok(format!("{folder}/{name}").trim_start_matches('/').into())
            }
            Some(node) => Err(Error::NoDirectory {
                path: path.to_owned(),
                above: folder,
                origin: Arc::clone(origin),
                other: Arc::clone(&node.origin),
            }),
        }
    }

    /// A path with the links in its folders followed; the last component stays what it is.
    fn resolve(&self, path: &str) -> Option<String> {
        match path.rsplit_once('/') {
            None => Some(path.to_owned()),
            Some((folder, name)) => Some(format!("{}/{name}", self.real(folder)?).trim_start_matches('/').to_owned()),
        }
    }

    /// A path with all links in it followed, as far as it exists.
    fn real(&self, path: &str) -> Option<String> {
        if self.is_directory_all_the_way(path) {
            return Some(path.to_owned());
        }
        let mut open: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut done = String::new();
        let mut links = 0;
        while let Some(part) = open.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    done.truncate(done.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let next = if done.is_empty() { part } else { format!("{done}/{part}") };
            match self.nodes.get(&next) {
                Some(Node { kind: Kind::Symlink(target), .. }) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if target.starts_with('/') {
                        done.clear();
                    }
                    open.extend(target.rsplit('/').map(str::to_owned));
                }
                _ => done = next,
            }
        }
        Some(done)
    }

    /// Nearly every path; a directory's own folders are directories, since [`Tree::place`] put it there.
    fn is_directory_all_the_way(&self, path: &str) -> bool {
        matches!(self.nodes.get(path), Some(Node { kind: Kind::Directory, .. }))
    }
}

/// A link's target as a path from the root.
fn joined(link: &str, target: &str) -> String {
    match (target.strip_prefix('/'), link.rsplit_once('/')) {
        (Some(absolute), _) => absolute.to_owned(),
        (None, Some((folder, _))) => normal(&format!("{folder}/{target}")),
        (None, None) => normal(target),
    }
}

fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Where a package's path goes on a merged-/usr system; None for the merged folders themselves.
fn merged(path: &str) -> Option<String> {
    let (top, rest) = path.split_once('/').map_or((path, None), |(top, rest)| (top, Some(rest)));
    match (MERGED.contains(&top), rest) {
        (false, _) => Some(path.to_owned()),
        (true, None) => None,
        (true, Some(rest)) => Some(format!("usr/{top}/{rest}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(name: &str) -> Arc<str> {
        name.into()
    }

    fn tree(nodes: &[(&str, Node)]) -> Result<Tree, Error> {
        let mut tree = Tree::default();
        nodes.iter().try_for_each(|(path, node)| tree.add(path, node.clone()))?;
        Ok(tree)
    }

    #[test]
    fn merges_directories_and_refuses_differences() {
        let file = |content: &str, who| Node::file(content, 0o644, &origin(who));
        let check = |nodes: &[(&str, Node)], expect: Result<usize, &str>| match (tree(nodes), expect) {
            (Ok(tree), Ok(count)) => assert_eq!(tree.iter().count(), count),
            (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
            (outcome, _) => panic!("{outcome:?}"),
        };
        check(&[("a/b", file("x", "p"))], Ok(2));
        check(&[("a/b", file("x", "p")), ("a/c", file("x", "q"))], Ok(3));
        check(&[("a/b", file("x", "p")), ("a/b", file("x", "q"))], Ok(2));
        check(&[("a/b", file("x", "p")), ("a/b", file("y", "q"))], Err("/a/b: it comes from p and, different, from q"));
        check(&[("a", file("x", "p")), ("a/b", file("y", "q"))], Err("/a is no directory"));
    }

    #[test]
    fn follows_links() {
        let link = |target| Node::symlink(target, &origin("p"));
        let file = Node::file("x", 0o644, &origin("p"));
        let tree = tree(&[
            ("lib", link("usr/lib")),
            ("lib/a", file.clone()),
            ("etc/l", link("../usr/lib/a")),
            ("etc/m", link("/etc/l")),
            ("etc/n", link("n")),
        ])
        .unwrap();
        assert!(tree.get("usr/lib/a").is_some());
        for path in ["lib/a", "etc/l", "etc/m"] {
            assert!(tree.read(path).is_some(), "{path}");
        }
        assert!(tree.read("etc/n").is_none());
    }

    #[test]
    fn merges_usr() {
        let check = |path, expect: Option<&str>| assert_eq!(merged(path).as_deref(), expect, "{path}");
        check("bin", None);
        check("bin/sh", Some("usr/bin/sh"));
        check("lib64/ld.so", Some("usr/lib64/ld.so"));
        check("library/x", Some("library/x"));
        check("usr/bin", Some("usr/bin"));
    }

    #[test]
    fn parts_have_their_folders() {
        let file = |who| Node::file("x", 0o644, &origin(who));
        let tree = tree(&[("a/b/c", file("p")), ("a/d/e", file("q")), ("f", file("q"))]).unwrap();
        let part = tree.part(|_, node| &*node.origin == "p" && !matches!(node.kind, Kind::Directory));
        assert_eq!(part.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["a", "a/b", "a/b/c"]);
        assert_ne!(part.digest(), tree.digest());
        assert_eq!(tree.part(|_, _| true).digest(), tree.digest());
    }

    #[test]
    fn removes_what_is_below_and_not_what_is_beside() {
        let file = Node::file("x", 0o644, &origin("p"));
        let mut tree = tree(&[("a/b/c", file.clone()), ("a/b-d", file)]).unwrap();
        tree.remove("a/b");
        let left: Vec<_> = tree.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(left, ["a", "a/b-d"]);
    }
}
