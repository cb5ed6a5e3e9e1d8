//! `login`: how people come in. sshd and the serial console's getty execute it as the user; it hands its own standard
//! input, output and error to PID 1, which starts the user's shell in the console container, and ends as that ends.
//!
//! The shell takes the terminal away from this process, which must survive that, and must end when its caller does:
//! PID 1 then ends the session.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use ashlar_control::client::{Client, Error};
use ashlar_control::message::{Method, Refusal, Reply};
use nix::sys::signal::{SigSet, Signal};

/// No session came to be; sshd's own code for that.
const NO_SESSION: u8 = 255;
/// What sshd was asked for, when it was told to start us instead.
const COMMAND: &str = "SSH_ORIGINAL_COMMAND";
/// What a session may know of where the person sits.
const KEPT: [&str; 8] = ["TERM", "LANG", "COLORTERM", "SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "TZ", "NO_COLOR"];
/// The unit that sessions need.
const CONSOLE: &str = "console.service";
/// How long somebody who comes early waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    outlive_the_terminal();
    match session() {
        Ok(exit) => ExitCode::from(u8::try_from(exit).unwrap_or(NO_SESSION)),
        Err(error) => {
            eprintln!("login: {}", words(&error));
            ExitCode::from(NO_SESSION)
        }
    }
}

/// Signals that go with the terminal are the session's, not ours.
fn outlive_the_terminal() {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGTTOU] {
        signals.add(signal);
    }
    // Blocked, they do nothing; that they could not be is no reason to let nobody in.
    let _ = signals.thread_block();
}

fn session() -> Result<i32, Error> {
    let command: Vec<String> = std::env::var(COMMAND).ok().into_iter().collect();
    let environment = KEPT.iter().filter_map(|key| Some(((*key).to_owned(), std::env::var(key).ok()?)));
    let tty = io::stdin().is_terminal();
    let method = Method::Login { host: false, command, environment: environment.collect(), tty };
    let begun = Instant::now();
    let mut client = Client::connect()?;
    loop {
        client.send(&method, &[io::stdin().as_fd(), io::stdout().as_fd(), io::stderr().as_fd()])?;
        match client.receive() {
            Ok(Reply::Exit { exit }) => return Ok(exit),
            Ok(other) => return Err(Error::Strange(format!("{other:?}"))),
            Err(Error::Refused(Refusal::Failed { .. })) if begun.elapsed() < PATIENCE && is_early(&mut client)? => {
                sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether the console container is still starting.
fn is_early(client: &mut Client) -> Result<bool, Error> {
    let console = client.unit(CONSOLE)?;
    let coming =
        console.active == "activating" || console.active == "inactive" && client.machine()?.state == "starting";
    Ok(coming)
}

/// An error and what is behind it.
fn words(error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
