//! Unpacked packages, kept: decompressing them is half of the work of a build, and hardly any of them changes from one
//! build to the next.
//!
//! A pack is a plain tar of what an image may want of a package, with the SHA-256 of the tar behind it; a damaged one
//! is made again. Not here: which packages make up which root.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ashlar_fetch::Digest;

use crate::debian::compression::{Compression, expand};
use crate::debian::{self, Limits, Package, Store, Unpacked, untar, workers};
use crate::tree::{self, Glob, Tree};

/// Changes with what is in a pack.
const FORMAT: u32 = 1;
/// The digest, as 64 digits.
const TRAILER: usize = 64;
/// A kernel module, unpacked.
const MAX_MODULE: u64 = 256 << 20;

/// What no image has: documentation, translations, other package managers' and init systems' files.
const NEVER: [&str; 27] = [
    "/usr/share/doc",
    "/usr/share/doc-base",
    "/usr/share/man",
    "/usr/share/info",
    "/usr/share/locale",
    "/usr/share/i18n",
    "/usr/share/lintian",
    "/usr/share/linda",
    "/usr/share/bug",
    "/usr/share/bash-completion",
    "/usr/share/zsh",
    "/usr/share/fish",
    "/usr/share/gtk-doc",
    "/usr/share/menu",
    "/usr/share/apport",
    "/usr/share/initramfs-tools",
    "/etc/apt",
    "/etc/cron.*",
    "/etc/default",
    "/etc/dpkg",
    "/etc/init.d",
    "/etc/kernel",
    "/etc/logrotate.d",
    "/etc/rc?.d",
    "/usr/lib/kernel",
    "/var/lib/dpkg",
    "/var/cache",
];

/// A pack cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The package cannot be got or unpacked.
    #[error(transparent)]
    Store(#[from] debian::StoreError),
    /// Its files do not make a tree.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// A compressed file in it is damaged.
    #[error("unpack {path} of package {package}")]
    Module {
        /// Package.
        package: String,
        /// File.
        path: String,
        /// What is wrong.
        source: io::Error,
    },
    /// The cache cannot be read or written.
    #[error("write {path}")]
    File {
        /// File.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

/// A folder of packs over a store of packages.
pub struct Packs {
    store: Store,
    folder: PathBuf,
    never: Vec<Glob>,
}

impl Packs {
    /// Opens a folder of packs, which is made where it is missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: PathBuf, store: Store) -> Result<Self, Error> {
        fs::create_dir_all(&folder).map_err(|source| Error::File { path: folder.clone(), source })?;
        Ok(Self { store, folder, never: NEVER.iter().map(|pattern| Glob::new(pattern)).collect() })
    }

    /// The trees of packages, by the package's name; fetched and unpacked on all processors where they are missing.
    ///
    /// # Errors
    /// A package cannot be got or unpacked, or the cache cannot be written.
    pub fn trees(&self, packages: &[&Package]) -> Result<BTreeMap<String, Tree>, Error> {
        let missing: Vec<_> = packages.iter().copied().filter(|package| !self.path(package).is_file()).collect();
        self.store.ensure(&missing)?;
        let mut order = packages.to_vec();
        // The largest first: begun last, it would keep one processor busy while the others wait.
        order.sort_by_key(|package| (std::cmp::Reverse(package.size), &package.name));
        let tree = |package: &&Package| Ok::<_, Error>((package.name.clone(), self.tree(package)?));
        Ok(workers::run(workers::processors(), &order, tree)?.into_iter().collect())
    }

    fn tree(&self, package: &Package) -> Result<Tree, Error> {
        let path = self.path(package);
        if let Some(entries) = fs::read(&path).ok().and_then(|bytes| untar(checked(&bytes)?, Limits::default()).ok()) {
            return Ok(Tree::of_package(Unpacked { package, entries })?);
        }
        let keep = |path: &str| !self.never.iter().any(|glob| glob.matches(path));
        let mut unpacked = self.store.unpack(package, &keep)?;
        unpacked.entries.iter_mut().try_for_each(|entry| plain_module(package, entry))?;
        let tree = Tree::of_package(unpacked)?;
        write(&path, &tree).map_err(|source| Error::File { path, source })?;
        Ok(tree)
    }

    fn path(&self, package: &Package) -> PathBuf {
        self.folder.join(format!("{}.{FORMAT}", package.sha256))
    }
}

/// Kernel modules are kept uncompressed: compressed ones differ everywhere after a small change, and the root is
/// compressed as a whole anyway.
fn plain_module(package: &Package, entry: &mut debian::Entry) -> Result<(), Error> {
    let compressions = [(".ko.xz", Compression::Xz), (".ko.zst", Compression::Zstd)];
    let Some((end, compression)) = compressions.into_iter().find(|(end, _)| entry.path.ends_with(end)) else {
        return Ok(());
    };
    if let debian::Kind::File(content) = &mut entry.kind {
        *content = expand(compression, content, MAX_MODULE).map_err(|source| {
            let (package, path) = (package.name.clone(), entry.path.clone());
            Error::Module { package, path, source }
        })?;
        entry.path.truncate(entry.path.len() - end.len() + ".ko".len());
    }
    Ok(())
}

/// The tar in a pack, if it is whole.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (tar, trailer) = bytes.split_at_checked(bytes.len().checked_sub(TRAILER)?)?;
    (Digest::of(tar).to_string().as_bytes() == trailer).then_some(tar)
}

fn write(path: &Path, tree: &Tree) -> io::Result<()> {
    let mut bytes = Vec::new();
    tree::write_tar(tree, 0, &mut bytes)?;
    let digest = Digest::of(&bytes);
    bytes.extend_from_slice(digest.to_string().as_bytes());
    let part = path.with_extension(format!("part{}", std::process::id()));
    let written = fs::write(&part, &bytes).and_then(|()| fs::rename(&part, path));
    written.inspect_err(|_| drop(fs::remove_file(&part)))
}
