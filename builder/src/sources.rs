//! What people wrote: the image with all that it inherits, and the folders of its units. Read whole before anything
//! is fetched, so that a mistake costs nobody a download.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ashlar_config::image::{Image, Named};
use ashlar_config::nearest::nearest;
use ashlar_config::unit::UnitFile;
use ashlar_fetch::Digest;
use ashlar_formats::tuf;

use crate::debian::Arch;

const UNIT_FILE: &str = "unit.toml";
/// A value in a unit's `files` that takes one of our programs instead of a file of the folder.
const PROGRAM: &str = "program:";

/// An image and its units, as written.
#[derive(Debug)]
pub struct Sources {
    /// The image with all that it inherited.
    pub image: Image,
    /// Folder of the image file; the locks stand there too.
    pub folder: PathBuf,
    /// Sorted by name.
    pub units: Vec<UnitSource>,
    /// The publisher's root, whose releases the image takes.
    pub trust: Option<Vec<u8>>,
}

/// One unit's folder.
#[derive(Debug)]
pub struct UnitSource {
    /// Name of the folder.
    pub name: String,
    /// Path of `unit.toml`, for errors.
    pub file: String,
    /// Its text, for the lines in errors.
    pub text: String,
    /// What it says.
    pub written: UnitFile,
    /// What it brings, by absolute path in the container.
    pub files: BTreeMap<String, UnitContent>,
    /// Digest of all of it.
    pub digest: Digest,
}

/// A file that a unit brings.
#[derive(Debug)]
pub enum UnitContent {
    /// Of its folder.
    File {
        /// Content.
        content: Vec<u8>,
        /// Whether it is to be executed.
        executable: bool,
    },
    /// One of our programs, by name.
    Program(String),
}

/// The sources do not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A mistake in a file.
    #[error(transparent)]
    Config(#[from] ashlar_config::Error),
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A unit has no folder.
    #[error("{}:{}: find unit `{}`: there is no {folders}{}", .unit.file, .unit.line, .unit.name,
        .nearest.as_deref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    NoUnit {
        /// Where it is named.
        unit: Named,
        /// Where it was looked for.
        folders: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
}

impl UnitSource {
    /// A mistake in its file, in the first line that has `value` in quotes.
    pub fn mistake(&self, value: &str, what: String, remedy: String) -> ashlar_config::Error {
        let quoted = |line: &str| ['"', '\''].iter().any(|quote| line.contains(&format!("{quote}{value}{quote}")));
        let line = self.text.lines().position(quoted).map(|at| at + 1);
        ashlar_config::Error { file: self.file.clone(), line, message: what + &remedy }
    }
}

impl Sources {
    /// Reads an image file and everything that it names.
    ///
    /// # Errors
    /// A file that does not read, or a mistake in one.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let name = file.to_string_lossy().into_owned();
        let image = ashlar_config::image::resolve(&name, &mut |path| {
            let said = |e: io::Error| ashlar_config::Error::whole(path, format!("cannot be read: {e}"));
            fs::read_to_string(path).map_err(said)
        })?;
        let mut units = image.units.iter().map(|unit| read_unit(&image, unit)).collect::<Result<Vec<_>, _>>()?;
        units.sort_by(|a, b| a.name.cmp(&b.name));
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let trust = image.update_root.as_ref().map(read_trust).transpose()?;
        Ok(Self { image, folder, units, trust })
    }

    /// Names of the units that the image could have.
    pub fn known_units(&self) -> BTreeSet<String> {
        let folders = self.image.unit_folders.iter().flat_map(|folder| names_in(Path::new(folder)));
        folders.flat_map(|name| ["service", "socket", "timer"].map(|kind| format!("{name}.{kind}"))).collect()
    }

    /// Where the image's lock for an architecture stands.
    pub fn lock_path(&self, arch: Arch) -> PathBuf {
        self.folder.join(format!("{}.{arch}.lock", self.image.name))
    }

    /// Where the lock of the tools for the building machine stands.
    pub fn tools_lock_path(&self, host: Arch) -> PathBuf {
        self.folder.join(format!("tools.{host}.lock"))
    }
}

/// An image that nobody can update any more is noticed here and not on the machine.
fn read_trust(root: &Named) -> Result<Vec<u8>, Error> {
    let refuse = |what: String| {
        let message = format!("`root` in `update`: {}: {what}", root.name);
        Error::Config(ashlar_config::Error { file: root.file.clone(), line: Some(root.line), message })
    };
    let bytes = fs::read(&root.name).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    tuf::Root::trusted(&bytes).map_err(|error| refuse(error.to_string()))?;
    Ok(bytes)
}

fn read_unit(image: &Image, unit: &Named) -> Result<UnitSource, Error> {
    let folders = image.unit_folders.iter().map(|folder| Path::new(folder).join(&unit.name));
    let plain = !unit.name.is_empty() && !unit.name.contains('/') && !unit.name.starts_with('.');
    let folder = folders.filter(|_| plain).find(|folder| folder.join(UNIT_FILE).is_file());
    let folder = folder.ok_or_else(|| no_unit(image, unit))?;
    let path = folder.join(UNIT_FILE);
    let text = fs::read_to_string(&path).map_err(|source| Error::Read { path: path.clone(), source })?;
    let file = path.to_string_lossy().into_owned();
    let written = UnitFile::parse(&file, &text)?;
    let mut files = BTreeMap::new();
    let mut seen = format!("{}\0{text}\0", unit.name).into_bytes();
    for (target, value) in &written.files {
        let content = read_content(&file, &folder, target, value)?;
        if let UnitContent::File { content, executable } = &content {
            seen.extend_from_slice(format!("{target}\0{executable}\0{}\0", Digest::of(content)).as_bytes());
        }
        files.insert(target.clone(), content);
    }
    Ok(UnitSource { name: unit.name.clone(), file, text, written, files, digest: Digest::of(&seen) })
}

fn read_content(file: &str, folder: &Path, target: &str, value: &str) -> Result<UnitContent, Error> {
    let refuse = |message: String| Error::Config(ashlar_config::Error::whole(file, message));
    let is_plain = |path: &str| path.split('/').all(|part| !["", ".", ".."].contains(&part));
    if !target.strip_prefix('/').is_some_and(is_plain) {
        return Err(refuse(format!("`{target}` in `files` is no absolute path")));
    }
    if let Some(program) = value.strip_prefix(PROGRAM) {
        return Ok(UnitContent::Program(program.to_owned()));
    }
    if !is_plain(value) {
        return Err(refuse(format!("`{value}` in `files` is no file of the unit's folder")));
    }
    let path = folder.join(value);
    let read = fs::read(&path).and_then(|content| Ok((content, fs::metadata(&path)?)));
    let (content, metadata) = read.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => {
            refuse(format!("`{value}` in `files` is not in the unit's folder{}", near(folder, value)))
        }
        _ => Error::Read { path, source },
    })?;
    Ok(UnitContent::File { content, executable: metadata.permissions().mode() & 0o111 != 0 })
}

fn near(folder: &Path, value: &str) -> String {
    let names = names_in(folder);
    let near = nearest(value, names.iter().map(String::as_str));
    near.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

fn no_unit(image: &Image, unit: &Named) -> Error {
    let names: Vec<String> = image.unit_folders.iter().flat_map(|folder| names_in(Path::new(folder))).collect();
    let wanted: Vec<String> =
        image.unit_folders.iter().map(|folder| format!("{folder}/{}/{UNIT_FILE}", unit.name)).collect();
    Error::NoUnit {
        unit: unit.clone(),
        folders: wanted.join(" or "),
        nearest: nearest(&unit.name, names.iter().map(String::as_str)).map(str::to_owned),
    }
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}
