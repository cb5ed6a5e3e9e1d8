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
    let Switched { version, from, trial, state } = switched;
    if version == from {
        return format!("the new version is taken back before it was tried: Ashlar {version} stays\n");
    }
    let trial = if *trial { format!(", and goes back to {from} unless all is well") } else { String::new() };
    let state = state.iter().map(|name| {
        format!(
            "/var/lib/{name} will be what {version} left: what was written since goes to \
             /var/lib/ashlar/versions/kept/{from}/{name}\n"
        )
    });
    format!("the next boot starts Ashlar {version} (`os reboot`){trial}\n{}", state.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let check = |version: &str, trial, expect: &str| {
            let switched = Switched { version: version.into(), from: "2".into(), trial, state: Vec::new() };
            assert_eq!(render(&switched), expect);
        };
        check("1", false, "the next boot starts Ashlar 1 (`os reboot`)\n");
        check("3", true, "the next boot starts Ashlar 3 (`os reboot`), and goes back to 2 unless all is well\n");
        let state = vec!["db".into()];
        let said = render(&Switched { version: "1".into(), from: "2".into(), trial: false, state });
        let goes =
            "/var/lib/db will be what 1 left: what was written since goes to /var/lib/ashlar/versions/kept/2/db\n";
        assert_eq!(said.lines().nth(1), goes.lines().next());
        check("2", false, "the new version is taken back before it was tried: Ashlar 2 stays\n");
    }
}
