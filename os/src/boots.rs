//! `os explain boot`: which version runs, what the boot loader has to choose from, and what it takes next.

use std::process::ExitCode;

use ashlar_control::client::Updater;
use ashlar_control::update::{Boots, Entry};

use crate::{print, table};

/// The verb.
pub fn explain(json: bool) -> anyhow::Result<ExitCode> {
    let boots = Updater::connect()?.boots()?;
    if json {
        print::json(&boots)?;
    } else {
        print::text(&render(&boots))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn render(boots: &Boots) -> String {
    let Boots { version, slot, root_hash, next, unready, limit, .. } = boots;
    let mut text = format!("Ashlar {version} runs from slot {slot}, root hash {root_hash}\n{}\n", standing(boots));
    match boots.entries.iter().find(|entry| entry.runs) {
        None => text += "it was not started by a boot entry of this disk\n",
        Some(_) if next == version => text += &format!("the next boot starts {next} again\n"),
        Some(_) => text += &format!("the next boot starts {next}\n"),
    }
    if *unready > 0 {
        let boots = print::count(*unready as usize, "boot", "boots");
        text += &format!("{boots} of it in a row did not become ready; after {limit} its tries are counted again\n");
    }
    let rows: Vec<Vec<String>> = boots.entries.iter().map(row).collect();
    text + "\n" + &table::render(&["", "VERSION", "STANDING", "TRIES", "FILE", "ROOT HASH"], &rows)
}

fn standing(boots: &Boots) -> &'static str {
    match boots.standing.as_str() {
        "committed" => "it is committed: it was well, and stays",
        "trial" => "it is on trial: it stays once its services are well, or else the other version comes back",
        "condemned" => "it did not pass its trial, and runs for want of another version: see `os explain update`",
        _ => "nobody has looked yet whether it is on trial",
    }
}

fn row(entry: &Entry) -> Vec<String> {
    let tries = match entry.tries {
        None => "not counted".to_owned(),
        Some(left) => format!("{left} left, {} used", entry.failed),
    };
    let short = entry.root_hash.get(..16).unwrap_or(&entry.root_hash);
    let mark = if entry.runs { "*" } else { "" };
    let (version, standing, file) = (entry.version.clone(), entry.standing.clone(), entry.file.clone());
    vec![mark.to_owned(), version, standing, tries, file, short.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_next_is_said() {
        let entry = |version: &str, standing: &str, tries| Entry {
            file: format!("ashlar_{version}.efi"),
            version: version.into(),
            root_hash: "0123456789abcdef0123".into(),
            runs: version == "1",
            standing: standing.into(),
            tries,
            failed: 0,
        };
        let boots = Boots {
            version: "1".into(),
            slot: "a".into(),
            root_hash: "01".into(),
            standing: "committed".into(),
            next: "2".into(),
            entries: vec![entry("2", "trial", Some(3)), entry("1", "committed", None)],
            unready: 1,
            limit: 3,
        };
        let expect = "Ashlar 1 runs from slot a, root hash 01\nit is committed: it was well, and stays\n\
                      the next boot starts 2\n\
                      1 boot of it in a row did not become ready; after 3 its tries are counted again\n\n\
                      \u{20}  VERSION  STANDING   TRIES           FILE          ROOT HASH\n\
                      \u{20}  2        trial      3 left, 0 used  ashlar_2.efi  0123456789abcdef\n\
                      *  1        committed  not counted     ashlar_1.efi  0123456789abcdef\n";
        assert_eq!(render(&boots), expect);
    }
}
