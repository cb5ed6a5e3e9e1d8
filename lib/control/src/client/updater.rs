//! A client of the updater's socket.

use std::os::fd::BorrowedFd;
use std::path::Path;

use super::Error;
use super::connection::Connection;
use crate::update::{Boots, INTERFACE, Method, Outcome, Refusal, Reply, Request, SOCKET, Stage, State, Switched};

/// A connection to the updater, which is started by it.
#[derive(Debug)]
pub struct Updater {
    connection: Connection,
}

impl Updater {
    /// Connects to the machine's updater.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub fn connect() -> Result<Self, Error> {
        let path = Path::new(SOCKET);
        let connection = Connection::open(path).map_err(|source| Error::Connect { path: path.to_owned(), source })?;
        Ok(Self { connection })
    }

    fn send(&mut self, method: &Method, more: bool, descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
        self.connection.send(INTERFACE, method, more, descriptors)
    }

    fn receive(&mut self) -> Result<Reply, Error> {
        self.connection.receive()?.read(INTERFACE, |_, parameters| {
            serde_json::from_value::<Refusal>(parameters.clone()).ok().map(Error::NotUpdated)
        })
    }

    fn call(&mut self, method: &Method) -> Result<Reply, Error> {
        self.send(method, false, &[])?;
        self.receive()
    }

    /// Takes a new version, or looks for one. `folder` is a published folder that is read instead of a source.
    ///
    /// # Errors
    /// The connection broke, or the updater refuses; here and below.
    pub fn upgrade(
        &mut self,
        request: &Request,
        folder: Option<BorrowedFd<'_>>,
        progress: &mut dyn FnMut(Stage, u64, u64),
    ) -> Result<Outcome, Error> {
        let request = Request { folder: folder.is_some(), ..request.clone() };
        self.send(&Method::Upgrade { request }, true, folder.as_slice())?;
        loop {
            match self.receive()? {
                Reply::Progress { stage, done, total } => progress(stage, done, total),
                Reply::Outcome(outcome) => return Ok(outcome),
                other => return Err(strange(&other)),
            }
        }
    }

    /// Has the other slot's version started next.
    ///
    /// # Errors
    /// See [`Self::upgrade`].
    pub fn roll_back(&mut self, to: Option<&str>) -> Result<Switched, Error> {
        match self.call(&Method::Rollback { to: to.map(str::to_owned) })? {
            Reply::Switched(switched) => Ok(switched),
            other => Err(strange(&other)),
        }
    }

    /// What is remembered.
    ///
    /// # Errors
    /// See [`Self::upgrade`].
    pub fn state(&mut self) -> Result<State, Error> {
        self.state_of(&Method::GetState {})
    }

    /// Takes no new version until this is called without a reason.
    ///
    /// # Errors
    /// See [`Self::upgrade`].
    pub fn hold(&mut self, reason: Option<&str>) -> Result<State, Error> {
        self.state_of(&Method::Hold { reason: reason.map(str::to_owned) })
    }

    /// Takes this version and no other; the one that runs, if none is said.
    ///
    /// # Errors
    /// See [`Self::upgrade`].
    pub fn pin(&mut self, version: Option<&str>) -> Result<State, Error> {
        self.state_of(&Method::Pin { version: version.map(str::to_owned) })
    }

    /// Takes any version again.
    ///
    /// # Errors
    /// See [`Self::upgrade`].
    pub fn unpin(&mut self) -> Result<State, Error> {
        self.state_of(&Method::Unpin {})
    }

    /// The boot entries, and which of them comes next.
    ///
    /// # Errors
    /// See [`Self::upgrade`].
    pub fn boots(&mut self) -> Result<Boots, Error> {
        match self.call(&Method::GetBoots {})? {
            Reply::Boots(boots) => Ok(boots),
            other => Err(strange(&other)),
        }
    }

    fn state_of(&mut self, method: &Method) -> Result<State, Error> {
        match self.call(method)? {
            Reply::State(state) => Ok(state),
            other => Err(strange(&other)),
        }
    }
}

fn strange(reply: &Reply) -> Error {
    Error::Strange(format!("{reply:?}"))
}
