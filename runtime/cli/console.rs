//! A container's terminal shown on our own: keys go in, what it shows comes out.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use ashlar_sys::epoll::Epoll;
use ashlar_sys::terminal::{self, Raw};
use ashlar_sys::{process, socket};

use crate::{About, Failed};

/// Both ways of a socket for a terminal: ours, and the one for the container.
#[derive(Debug)]
pub struct Awaited(UnixStream);

impl Awaited {
    /// A way for a terminal to come, and the socket that it is sent to.
    pub fn new() -> Result<(Self, OwnedFd), Failed> {
        let (ours, theirs) = UnixStream::pair().about("make a socket for the terminal")?;
        Ok((Self(ours), theirs.into()))
    }

    /// The terminal, once it was sent.
    pub fn relay(self) -> Result<Relay, Failed> {
        let receive = || {
            let mut name = [0; 64];
            loop {
                process::readable(&[self.0.as_fd()], -1)?;
                if let Some(mut message) = socket::receive(&self.0, &mut name)? {
                    let sent = message.descriptors.pop();
                    return sent.ok_or_else(|| io::Error::other("the container sent none"));
                }
            }
        };
        let controller: OwnedFd = receive().about("take the container's terminal")?;
        let relay = Relay { controller: controller.into(), _raw: Raw::new(io::stdin()).ok() };
        relay.resize();
        Ok(relay)
    }
}

/// A terminal that is shown.
#[derive(Debug)]
pub struct Relay {
    controller: File,
    /// Ours, if it is one, lets every key through meanwhile.
    _raw: Option<Raw<io::Stdin>>,
}

impl Relay {
    /// Readable when there is something to show.
    pub fn controller(&self) -> &File {
        &self.controller
    }

    /// Gives it the size of ours.
    pub fn resize(&self) {
        let _ = terminal::size(&io::stdin()).and_then(|size| terminal::set_size(&self.controller, size));
    }

    /// Passes keys on; at their end `epoll` need not wait for more.
    pub fn type_into(&mut self, epoll: &Epoll) -> io::Result<()> {
        match pass(&mut io::stdin().lock(), &mut self.controller)? {
            true => Ok(()),
            false => epoll.remove(io::stdin()),
        }
    }

    /// Shows what there is; at its end `epoll` need not wait for more.
    pub fn show_from(&mut self, epoll: &Epoll) -> io::Result<()> {
        match self.shown()? {
            true => Ok(()),
            false => epoll.remove(&self.controller),
        }
    }

    /// Says whether more may come. A terminal that nobody has open any more is an error of input and output.
    fn shown(&mut self) -> io::Result<bool> {
        match pass(&mut self.controller, &mut io::stdout().lock()) {
            Err(error) if error.raw_os_error() == Some(5) => Ok(false),
            other => other,
        }
    }

    /// Shows what is left.
    pub fn drain(&mut self) {
        while process::readable(&[self.controller.as_fd()], 0).unwrap_or(false) && self.shown().unwrap_or(false) {}
    }
}

fn pass(from: &mut impl Read, to: &mut impl Write) -> io::Result<bool> {
    let mut buffer = [0; 8192];
    let count = from.read(&mut buffer)?;
    to.write_all(&buffer[..count])?;
    to.flush()?;
    Ok(count > 0)
}
