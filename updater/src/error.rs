//! What can go wrong with an update, by whose fault it is.

use std::io;
use std::path::Path;

use ashlar_control::update::{Fault, Refusal};

/// An update, or something about one, that was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call of the system failed.
    #[error("{verb} {path}")]
    System {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// The machine is not in a state in which this can be done.
    #[error("{0}")]
    Machine(String),
    /// The call makes no sense, or a setting is missing.
    #[error("{0}")]
    Request(String),
    /// Somebody, or a rule of ours, says no.
    #[error("{0}")]
    Held(String),
    /// The source cannot be reached or read.
    #[error("read the source: {0}")]
    Source(String),
    /// The source cannot give parts of a file.
    #[error("read the source: it gives no parts of files")]
    NoRanges,
    /// What the source has is not what was signed, or not signed by whom it should be.
    #[error("trust the source: {0}")]
    Trust(String),
}

/// For `map_err` on what the system says.
pub fn at<P: AsRef<Path>>(verb: &'static str, path: P) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::System { verb, path: path.as_ref().display().to_string(), source }
}

impl Error {
    /// With all its causes, in one line.
    pub fn line(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    }

    /// Whether another way to the same bytes may do better.
    pub fn is_of_road(&self) -> bool {
        matches!(self, Self::Trust(_) | Self::Source(_) | Self::NoRanges)
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::System { .. } | Self::Machine(_) => Fault::Machine,
            Self::Request(_) => Fault::Request,
            Self::Held(_) => Fault::Held,
            Self::Source(_) | Self::NoRanges => Fault::Source,
            Self::Trust(_) => Fault::Trust,
        }
    }

    /// For the caller.
    pub fn refusal(&self) -> Refusal {
        Refusal { fault: self.fault(), reason: self.line() }
    }
}
