//! How the program ends: exit codes, and the one place where errors are said.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use ashlar_control::client::Error;
use ashlar_control::message::Refusal;
use ashlar_control::update::{self, Fault};

/// It was tried and failed.
pub const FAILED: u8 = 1;
/// `status`: the machine is not running well.
pub const UNWELL: u8 = 3;
/// This user may not do it.
pub const DENIED: u8 = 4;
/// There is no such unit.
pub const NO_UNIT: u8 = 5;
/// PID 1 cannot be asked.
pub const NO_ANSWER: u8 = 6;
/// `upgrade --check`: there is nothing newer.
pub const NOTHING_NEWER: u8 = 7;
/// Somebody, or a rule, says that it is not to be.
pub const HELD: u8 = 8;
/// The source of updates cannot be read.
pub const NO_SOURCE: u8 = 9;
/// What the source has is not trusted.
pub const UNTRUSTED: u8 = 10;
/// `shell`: no process was started, so no code is a process's.
pub const NO_SHELL: u8 = 255;

/// The codes, for `--help`.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  it was tried and failed
  2  the command line is wrong
  3  status: the machine is not running well
  4  permission denied
  5  no such unit
  6  PID 1, or the updater, cannot be asked
  7  upgrade --check: there is nothing newer
  8  upgrade: it is held back: by `os hold`, or because it did not stay here before
  9  upgrade: the source cannot be read
 10  upgrade: what the source has is not signed as it has to be
`os shell` ends with its command's code, or with 255 if there was no command to start.";

/// Says an error with all its causes, once, and gives the exit code that stands for it.
pub fn say(error: &anyhow::Error) -> ExitCode {
    // Whoever closed the pipe has read enough.
    let piped = error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
    if piped {
        return ExitCode::SUCCESS;
    }
    eprintln!("os: {error:#}{}", remedy(error));
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Error>() {
        Some(Error::Refused(Refusal::NoSuchUnit { .. })) => NO_UNIT,
        Some(Error::Refused(Refusal::PermissionDenied { .. })) => DENIED,
        Some(Error::NotUpdated(refusal)) => match refusal.fault {
            Fault::Held => HELD,
            Fault::Source => NO_SOURCE,
            Fault::Trust => UNTRUSTED,
            Fault::Request | Fault::Machine => FAILED,
        },
        Some(Error::Connect { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => DENIED,
        Some(Error::Refused(_)) | None => FAILED,
        Some(_) => NO_ANSWER,
    }
}

fn remedy(error: &anyhow::Error) -> &'static str {
    let Some(Error::Connect { source, path }) = error.downcast_ref() else { return "" };
    match source.kind() {
        io::ErrorKind::NotFound if path == Path::new(update::SOCKET) => "; this image has no updater",
        io::ErrorKind::PermissionDenied => "; this is for members of group os",
        io::ErrorKind::NotFound => "; run `os` on the machine itself, in its console container or in `os shell`",
        io::ErrorKind::ConnectionRefused => "; PID 1 does not listen: it may be starting anew, try again",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        let check = |error: Error, expect| assert_eq!(code(&error.into()), expect);
        check(Refusal::NoSuchUnit { unit: "a".into(), nearest: String::new() }.into(), NO_UNIT);
        check(Refusal::PermissionDenied { need: "x".into() }.into(), DENIED);
        check(Refusal::Failed { reason: "x".into() }.into(), FAILED);
        check(Error::HungUp, NO_ANSWER);
        check(update::Refusal { fault: Fault::Held, reason: String::new() }.into(), HELD);
        check(update::Refusal { fault: Fault::Trust, reason: String::new() }.into(), UNTRUSTED);
        assert_eq!(code(&anyhow::anyhow!("x").context("y")), FAILED);
        assert_eq!(code(&anyhow::Error::new(Error::HungUp).context("y")), NO_ANSWER);
    }
}
