//! Finding and running programs of this machine. Ordinary users do not have the sbin folders on their PATH, and half of
//! what is needed lives there.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

const SYSTEM: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

fn path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(SYSTEM.map(PathBuf::from));
    std::env::join_paths(folders).unwrap_or(path)
}

/// Where a program is.
pub fn find(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&path()).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// A command that is looked for in the sbin folders too.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(find(name).unwrap_or_else(|| name.into()));
    command.env("PATH", path());
    command
}

/// Runs it to its end and returns what it printed; an exit code other than 0 is an error with what it said.
pub fn output(command: &mut Command) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {name}: `cargo xtask setup` installs what is missing"))?;
    if !output.status.success() {
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        bail!("{name}: {}: {}", output.status, String::from_utf8_lossy(&said).trim());
    }
    Ok(output)
}
