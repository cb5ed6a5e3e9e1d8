//! `directives`: what PID 1 makes of the unit files of Debian's packages. They are read with the very tables that PID 1
//! reads them with, so that the share of what is understood is counted and not claimed.

mod count;
mod packages;
mod report;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use ashlar_config::systemd::Text;

use crate::project;
use crate::step::say;
use count::Count;

/// Arguments of `directives`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Count over these folders of unit files, and print the report instead of writing it
    folders: Vec<PathBuf>,
}

/// The verb.
pub fn main(options: &Options) -> Result<()> {
    if !options.folders.is_empty() {
        print!("{}", report::write(&count(&options.folders)?, None));
        return Ok(());
    }
    let fetched = packages::fetch()?;
    let with_units = fetched.iter().filter(|folder| units_below(folder).is_ok_and(|units| !units.is_empty())).count();
    let path = project::root().join("docs/directives.md");
    fs::write(&path, report::write(&count(&fetched)?, Some(with_units)))
        .with_context(|| format!("cannot write {}", path.display()))?;
    say(&format!("{} is written", path.display()));
    Ok(())
}

fn count(folders: &[PathBuf]) -> Result<Count> {
    let mut count = Count::default();
    for folder in folders {
        for text in units_below(folder)? {
            count.add(&text);
        }
    }
    Ok(count)
}

/// Files of units and what changes them, at any depth; links are other names of what is counted already.
fn units_below(folder: &Path) -> Result<Vec<Text>> {
    let (mut found, mut work) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = work.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() {
                work.push(path);
            } else if kind.is_file() && count::unit_of(&path).is_some() {
                let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let text = String::from_utf8_lossy(&text).into_owned();
                found.push(Text { path: path.to_string_lossy().into_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}
