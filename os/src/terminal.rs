//! A terminal inside this one: what is typed here goes there, what is written there comes here, until PID 1 says that
//! the process has ended.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use ashlar_control::client::{Client, Error};
use ashlar_control::message::Reply;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// A pseudo-terminal, and this process's own one in raw mode until it is dropped.
pub struct Terminal {
    outside: OwnedFd,
    inside: OwnedFd,
    before: Termios,
    resized: SignalFd,
}

impl Terminal {
    /// Makes one of the size and with the settings of this process's own.
    pub fn new() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context("read the terminal's settings")?;
        let (outside, inside) = pair(&before).context("make a terminal")?;
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGWINCH);
        signals.thread_block().context("block SIGWINCH")?;
        let resized = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC);
        let resized = resized.context("wait for SIGWINCH")?;
        let mut raw = before.clone();
        raw.make_raw();
        let terminal = Self { outside, inside, before, resized };
        terminal.resize();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw).context("change the terminal's settings")?;
        Ok(terminal)
    }

    /// The end for the process.
    pub fn inside(&self) -> BorrowedFd<'_> {
        self.inside.as_fd()
    }

    fn resize(&self) {
        // One that has no size stays as it is.
        let _ = tcgetwinsize(io::stdin()).and_then(|size| tcsetwinsize(&self.outside, size));
    }

    /// Carries bytes to and fro until PID 1 answers.
    pub fn relay(&self, client: &mut Client) -> Result<Reply, Error> {
        let (input, output) = (io::stdin(), io::stdout());
        let mut typing = true;
        loop {
            let (answered, typed, written, resized) = {
                let typed = if typing { PollFlags::IN } else { PollFlags::empty() };
                let mut ready = [
                    PollFd::new(client, PollFlags::IN),
                    PollFd::new(&input, typed),
                    PollFd::new(&self.outside, PollFlags::IN),
                    PollFd::new(&self.resized, PollFlags::IN),
                ];
                rustix::io::retry_on_intr(|| poll(&mut ready, None)).map_err(io::Error::from)?;
                let [answered, typed, written, resized] = ready.map(|one| !one.revents().is_empty());
                (answered, typed, written, resized)
            };
            if written {
                carry(&self.outside, &output)?;
            }
            if typing && typed {
                typing = carry(&input, &self.outside)?;
            }
            if resized && self.resized.read_signal().is_ok() {
                self.resize();
            }
            if answered {
                let reply = client.receive();
                self.drain(&output);
                return reply;
            }
        }
    }

    /// What was written before the end and not yet carried. Others may hold the terminal open: what they write later is
    /// not waited for.
    fn drain(&self, output: &io::Stdout) {
        let mut ready = [PollFd::new(&self.outside, PollFlags::IN)];
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        while poll(&mut ready, Some(&now)).is_ok_and(|count| count > 0) && ready[0].revents().contains(PollFlags::IN) {
            if !carry(&self.outside, output).unwrap_or(false) {
                return;
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}

fn pair(settings: &Termios) -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    let outside = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&outside)?;
    unlockpt(&outside)?;
    let name = ptsname(&outside, Vec::new())?;
    let inside = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    tcsetattr(&inside, OptionalActions::Now, settings)?;
    Ok((outside, inside))
}

/// Carries what is there. `false`: there will be no more.
fn carry(from: &impl AsFd, to: &impl AsFd) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    let count = match rustix::io::retry_on_intr(|| rustix::io::read(from, &mut buffer)) {
        // The other end of a terminal is closed.
        Err(Errno::IO) => 0,
        other => other?,
    };
    let mut rest = &buffer[..count];
    while !rest.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(to, rest))?;
        rest = &rest[written..];
    }
    Ok(count > 0)
}
