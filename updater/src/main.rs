//! The program: five verbs for PID 1. What they do is the library's.

use std::process::ExitCode;

use ashlar_updater::{automatic, checks, commit, serve, share};

fn main() -> ExitCode {
    let verb = std::env::args().nth(1).unwrap_or_default();
    let done = match verb.as_str() {
        "serve" => serve::main(),
        "automatic" => automatic::main(),
        "commit" => commit::main(),
        "checks" => checks::main(),
        "share" => share::main(),
        _ => {
            eprintln!("updater: this is for PID 1; people say `os upgrade`, `os rollback` and `os history`");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("updater: cannot {verb}: {}", error.line());
            ExitCode::FAILURE
        }
    }
}
