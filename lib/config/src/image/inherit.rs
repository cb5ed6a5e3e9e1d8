//! From an image file and those it inherits from to one image.

use toml::Spanned;

use super::file::ImageFile;
use super::{ArchKernel, Disk, Enroll, Image, Kernel, Named};
use crate::Error;
use crate::error::line_of;
use crate::quantity::Size;

/// `ashlar_VERSION+3-0.efi` has to fit two directory entries of a FAT folder's first sector.
const MAX_VERSION: usize = 11;
const DEFAULT_UNITS: &str = "../system-containers";

/// Reads an image file and all that it inherits from. `read` gives the text of a file by its path; paths are joined
/// to the folder of the file that names them.
///
/// # Errors
/// A mistake in one of the files, a cycle of inheritance, a unit that is named twice, or `read`'s own.
pub fn resolve(file: &str, read: &mut dyn FnMut(&str) -> Result<String, Error>) -> Result<Image, Error> {
    let mut gathered = Gathered::default();
    gathered.add(file, &mut Vec::new(), read)?;
    gathered.finish(file)
}

#[derive(Default)]
struct Gathered {
    name: Option<Named>,
    version: Option<Named>,
    suites: Vec<String>,
    components: Vec<String>,
    packages: Vec<String>,
    exclude: Vec<String>,
    drop: Vec<Named>,
    units: Vec<Named>,
    unit_folders: Vec<String>,
    kernel: Kernel,
    esp_size: Option<Size>,
    slot_size: Option<Size>,
    update_root: Option<Named>,
    secure_boot: Option<Named>,
    enroll: Option<Enroll>,
    /// Files that are in already: two that inherit from a third do not repeat it.
    seen: Vec<String>,
}

impl Gathered {
    fn add(
        &mut self,
        file: &str,
        chain: &mut Vec<String>,
        read: &mut dyn FnMut(&str) -> Result<String, Error>,
    ) -> Result<(), Error> {
        if self.seen.iter().any(|seen| seen == file) {
            return Ok(());
        }
        let text = read(file)?;
        let written = ImageFile::parse(file, &text)?;
        chain.push(file.into());
        for parent in &written.inherits {
            let path = beside(file, parent.get_ref());
            if let Some(start) = chain.iter().position(|link| *link == path) {
                let circle = [&chain[start..], &[path]].concat().join(" -> ");
                let line = Some(line_of(&text, parent.span().start));
                return Err(Error {
                    file: file.into(),
                    line,
                    message: format!("`inherits` goes in a circle: {circle}"),
                });
            }
            self.add(&path, chain, read).map_err(|error| said_by(file, &text, parent, error))?;
        }
        chain.pop();
        self.seen.push(file.into());
        self.take(file, &text, written);
        Ok(())
    }

    fn take(&mut self, file: &str, text: &str, written: ImageFile) {
        let named = |value: Spanned<String>| Named {
            line: line_of(text, value.span().start),
            file: file.into(),
            name: value.into_inner(),
        };
        self.name = written.name.map(named).or(self.name.take());
        self.version = written.version.map(named).or(self.version.take());
        self.suites.extend(written.suites);
        self.components.extend(written.components);
        self.packages.extend(written.packages);
        self.exclude.extend(written.exclude);
        self.drop.extend(written.drop.into_iter().map(named));
        self.units.extend(written.units.into_iter().map(named));
        self.unit_folders.extend(written.unit_folders.iter().map(|folder| beside(file, folder)));
        self.kernel.parameters.extend(written.kernel.parameters);
        self.kernel.initramfs_modules.extend(written.kernel.initramfs_modules);
        self.kernel.modules.extend(written.kernel.modules);
        append(&mut self.kernel.x86_64, written.kernel.x86_64);
        append(&mut self.kernel.aarch64, written.kernel.aarch64);
        self.esp_size = written.disk.esp_size.or(self.esp_size);
        self.slot_size = written.disk.slot_size.or(self.slot_size);
        let path = |value: Spanned<String>| Named { name: beside(file, value.get_ref()), ..named(value) };
        self.update_root = written.update.root.map(path).or(self.update_root.take());
        self.secure_boot = written.secure_boot.keys.map(path).or(self.secure_boot.take());
        self.enroll = written.secure_boot.enroll.or(self.enroll);
    }

    fn finish(mut self, file: &str) -> Result<Image, Error> {
        let missing = |key: &str| Error::whole(file, format!("`{key}` is missing, here and in what it inherits"));
        let name = self.name.take().ok_or_else(|| missing("name"))?;
        let version = self.version.take().ok_or_else(|| missing("version"))?;
        check_name(&name)?;
        check_version(&version)?;
        if self.suites.is_empty() {
            return Err(missing("suites"));
        }
        if let Some(repeated) = repeated(&self.units) {
            return Err(repeated);
        }
        if let Some(bad) = self.drop.iter().find(|path| !path.name.starts_with('/')) {
            return Err(at(bad, format!("`{}` in `drop` is no absolute path", bad.name)));
        }
        if self.components.is_empty() {
            self.components.push("main".into());
        }
        if self.unit_folders.is_empty() {
            self.unit_folders.push(beside(file, DEFAULT_UNITS));
        }
        let esp_size = self.esp_size.unwrap_or(Size(512 << 20));
        let slot_size = self.slot_size.unwrap_or(Size(1 << 30));
        Ok(Image {
            name: name.name,
            version: version.name,
            suites: unique(self.suites),
            components: unique(self.components),
            packages: unique(self.packages),
            exclude: unique(self.exclude),
            drop: unique(self.drop.into_iter().map(|path| path.name).collect()),
            units: self.units,
            unit_folders: unique(self.unit_folders),
            kernel: self.kernel,
            disk: Disk { esp_size, slot_size },
            update_root: self.update_root,
            secure_boot: self.secure_boot,
            enroll: self.enroll.unwrap_or_default(),
        })
    }
}

fn append(kernel: &mut ArchKernel, more: ArchKernel) {
    kernel.package = more.package.or(kernel.package.take());
    kernel.parameters.extend(more.parameters);
    kernel.initramfs_modules.extend(more.initramfs_modules);
}

/// A file that cannot be read is the mistake of the line that names it.
fn said_by(file: &str, text: &str, parent: &Spanned<String>, error: Error) -> Error {
    if error.line.is_some() || error.file != beside(file, parent.get_ref()) {
        return error;
    }
    let line = Some(line_of(text, parent.span().start));
    Error { file: file.into(), line, message: format!("inherit from {}: {}", error.file, error.message) }
}

fn at(named: &Named, message: String) -> Error {
    Error { file: named.file.clone(), line: Some(named.line), message }
}

fn check_name(name: &Named) -> Result<(), Error> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !name.name.is_empty() && name.name.chars().all(good) {
        return Ok(());
    }
    Err(at(name, format!("`{}` cannot name an image: use lower-case letters, digits and `-`", name.name)))
}

fn check_version(version: &Named) -> Result<(), Error> {
    let text = &version.name;
    let good = |c: char| c.is_ascii_alphanumeric() || ".-~^".contains(c);
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(good) {
        return Err(at(version, format!("`{text}` is no version: use letters, digits and `.-~^`")));
    }
    if text.len() > MAX_VERSION {
        let message =
            format!("version `{text}` is longer than {MAX_VERSION} characters: a boot entry has no room for it");
        return Err(at(version, message));
    }
    Ok(())
}

impl Image {
    /// Gives the image another version than its file says; `origin` is named in errors.
    ///
    /// # Errors
    /// The text is no version.
    pub fn set_version(&mut self, origin: &str, version: &str) -> Result<(), Error> {
        let named = Named { name: version.into(), file: origin.into(), line: 0 };
        check_version(&named).map_err(|error| Error { line: None, ..error })?;
        self.version = named.name;
        Ok(())
    }
}

fn repeated(units: &[Named]) -> Option<Error> {
    units.iter().enumerate().find_map(|(at_index, unit)| {
        let first = units[..at_index].iter().find(|first| first.name == unit.name)?;
        Some(at(unit, format!("unit `{}` is there already, from {}:{}", unit.name, first.file, first.line)))
    })
}

/// Each once, where it stands first.
fn unique(list: Vec<String>) -> Vec<String> {
    let mut unique: Vec<String> = Vec::with_capacity(list.len());
    for item in list {
        if !unique.contains(&item) {
            unique.push(item);
        }
    }
    unique
}

/// `path` as seen from the folder of `file`, with `.` and `..` taken away where that can be done.
fn beside(file: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.into();
    }
    let folder = file.rsplit_once('/').map(|(folder, _)| folder);
    let mut parts: Vec<&str> = folder.into_iter().flat_map(|folder| folder.split('/')).collect();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("." | "", _) => {}
            ("..", Some(last)) if !["..", ".", ""].contains(last) => drop(parts.pop()),
            ("..", Some(&".")) => *parts.last_mut().expect("it has one") = "..",
            _ => parts.push(part),
        }
    }
    if parts.is_empty() { ".".into() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "name='i'\nversion='1'\nsuites=['s']\n";

    fn image(files: &[(&str, &str)]) -> Result<Image, String> {
        let mut read = |path: &str| {
            let text = files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
            text.ok_or_else(|| Error::whole(path, "there is no such file"))
        };
        resolve(files[0].0, &mut read).map_err(|error| error.to_string())
    }

    #[test]
    fn appends_lists_and_overrides_values() {
        let base = "name='base'\nversion='1'\nsuites=['trixie']\npackages=['a','b']\nunits=['u']\n[kernel]\nparameters=['p']\n[kernel.x86_64]\npackage='k'\nparameters=['x']\n[disk]\nslot-size='2G'";
        let top =
            "inherits=['base.toml']\nname='top'\npackages=['c','a']\nunits=['v']\n[kernel.x86_64]\nparameters=['y']";
        let image = image(&[("i/top.toml", top), ("i/base.toml", base)]).unwrap();
        assert_eq!((image.name.as_str(), image.version.as_str()), ("top", "1"));
        assert_eq!(image.packages, ["a", "b", "c"]);
        assert_eq!(image.units.iter().map(|unit| unit.name.as_str()).collect::<Vec<_>>(), ["u", "v"]);
        assert_eq!(image.kernel.parameters_of("x86_64"), ["p", "x", "y"]);
        assert_eq!(image.kernel.parameters_of("aarch64"), ["p"]);
        assert_eq!(image.kernel.of("x86_64").package.as_deref(), Some("k"));
        assert_eq!(image.disk, Disk { esp_size: Size(512 << 20), slot_size: Size(2 << 30) });
        assert_eq!((image.components, image.unit_folders), (vec!["main".into()], vec!["system-containers".into()]));
    }

    #[test]
    fn inherits_from_one_file_once() {
        let files = [
            ("top", "inherits=['l','r']\n"),
            ("l", "inherits=['b']"),
            ("r", "inherits=['b']"),
            ("b", "name='b'\nversion='1'\nsuites=['s']\nunits=['u']\n"),
        ];
        assert_eq!(image(&files).unwrap().units.len(), 1);
    }

    #[test]
    fn mistakes() {
        let check = |files: &[(&str, &str)], expect: &str| assert_eq!(image(files).unwrap_err(), expect);
        check(&[("a", "")], "a: `name` is missing, here and in what it inherits");
        check(&[("a", "\ninherits=['a']")], "a:2: `inherits` goes in a circle: a -> a");
        check(
            &[("a", "inherits=['b']"), ("b", "inherits=['c']"), ("c", "\n\ninherits=['a']")],
            "c:3: `inherits` goes in a circle: a -> b -> c -> a",
        );
        check(&[("a", "\ninherits=['b']")], "a:2: inherit from b: there is no such file");
        check(&[("a", "inherits=['b']"), ("b", "x=1")], &image(&[("b", "x=1")]).unwrap_err());
        check(
            &[("a", &format!("inherits=['b']\nunits=['u']\n{HEAD}")), ("b", "units=[\n'u']")],
            "a:2: unit `u` is there already, from b:2",
        );
        check(
            &[("a", &HEAD.replace("'i'", "'I'"))],
            "a:1: `I` cannot name an image: use lower-case letters, digits and `-`",
        );
        check(&[("a", &HEAD.replace("'1'", "'1+2'"))], "a:2: `1+2` is no version: use letters, digits and `.-~^`");
        check(
            &[("a", &HEAD.replace("'1'", "'123456789.12'"))],
            "a:2: version `123456789.12` is longer than 11 characters: a boot entry has no room for it",
        );
        check(&[("a", &format!("{HEAD}drop=['usr']"))], "a:4: `usr` in `drop` is no absolute path");
    }

    #[test]
    fn paths() {
        let check = |file, path, expect| assert_eq!(beside(file, path), expect, "{file} {path}");
        check("images/a.toml", "b.toml", "images/b.toml");
        check("images/a.toml", "../units", "units");
        check("a.toml", "../units", "../units");
        check("./a.toml", "../units", "../units");
        check("/x/a.toml", "../u", "/u");
        check("x/a.toml", "/u", "/u");
    }
}
