//! `os rollback`: the other slot's version again.

use std::process::ExitCode;

use ashlar_control::client::Updater;
use ashlar_control::update::Switched;

use crate::print;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Only if it is this version
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
}

/// The verb.
pub fn main(options: &Options, json: bool) -> anyhow::Result<ExitCode> {
    let switched = Updater::connect()?.roll_back(options.to.as_deref())?;
    if json {
        print::json(&switched)?;
    } else {
        print::text(&render(&switched))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn render(switched: &Switched) -> String {
    let Switched { version, from, trial } = switched;
    if version == from {
        return format!("the new version is taken back before it was tried: Ashlar {version} stays\n");
    }
    let trial = if *trial { format!(", and goes back to {from} unless all is well") } else { String::new() };
    format!("the next boot starts Ashlar {version} (`os reboot`){trial}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let check = |version: &str, trial, expect: &str| {
            let switched = Switched { version: version.into(), from: "2".into(), trial };
            assert_eq!(render(&switched), expect);
        };
        check("1", false, "the next boot starts Ashlar 1 (`os reboot`)\n");
        check("3", true, "the next boot starts Ashlar 3 (`os reboot`), and goes back to 2 unless all is well\n");
        check("2", false, "the new version is taken back before it was tried: Ashlar 2 stays\n");
    }
}
