//! The connection to PID 1: calls that it answers at once, and every change as it happens.
//!
//! A change is here before the answer to the call that caused it: PID 1 writes to those who watch first, and
//! [`Link::call`] takes what came in the meantime.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ashlar_control::client::{Client, Error, Events};
use ashlar_control::message::{Event, Method, Reply};

/// Two connections: one for calls, one for changes.
#[derive(Debug)]
pub struct Link {
    client: Client,
    events: Events,
    /// Changes that came while an answer was waited for.
    early: VecDeque<Event>,
}

impl Link {
    /// Connects.
    ///
    /// # Errors
    /// PID 1 does not listen.
    pub fn open() -> Result<Self, Error> {
        let events = Client::connect()?.watch()?;
        Ok(Self { client: Client::connect()?, events, early: VecDeque::new() })
    }

    /// Makes a call that PID 1 answers at once. After an execution of PID 1 that lost the connection it is made again.
    ///
    /// # Errors
    /// PID 1 refuses, or cannot be reached.
    pub fn call(&mut self, method: &Method, descriptors: &[OwnedFd]) -> Result<Reply, Error> {
        let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
        let sent = self.client.send(method, &borrowed).and_then(|()| self.client.receive());
        let reply = match sent {
            Err(Error::HungUp | Error::Talk(_)) => {
                self.client = Client::connect()?;
                self.client.send(method, &borrowed)?;
                self.client.receive()
            }
            other => other,
        };
        while let Some(event) = self.events.pending()? {
            self.early.push_back(event);
        }
        reply
    }

    /// The next change that is there.
    ///
    /// # Errors
    /// The connection is gone, and with it what happened since.
    pub fn pending(&mut self) -> Result<Option<Event>, Error> {
        match self.early.pop_front() {
            Some(event) => Ok(Some(event)),
            None => self.events.pending(),
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }
}
