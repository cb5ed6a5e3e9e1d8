//! Staying with a process until it ends: signals and keys go to it, its end becomes ours.

use std::os::fd::{AsFd, OwnedFd};

use ashlar_sys::epoll::{Epoll, READ};
use ashlar_sys::{process, signal};

use crate::console::Relay;
use crate::{About, Failed};

/// SIGCHLD, SIGWINCH; what the kernel sends us for what we did ourselves is not passed on either.
const CHILD: i32 = 17;
const RESIZED: i32 = 28;
const OURS: [i32; 11] = [4, 5, 7, 8, 9, 11, 13, CHILD, 19, 21, 22];

/// Signals, caught from here on.
#[derive(Debug)]
pub struct Foreground {
    signals: signal::Descriptor,
}

const ENDED: u64 = 0;
const SIGNALLED: u64 = 1;
const TYPED: u64 = 2;
const SHOWN: u64 = 3;

impl Foreground {
    /// To be made before the process is, so that no signal is lost.
    pub fn new() -> Result<Self, Failed> {
        let passed: Vec<i32> = (1..=64).filter(|number| !OURS.contains(number) && !matches!(number, 32 | 33)).collect();
        Ok(Self { signals: signal::Descriptor::new(&passed).about("catch signals")? })
    }

    /// Stays with a child until it ends; its exit code, or 128 and the signal that killed it.
    pub fn attend(self, pid: u32, pidfd: &OwnedFd, mut relay: Option<Relay>) -> Result<u8, Failed> {
        let mut run = || {
            let epoll = Epoll::new()?;
            epoll.add(pidfd, ENDED, READ)?;
            epoll.add(&self.signals, SIGNALLED, READ)?;
            if let Some(relay) = &relay {
                epoll.add(relay.controller(), SHOWN, READ)?;
                // A file, which is always readable, cannot be waited for; nor is it a person.
                let _ = epoll.add(std::io::stdin(), TYPED, READ);
            }
            let mut ready = Vec::new();
            loop {
                epoll.wait(None, &mut ready)?;
                for event in ready.drain(..) {
                    match (event.token, &mut relay) {
                        (ENDED, relay) => {
                            if let Some(relay) = relay {
                                relay.drain();
                            }
                            return process::wait(pid);
                        }
                        (SIGNALLED, relay) => self.pass_on(pidfd, relay.as_ref())?,
                        (TYPED, Some(relay)) => relay.type_into(&epoll)?,
                        (_, Some(relay)) => relay.show_from(&epoll)?,
                        _ => {}
                    }
                }
            }
        };
        let code = run().about(format!("stay with process {pid}"))?;
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }

    fn pass_on(&self, pidfd: &OwnedFd, relay: Option<&Relay>) -> std::io::Result<()> {
        while let Some(received) = self.signals.read()? {
            match (received.signal, relay) {
                (RESIZED, Some(relay)) => relay.resize(),
                // It may just have ended.
                (number, _) => drop(process::signal(pidfd.as_fd(), number)),
            }
        }
        Ok(())
    }
}
