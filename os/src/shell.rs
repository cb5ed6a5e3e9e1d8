//! `os shell`: a root shell or command in the host's namespaces, by way of PID 1.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::ExitCode;

use anyhow::bail;
use ashlar_control::client::Client;
use ashlar_control::message::{Method, Reply};

use crate::exit;
use crate::terminal::Terminal;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Command and arguments; a shell, if absent
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Environment that makes a difference at a terminal; PID 1 lets no other through.
const KEPT: [&str; 5] = ["TERM", "LANG", "COLORTERM", "NO_COLOR", "TZ"];

/// The verb.
pub fn main(options: &Options) -> ExitCode {
    match run(options) {
        Ok(code) => code,
        Err(error) => {
            exit::say(&error);
            ExitCode::from(exit::NO_SHELL)
        }
    }
}

fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let mut client = Client::connect()?;
    let environment = KEPT.iter().filter_map(|key| Some(((*key).to_owned(), std::env::var(key).ok()?)));
    let environment = environment.collect();
    let (input, output, errors) = (io::stdin(), io::stdout(), io::stderr());
    let tty = input.is_terminal() && output.is_terminal();
    let method = Method::Login { host: true, command: options.command.clone(), environment, tty };
    if !tty {
        let descriptors: [BorrowedFd<'_>; 3] = [input.as_fd(), output.as_fd(), errors.as_fd()];
        client.send(&method, &descriptors)?;
        return exit_code(client.receive()?);
    }
    // A terminal of its own: this one stays with the shell that we were called from.
    let terminal = Terminal::new()?;
    client.send(&method, &[terminal.inside(); 3])?;
    exit_code(terminal.relay(&mut client)?)
}

fn exit_code(reply: Reply) -> anyhow::Result<ExitCode> {
    match reply {
        Reply::Exit { exit } => Ok(ExitCode::from(u8::try_from(exit).unwrap_or(exit::NO_SHELL))),
        other => bail!("PID 1's answer is not understood: {other:?}"),
    }
}
