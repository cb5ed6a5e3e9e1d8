//! A blocking client of PID 1's socket; `updater` is that of the updater's.
//!
//! One call at a time on a connection. Not here: who may call what, which PID 1 decides, and what is said to people,
//! which is the caller's: refusals come as [`Refusal`] in PID 1's own words.

mod connection;
mod updater;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::message::{Event, JobKind, Method, Refusal, Reply};
use crate::status::{Job, Machine, Unit};
use crate::{INTERFACE, SOCKET, update};
use connection::{Answer, Connection};
pub use updater::Updater;

/// A connection to PID 1.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
}

/// A call that did not come to an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens, or not to this user.
    #[error("connect to {}", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The connection broke.
    #[error("talk over the socket")]
    Talk(#[from] io::Error),
    /// The other side hung up before it answered.
    #[error("the other side hung up without an answer")]
    HungUp,
    /// An answer that is none.
    #[error("the answer is not understood: {0}")]
    Strange(String),
    /// PID 1 says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The updater does.
    #[error(transparent)]
    NotUpdated(#[from] update::Refusal),
}

/// What became of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The job.
    pub job: Job,
    /// `done`, `failed` and the others; `None` while it runs.
    pub result: Option<String>,
    /// Why, when it is not `done`.
    pub reason: String,
}

impl Client {
    /// Connects to the machine's PID 1.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub fn connect() -> Result<Self, Error> {
        Self::connect_to(Path::new(SOCKET))
    }

    /// Connects to a socket elsewhere.
    ///
    /// # Errors
    /// [`Error::Connect`].
    pub fn connect_to(path: &Path) -> Result<Self, Error> {
        let connection = Connection::open(path);
        let connection = connection.map_err(|source| Error::Connect { path: path.to_owned(), source })?;
        Ok(Self { connection })
    }

    /// Makes a call and waits for its answer.
    ///
    /// # Errors
    /// The connection broke, or PID 1 refuses.
    pub fn call(&mut self, method: &Method) -> Result<Reply, Error> {
        self.send(method, &[])?;
        self.receive()
    }

    /// Makes a call, with file descriptors; [`Self::receive`] gets the answer. Until then the connection is readable
    /// when there is one.
    ///
    /// # Errors
    /// The connection broke.
    pub fn send(&mut self, method: &Method, descriptors: &[BorrowedFd<'_>]) -> Result<(), Error> {
        self.connection.send(INTERFACE, method, matches!(method, Method::Watch {}), descriptors)
    }

    /// Waits for an answer.
    ///
    /// # Errors
    /// The connection broke, or PID 1 refuses.
    pub fn receive(&mut self) -> Result<Reply, Error> {
        reply(self.connection.receive()?)
    }

    /// The machine on one screen.
    ///
    /// # Errors
    /// See [`Self::call`], here and below.
    pub fn machine(&mut self) -> Result<Machine, Error> {
        match self.call(&Method::GetMachine {})? {
            Reply::Machine { machine } => Ok(*machine),
            other => Err(strange(&other)),
        }
    }

    /// Every loaded unit, by name.
    ///
    /// # Errors
    /// See [`Self::call`].
    pub fn units(&mut self) -> Result<Vec<Unit>, Error> {
        match self.call(&Method::ListUnits {})? {
            Reply::Units { units } => Ok(units),
            other => Err(strange(&other)),
        }
    }

    /// One unit with its dependencies; a name without suffix is a service's.
    ///
    /// # Errors
    /// See [`Self::call`].
    pub fn unit(&mut self, name: &str) -> Result<Unit, Error> {
        match self.call(&Method::GetUnit { name: name.to_owned() })? {
            Reply::Unit { unit } => Ok(*unit),
            other => Err(strange(&other)),
        }
    }

    /// Starts, stops, restarts or reloads a unit, and waits for the end of that.
    ///
    /// # Errors
    /// See [`Self::call`]. A job that failed is no error here: it has a result.
    pub fn enqueue(&mut self, unit: &str, job: JobKind) -> Result<Outcome, Error> {
        let method = Method::Enqueue { unit: unit.to_owned(), job, mode: Default::default(), wait: true };
        match self.call(&method)? {
            Reply::Job { job, result, reason } => Ok(Outcome { job, result, reason }),
            other => Err(strange(&other)),
        }
    }

    /// Forgets that a unit failed, and how often it was started of late.
    ///
    /// # Errors
    /// See [`Self::call`].
    pub fn reset_failed(&mut self, unit: &str) -> Result<(), Error> {
        match self.call(&Method::ResetFailed { unit: unit.to_owned() })? {
            Reply::Done {} => Ok(()),
            other => Err(strange(&other)),
        }
    }

    /// Every change of a unit or a job from now on, until PID 1 hangs up.
    ///
    /// # Errors
    /// The connection broke.
    pub fn watch(mut self) -> Result<Events, Error> {
        self.send(&Method::Watch {}, &[])?;
        Ok(Events(self))
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

/// Changes as they come; see [`Client::watch`].
#[derive(Debug)]
pub struct Events(Client);

impl Events {
    /// The next change that is there already; `None` when there is none. Readable when there may be one.
    ///
    /// # Errors
    /// The connection broke, [`Error::HungUp`] included.
    pub fn pending(&mut self) -> Result<Option<Event>, Error> {
        match self.0.connection.pending()?.map(reply).transpose()? {
            Some(Reply::Event { event }) => Ok(Some(event)),
            Some(other) => Err(strange(&other)),
            None => Ok(None),
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Iterator for Events {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.0.receive() {
            Ok(Reply::Event { event }) => Some(Ok(event)),
            Ok(other) => Some(Err(strange(&other))),
            Err(Error::HungUp) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

fn reply(answer: Answer) -> Result<Reply, Error> {
    answer.read(INTERFACE, |name, parameters| {
        let refusal = serde_json::from_value(json!({ "error": name, "parameters": parameters }));
        refusal.ok().map(Error::Refused)
    })
}

fn strange(reply: &Reply) -> Error {
    Error::Strange(format!("{reply:?}"))
}

#[cfg(test)]
mod tests;
