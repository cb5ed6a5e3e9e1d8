//! The packages whose units are counted: those of the image's lock, and `packages.txt`. apt fetches them into a root of its
//! own, because the machine's may be another release.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::project;
use crate::step::{output, run, say};

const LIST: &str = include_str!("packages.txt");
const LOCK: &str = "images/base.x86_64.lock";
const SUITE: &str = "trixie";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where unit files are in a package.
const PLACES: [&str; 3] = ["./usr/lib/systemd/system", "./lib/systemd/system", "./etc/systemd/system"];

/// Fetches and unpacks; returns a folder for each package.
pub fn fetch() -> Result<Vec<PathBuf>> {
    let folder = project::target().join("directives");
    let packages = names()?;
    say(&format!("fetch {} packages", packages.len()));
    let apt = root(&folder)?;
    run(Command::new("apt-get").args(&apt).args(["--quiet", "update"]))?;
    let downloads = folder.join("packages");
    fs::create_dir_all(&downloads)?;
    run(Command::new("apt-get").args(&apt).args(["--quiet", "download"]).args(&packages).current_dir(&downloads))?;
    let units = folder.join("units");
    if units.exists() {
        fs::remove_dir_all(&units)?;
    }
    let files = fs::read_dir(&downloads)?.map(|entry| Ok(entry?.path())).collect::<Result<BTreeSet<_>>>()?;
    let named = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('_'));
        name.is_some_and(|(name, _)| packages.contains(name))
    };
    files.into_iter().filter(named).map(|file| unpack(&file, &units)).collect()
}

fn names() -> Result<BTreeSet<String>> {
    let path = project::root().join(LOCK);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let lock: toml::Table = text.parse().with_context(|| format!("cannot read {}", path.display()))?;
    let locked = lock.get("packages").and_then(toml::Value::as_array).into_iter().flatten();
    // A kernel has no units, and is large.
    let locked =
        locked.filter_map(|package| package.get("name")?.as_str()).filter(|name| !name.starts_with("linux-image"));
    let listed = LIST.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
    Ok(locked.chain(listed).map(str::to_owned).collect())
}

/// A root for apt, with the suite of the machine's mirror in it; the options that lead there.
fn root(folder: &Path) -> Result<Vec<String>> {
    let targets = output(Command::new("apt-get").args(["indextargets", "--format", "$(REPO_URI)"]))?;
    let mirror = targets.lines().find(|line| line.trim_end_matches('/').ends_with("/debian"));
    let Some(mirror) = mirror else { bail!("apt's sources name no Debian mirror") };
    let root = folder.join("apt");
    for name in ["etc/apt/preferences.d", "etc/apt/apt.conf.d", "var/lib/apt/lists/partial", "var/lib/dpkg"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::create_dir_all(root.join("var/cache/apt/archives/partial"))?;
    fs::write(root.join("etc/apt/sources.list"), format!("deb [signed-by={KEYRING}] {mirror} {SUITE} main\n"))?;
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    let option = |name: &str, value: String| [String::from("-o"), format!("{name}={value}")];
    let options = [
        option("Dir", root.display().to_string()),
        option("Dir::State::status", root.join("var/lib/dpkg/status").display().to_string()),
        option("APT::Architecture", "amd64".into()),
        option("APT::Sandbox::User", String::new()),
    ];
    Ok(options.into_iter().flatten().collect())
}

/// Unpacks a package's unit files.
fn unpack(file: &Path, folder: &Path) -> Result<PathBuf> {
    let name = file.file_stem().unwrap_or_default();
    let folder = folder.join(name);
    fs::create_dir_all(&folder)?;
    let mut packed = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(file).stdout(Stdio::piped()).spawn()?;
    let stream = packed.stdout.take().context("dpkg-deb has no output")?;
    let listed = Command::new("tar")
        .args(["--extract", "--ignore-failed-read", "--wildcards", "--directory"])
        .arg(&folder)
        .args(PLACES.map(|place| format!("{place}/*")))
        .stdin(stream)
        // A package without any of them is none to be missed.
        .stderr(Stdio::null())
        .status();
    listed.context("cannot run tar")?;
    if !packed.wait()?.success() {
        bail!("cannot unpack {}", file.display());
    }
    Ok(folder)
}
