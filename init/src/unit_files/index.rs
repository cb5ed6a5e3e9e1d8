//! All names of the folders of unit files, read at once, and what belongs to one unit.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ashlar_config::systemd::install::Install;
use ashlar_config::systemd::{Host, Sources, Text, is_template, kind_of, read, template_of};
use ashlar_config::unit::{Load, Unit, is_unit_name};

use super::FOLDERS;
use crate::small_file;

/// Links of links.
const DEPTH: usize = 8;

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A file of its own.
    File(PathBuf),
    /// Another unit.
    Alias(String),
    /// Nothing, on purpose.
    Masked(PathBuf),
}

/// One entry of a folder of pulls.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pulled {
    unit: String,
    masked: bool,
}

/// Everything that there is.
#[derive(Debug, Default)]
pub struct Index {
    files: BTreeMap<String, Found>,
    /// Folders whose name ends in `.d`, the first one counts for a name in them.
    drop_ins: BTreeMap<String, Vec<PathBuf>>,
    /// By the folder's name.
    pulled: BTreeMap<String, Vec<Pulled>>,
}

impl Index {
    /// Reads the machine's folders.
    pub fn read() -> Self {
        Self::below(Path::new("/"))
    }

    /// Reads the folders of another root.
    pub fn below(root: &Path) -> Self {
        let mut index = Self::default();
        for folder in FOLDERS {
            index.take_folder(&root.join(folder.trim_start_matches('/')));
        }
        index
    }

    fn take_folder(&mut self, folder: &Path) {
        for (name, path) in entries(folder) {
            let is_folder = path.is_dir();
            if is_folder && name.ends_with(".d") {
                self.drop_ins.entry(name).or_default().push(path);
            } else if is_folder && super::pulls(&path) {
                let known = self.pulled.entry(name).or_default();
                for (unit, link) in entries(&path).into_iter().filter(|(unit, _)| is_unit_name(unit)) {
                    if known.iter().all(|pulled| pulled.unit != unit) {
                        known.push(Pulled { unit, masked: is_mask(&link) });
                    }
                }
            } else if !is_folder && is_unit_name(&name) {
                let found = found(&name, path);
                self.files.entry(name).or_insert(found);
            }
        }
    }

    /// What a name stands for; an instance without a file of its own is its template's.
    pub fn find(&self, name: &str) -> Option<&Found> {
        self.files.get(name).or_else(|| self.files.get(&template_of(name)?))
    }

    /// The unit that a name means in the end.
    pub fn resolve(&self, name: &str) -> String {
        let mut name = name.to_owned();
        for _ in 0..DEPTH {
            match self.find(&name) {
                Some(Found::Alias(target)) if is_template(target) => {
                    let (_, instance) = ashlar_config::systemd::specifier::parts(&name);
                    let next = ashlar_config::systemd::instance_of(target, instance);
                    if next == name {
                        return name;
                    }
                    name = next;
                }
                Some(Found::Alias(target)) => name.clone_from(target),
                _ => break,
            }
        }
        name
    }

    /// Whether a unit of the image has a file of its own, or one that changes it.
    pub fn mentions(&self, name: &str) -> bool {
        self.find(name).is_some() || !self.drop_ins_of(name).is_empty()
    }

    /// Every name, with what it stands for.
    pub fn files(&self) -> impl Iterator<Item = (&String, &Found)> {
        self.files.iter()
    }

    /// Other names of a unit.
    fn aliases_of(&self, name: &str) -> Vec<String> {
        let links = self.files.iter().filter(|(_, found)| matches!(found, Found::Alias(_)));
        links.map(|(alias, _)| alias).filter(|alias| self.resolve(alias) == name).cloned().collect()
    }

    /// Whether one unit's pull on another is taken back.
    pub fn is_pull_masked(&self, by: &str, unit: &str) -> bool {
        let folder = self.pulled.get(&format!("{by}.wants"));
        folder.into_iter().flatten().any(|pulled| pulled.unit == unit && pulled.masked)
    }

    /// Reads a unit: one of the image (`base`) with what changes it, or one that has files only.
    pub fn load(&self, name: &str, base: Option<Unit>, host: &Host) -> Option<Unit> {
        self.load_with_install(name, base, host).map(|(unit, _)| unit)
    }

    /// The same, with what its file says of enabling it.
    pub fn load_with_install(&self, name: &str, base: Option<Unit>, host: &Host) -> Option<(Unit, Install)> {
        let mut sources = Sources { name: name.to_owned(), base, ..Sources::default() };
        let mut unreadable = None;
        match self.find(name) {
            Some(Found::Masked(path)) => return Some((masked(name, path), Install::default())),
            Some(Found::File(path)) => match text(path) {
                Ok(text) if text.text.is_empty() => return Some((masked(name, path), Install::default())),
                Ok(text) => {
                    // A file of its own stands in the place of what the image has.
                    sources.base = None;
                    sources.fragment = Some(text);
                }
                Err(error) => unreadable = Some(format!("cannot read {}: {error}", path.display())),
            },
            Some(Found::Alias(_)) => return None,
            None => {}
        }
        sources.drop_ins = self.drop_ins_of(name).iter().filter_map(|path| text(path).ok()).collect();
        let pulled = |suffix: &str| -> Vec<String> {
            let pulled = self.pulled.get(&format!("{name}.{suffix}")).into_iter().flatten();
            pulled.filter(|pulled| !pulled.masked).map(|pulled| pulled.unit.clone()).collect()
        };
        (sources.wants, sources.requires, sources.upholds) = (pulled("wants"), pulled("requires"), pulled("upholds"));
        let pulls = [&sources.wants, &sources.requires, &sources.upholds].iter().any(|list| !list.is_empty());
        let nothing = sources.fragment.is_none() && sources.drop_ins.is_empty();
        if nothing && sources.base.is_none() && unreadable.is_none() {
            return None;
        }
        if nothing && !pulls {
            let mut unit = sources.base.unwrap_or_else(|| Unit { name: name.to_owned(), ..Unit::default() });
            if let Some(error) = unreadable {
                (unit.source.load, unit.source.error) = (Load::Error, error);
            }
            return Some((self.named(unit), Install::default()));
        }
        // Slices and targets are what they are without a file; anything else has to have one.
        let bare = sources.base.is_none() && sources.fragment.is_none();
        if bare && !["slice", "target"].contains(&kind_of(name)) {
            return None;
        }
        let (unit, install) = read(&sources, host);
        Some((self.named(unit), install))
    }

    /// With its other names, and without the pulls that are taken back.
    fn named(&self, mut unit: Unit) -> Unit {
        let aliases = self.aliases_of(&unit.name);
        unit.aliases.extend(aliases);
        unit.aliases.sort();
        unit.aliases.dedup();
        let name = unit.name.clone();
        unit.wanted_by.retain(|by| !self.is_pull_masked(by, &name));
        unit
    }

    /// Files that change a unit, in order: by name, whichever folder they are in.
    fn drop_ins_of(&self, name: &str) -> Vec<PathBuf> {
        let mut found: BTreeMap<String, PathBuf> = BTreeMap::new();
        for folder in folders_of(name).iter().filter_map(|folder| self.drop_ins.get(folder)).flatten() {
            for (file, path) in entries(folder).into_iter().filter(|(file, _)| file.ends_with(".conf")) {
                found.entry(file).or_insert(path);
            }
        }
        found.into_values().filter(|path| !is_mask(path)).collect()
    }

    /// Folders that hold something of a unit's, of those that an administrator writes to: for `revert`.
    pub fn changes_of(&self, name: &str) -> Vec<PathBuf> {
        self.drop_ins.get(&format!("{name}.d")).into_iter().flatten().cloned().collect()
    }
}

/// Names of the folders whose files change a unit, the most special one first.
fn folders_of(name: &str) -> Vec<String> {
    let mut folders = vec![format!("{name}.d")];
    folders.extend(template_of(name).map(|template| format!("{template}.d")));
    let kind = kind_of(name);
    let stem = name.strip_suffix(&format!(".{kind}")).unwrap_or(name);
    let ends = stem.match_indices('-').map(|(at, _)| at).filter(|at| *at > 0 && at + 1 < stem.len());
    let mut prefixes: Vec<String> = ends.map(|at| format!("{}-.{kind}.d", &stem[..at])).collect();
    prefixes.reverse();
    folders.extend(prefixes);
    folders.push(format!("{kind}.d"));
    folders
}

fn entries(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut list: Vec<(String, PathBuf)> =
        entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect();
    list.sort();
    list
}

/// A link to the null device.
pub fn is_mask(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target == Path::new("/dev/null"))
}

/// A link to a file of the same name, or of the template's, is that file; one to another name is another name.
fn found(name: &str, path: PathBuf) -> Found {
    let Ok(target) = fs::read_link(&path) else { return Found::File(path) };
    if is_mask(&path) {
        return Found::Masked(path);
    }
    let base = target.file_name().and_then(|base| base.to_str()).unwrap_or_default();
    let same = base == name || template_of(name).as_deref() == Some(base);
    match same || !is_unit_name(base) || kind_of(base) != kind_of(name) {
        true => Found::File(path),
        false => Found::Alias(base.to_owned()),
    }
}

fn text(path: &Path) -> std::io::Result<Text> {
    Ok(Text { path: path.display().to_string(), text: small_file::read(path)? })
}

fn masked(name: &str, path: &Path) -> Unit {
    let mut unit = Unit { name: name.to_owned(), description: name.to_owned(), ..Unit::default() };
    (unit.source.load, unit.source.fragment) = (Load::Masked, path.display().to_string());
    unit.source.error = format!("Unit {name} is masked.");
    unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A root with files, `path=text`; `path>target` is a link.
    pub fn root(files: &[&str]) -> PathBuf {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("unit-files-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        for file in files {
            let (path, rest) = file.split_at(file.find(['=', '>']).unwrap());
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match rest.strip_prefix('>') {
                Some(target) => symlink(target, &path).unwrap(),
                None => fs::write(&path, &rest[1..]).unwrap(),
            }
        }
        root
    }

    const SERVICE: &str = "etc/systemd/system/a.service=[Service]\nExecStart=/bin/x";

    #[test]
    fn names() {
        let root = root(&[
            SERVICE,
            "etc/systemd/system/t@.service=[Service]\nExecStart=/bin/t %i",
            "etc/systemd/system/b.service>/etc/systemd/system/a.service",
            "etc/systemd/system/m.service>/dev/null",
            "etc/systemd/system/u@7.service>/etc/systemd/system/t@.service",
            "run/systemd/system/a.service=[Service]\nExecStart=/bin/other",
            "etc/systemd/system/x.wants/nonsense=",
        ]);
        let index = Index::below(&root);
        let load = |name: &str| index.load(name, None, &Host::default());
        assert_eq!(index.resolve("b.service"), "a.service");
        assert_eq!(index.resolve("u@7.service"), "t@7.service");
        let a = load("a.service").unwrap();
        assert!(a.source.fragment.ends_with("etc/systemd/system/a.service"));
        assert_eq!(a.aliases, ["b.service"]);
        assert_eq!(load("m.service").unwrap().source.load, Load::Masked);
        assert_eq!(load("t@1.service").unwrap().slice, "system-t.slice");
        assert_eq!(load("none.service"), None);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn what_changes_a_unit() {
        let root = root(&[
            "etc/systemd/system/a-b.service=[Service]\nExecStart=/bin/x",
            "etc/systemd/system/a-b.service.d/20.conf=[Unit]\nDescription=own",
            "run/systemd/system/a-b.service.d/10.conf=[Unit]\nDescription=first\nAfter=q.target",
            "etc/systemd/system/a-.service.d/30.conf=[Service]\nNice=5",
            "etc/systemd/system/service.d/40.conf=[Unit]\nAfter=w.target",
            "etc/systemd/system/a-b.service.d/50.conf>/dev/null",
            "run/systemd/system/a-b.service.d/50.conf=[Unit]\nDescription=masked",
            "etc/systemd/system/m.target.wants/a-b.service>../a-b.service",
            "etc/systemd/system/m.target.wants/gone.service>/dev/null",
        ]);
        let index = Index::below(&root);
        let unit = index.load("a-b.service", None, &Host::default()).unwrap();
        assert_eq!(unit.description, "own");
        assert!(unit.dependencies.after.contains(&"q.target".into()));
        assert!(unit.dependencies.after.contains(&"w.target".into()));
        assert_eq!(unit.source.drop_ins.len(), 4);
        let base = Unit { name: "m.target".into(), ..Unit::default() };
        let target = index.load("m.target", Some(base), &Host::default()).unwrap();
        assert_eq!(target.dependencies.wants, ["a-b.service"]);
        assert!(index.is_pull_masked("m.target", "gone.service"));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn folders_of_changes() {
        assert_eq!(
            folders_of("a-b-c@x.service"),
            ["a-b-c@x.service.d", "a-b-c@.service.d", "a-b-.service.d", "a-.service.d", "service.d"]
        );
    }
}
