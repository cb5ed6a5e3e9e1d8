//! What the public conformance suite of The Update Framework (theupdateframework/tuf-conformance, CLIENT-CLI.md) drives: the
//! updater's own client, with the suite's command line around it.
//!
//! `pytest tuf_conformance --entrypoint target/debug/examples/tuf-conformance` in a checkout of the suite.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ashlar_fetch::Policy;
use ashlar_formats::date::Date;
use ashlar_formats::tuf::{Target, has_hashes};
use ashlar_updater::error::Error;
use ashlar_updater::source::{Http, Source, Take};
use ashlar_updater::trust;

/// The suite's server keeps its metadata at an address of its own.
struct Metadata(Http);

impl Source for Metadata {
    fn whole(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        self.0.whole(path.trim_start_matches("metadata/"), limit)
    }

    fn part(&self, path: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
        self.0.part(path, total, first, length, take)
    }
}

#[derive(Default)]
struct Arguments {
    verb: String,
    root: Option<PathBuf>,
    metadata: PathBuf,
    metadata_url: String,
    names: Vec<String>,
    base: String,
    folder: PathBuf,
}

impl Arguments {
    fn parse() -> Option<Self> {
        let mut arguments = Self::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--metadata-dir" => arguments.metadata = words.next()?.into(),
                "--metadata-url" => arguments.metadata_url = words.next()?,
                "--target-name" => arguments.names.push(words.next()?),
                "--target-base-url" => arguments.base = words.next()?,
                "--target-dir" => arguments.folder = words.next()?.into(),
                verb if arguments.verb.is_empty() => arguments.verb = verb.to_owned(),
                root => arguments.root = Some(root.into()),
            }
        }
        Some(arguments)
    }
}

fn main() -> ExitCode {
    let Some(arguments) = Arguments::parse() else { return ExitCode::FAILURE };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let anchor = arguments.metadata.join("root.json");
    if arguments.verb == "init" {
        fs::create_dir_all(&arguments.metadata)?;
        fs::copy(arguments.root.as_ref().ok_or("init needs a root")?, anchor)?;
        return Ok(());
    }
    let source = Metadata(Http::new(&arguments.metadata_url, Policy::default())?);
    let trusted = trust::refresh(&arguments.metadata, &fs::read(anchor)?, &source, Date::now())?;
    if arguments.verb != "download" {
        return Ok(());
    }
    let http = Http::new(&arguments.base, Policy::default())?;
    for name in &arguments.names {
        let target = trusted.find(name)?.ok_or_else(|| format!("{name} is not offered"))?;
        download(&http, name, &target, trusted.consistent_snapshot, &arguments.folder)?;
    }
    Ok(())
}

fn download(
    http: &Http,
    name: &str,
    target: &Target,
    consistent: bool,
    folder: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    // A name is data: as a file's it is written in a way that leads nowhere else.
    let file = folder.join(name.bytes().map(|byte| format!("{byte:02x}")).collect::<String>());
    if fs::read(&file).is_ok_and(|bytes| has_hashes(&bytes, &target.hashes)) {
        return Ok(());
    }
    let (parent, base) = name.rsplit_once('/').map_or(("", name), |(parent, base)| (parent, base));
    let slash = if parent.is_empty() { "" } else { "/" };
    let digest = target.hashes.values().next().filter(|_| consistent);
    let prefix = digest.map(|digest| format!("{digest}.")).unwrap_or_default();
    let bytes = http.whole(&format!("{parent}{slash}{prefix}{base}"), target.length)?.ok_or("it is not there")?;
    if bytes.len() as u64 != target.length || !has_hashes(&bytes, &target.hashes) {
        return Err("it is not what was signed".into());
    }
    fs::write(file, bytes)?;
    Ok(())
}
