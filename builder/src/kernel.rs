//! The kernel: its image, and its modules with the indices that modprobe reads, made by the locked depmod.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};

use crate::steps::{Key, Steps};
use crate::tools::Tools;
use crate::tree::{Glob, Kind, Node, PACKAGE, Tree};

const MODULES: &str = "usr/lib/modules/";
const IMAGE: &str = "boot/vmlinuz-";
/// Indices as text that have a binary form, which is the one that is read.
const SPARE: [&str; 3] = ["modules.alias", "modules.symbols", "modules.builtin.alias"];

/// A kernel.
pub struct Kernel {
    /// As uname(1) prints it.
    pub release: String,
    /// The image, a PE file.
    pub image: Arc<Vec<u8>>,
    /// Modules and indices, at their place in the root.
    pub modules: Tree,
}

/// Takes the kernel out of its packages' trees. `keep` are globs on modules' paths below `kernel/`; all if empty.
///
/// # Errors
/// The packages hold no kernel, or several; or depmod fails.
pub fn take<'a>(
    packages: impl Iterator<Item = &'a Tree>,
    keep: &[String],
    tools: &Tools,
    key: Key,
    steps: &Steps,
) -> anyhow::Result<Kernel> {
    let mut tree = Tree::default();
    packages.into_iter().try_for_each(|package| tree.overlay(package))?;
    let images: Vec<(&String, &Node)> = tree.below(IMAGE).collect();
    let [(path, Node { kind: Kind::File(image), .. })] = images[..] else {
        bail!("find the kernel: its package and what that depends on hold {} of them, not one", images.len());
    };
    let release = path[IMAGE.len()..].to_owned();
    let image = Arc::clone(image);
    let prefix = format!("{MODULES}{release}/");
    let mut modules = tree;
    modules.retain(|path, _| path.starts_with(&prefix) && !path.ends_with("/build") && !path.ends_with("/source"));
    let full = index(&modules, &release, tools, key.clone().with("kept", b"all"), steps)?;
    let modules = if keep.is_empty() { full } else { kept(&full, modules, &release, keep, tools, key, steps)? };
    Ok(Kernel { release, image, modules })
}

/// The wanted modules and those that they need, with indices of their own.
fn kept(
    full: &Tree,
    mut modules: Tree,
    release: &str,
    keep: &[String],
    tools: &Tools,
    key: Key,
    steps: &Steps,
) -> anyhow::Result<Tree> {
    let globs: Vec<Glob> = keep.iter().map(|glob| Glob::new(glob)).collect();
    let dependencies = text(full, release, "modules.dep")?;
    let mut wanted = std::collections::BTreeSet::new();
    for line in dependencies.lines() {
        let Some((module, needs)) = line.split_once(':') else { continue };
        let below = module.strip_prefix("kernel/").unwrap_or(module);
        if globs.iter().any(|glob| glob.matches(below)) {
            wanted.insert(module);
            wanted.extend(needs.split_whitespace());
        }
    }
    let prefix = format!("{MODULES}{release}/");
    modules.retain(|path, _| !path.ends_with(".ko") || wanted.contains(&path[prefix.len()..]));
    index(&modules, release, tools, key.with("kept", keep.join("\n").as_bytes()), steps)
}

/// Adds depmod's indices.
fn index(modules: &Tree, release: &str, tools: &Tools, key: Key, steps: &Steps) -> anyhow::Result<Tree> {
    let folder = steps.result(&key, |result| {
        let stage = steps.scratch()?;
        lay_out(modules, stage.path()).with_context(|| format!("write modules to {}", stage.path().display()))?;
        tools.run(stage.path(), "/usr/sbin/depmod", &["-b", ".", release], None)?;
        let made = stage.path().join(MODULES).join(release);
        for entry in fs::read_dir(&made).with_context(|| format!("read {}", made.display()))? {
            let path = entry?.path();
            let Some(name) = path.file_name().filter(|_| path.is_file()) else { continue };
            fs::copy(&path, result.join(name)).with_context(|| format!("write {}", result.display()))?;
        }
        Ok(())
    })?;
    let folder = folder.path();
    let origin: Arc<str> = format!("{PACKAGE}kmod").into();
    let mut indexed = modules.clone();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let content = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        let place = format!("{MODULES}{release}/{name}");
        if SPARE.contains(&name) {
            indexed.remove(&place);
        } else {
            indexed.set(&place, Node::file(content, 0o644, &origin))?;
        }
    }
    Ok(indexed)
}

fn lay_out(modules: &Tree, stage: &Path) -> std::io::Result<()> {
    for (path, node) in modules.iter() {
        let at = stage.join(path);
        match &node.kind {
            Kind::Directory => fs::create_dir_all(&at)?,
            Kind::File(content) => {
                fs::create_dir_all(at.parent().unwrap_or(stage))?;
                fs::write(&at, content.as_slice())?;
            }
            Kind::Symlink(_) => {}
        }
    }
    // depmod looks below lib or usr/lib, as it was built.
    std::os::unix::fs::symlink("usr/lib", stage.join("lib"))
}

fn text(modules: &Tree, release: &str, name: &str) -> anyhow::Result<String> {
    let content = modules.read(&format!("{MODULES}{release}/{name}"));
    let content = content.with_context(|| format!("read the kernel's {name}: there is none"))?;
    Ok(String::from_utf8_lossy(content).into_owned())
}

impl Kernel {
    /// One of the indices of its modules, as text.
    ///
    /// # Errors
    /// There is none.
    pub fn index(&self, name: &str) -> anyhow::Result<String> {
        text(&self.modules, &self.release, name)
    }

    /// A module's file, by its path in modules.dep.
    pub fn module(&self, path: &str) -> Option<Vec<u8>> {
        self.modules.read(&format!("{MODULES}{}/{path}", self.release)).map(|content| content.to_vec())
    }
}
