//! What can go wrong with a transfer, whose fault it is, and whether another try can help.

use std::io;

use crate::Digest;

/// A transfer that failed.
#[derive(Debug, thiserror::Error)]
#[error("fetch {path}")]
pub struct Error {
    /// Path of the URL; the host is left out.
    pub path: String,
    /// What went wrong.
    #[source]
    pub cause: Cause,
}

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The URL cannot be used.
    #[error("use the URL: {0}")]
    Url(String),
    /// No connection, or one that broke before an answer came.
    #[error("reach the server: {0}")]
    Connect(String),
    /// An HTTP status other than success.
    #[error("the server answered {0}")]
    Status(u16),
    /// The server lets us do nothing, or not that.
    #[error("be let in: {0}")]
    Denied(String),
    /// What a tag names is none of ours.
    #[error("read the manifest: {0}")]
    Manifest(String),
    /// The body ended early.
    #[error("the transfer was cut after {got} of {want} bytes")]
    Cut {
        /// Bytes that arrived.
        got: u64,
        /// Bytes that were promised.
        want: u64,
    },
    /// Too few bytes arrived for too long.
    #[error("the transfer stalled after {got} bytes")]
    Stalled {
        /// Bytes that had arrived.
        got: u64,
    },
    /// More content than the caller accepts.
    #[error("the content is larger than {limit} bytes")]
    TooLarge {
        /// The caller's limit in bytes.
        limit: u64,
    },
    /// The server has content of another length.
    #[error("the server has {got} bytes, not the {want} that are pinned")]
    Size {
        /// Length that the server names.
        got: u64,
        /// Length that the caller pinned.
        want: u64,
    },
    /// The content is not the one that was pinned.
    #[error("the content is {got}, not the {want} that is pinned")]
    Digest {
        /// Digest of what arrived.
        got: Digest,
        /// Digest that the caller pinned.
        want: Digest,
    },
    /// The server answered another range than the one asked for.
    #[error("the server answered range {got:?} to {want:?}")]
    Range {
        /// Its Content-Range.
        got: String,
        /// What the answer must be.
        want: String,
    },
    /// Whoever asked takes no more.
    #[error("hand the content over: {0}")]
    NotTaken(io::Error),
    /// The local file could not be read or written.
    #[error("write {file}: {source}")]
    File {
        /// The local path.
        file: String,
        /// The system's error.
        source: io::Error,
    },
}

impl Cause {
    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Cause::Connect(_) | Cause::Cut { .. } | Cause::Stalled { .. } => true,
            Cause::Status(status) => matches!(status, 408 | 425 | 429 | 500 | 502..=504),
            _ => false,
        }
    }

    pub(crate) fn file(path: &std::path::Path, source: io::Error) -> Self {
        Cause::File { file: path.display().to_string(), source }
    }
}

impl Error {
    pub(crate) fn new(url: &str, cause: Cause) -> Self {
        Self { path: path_of(url), cause }
    }

    /// Whether the server answered with something else than the part that was asked for.
    pub fn has_no_ranges(&self) -> bool {
        matches!(self.cause, Cause::Range { .. } | Cause::Status(416))
    }

    /// Whether the server has none of that. Some stores answer 403, so as not to tell what they have.
    pub fn is_absence(&self) -> bool {
        matches!(self.cause, Cause::Status(403 | 404 | 410))
    }

    /// The HTTP status, where the server answered one that is not success.
    pub fn status(&self) -> Option<u16> {
        match self.cause {
            Cause::Status(status) => Some(status),
            _ => None,
        }
    }
}

/// Path of a URL, without scheme, credentials, host, query and fragment.
fn path_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("/", |at| &rest[at..]);
    path.split(['?', '#']).next().unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_hides_the_host() {
        fn check(url: &str, expect: &str) {
            assert_eq!(path_of(url), expect);
        }
        check("http://user:word@host:80/debian/dists?token=1", "/debian/dists");
        check("https://host", "/");
        check("https://host/#x", "/");
    }

    #[test]
    fn which_causes_are_worth_another_try() {
        fn check(cause: Cause, expect: bool) {
            assert_eq!(cause.is_transient(), expect, "{cause}");
        }
        check(Cause::Status(503), true);
        check(Cause::Status(404), false);
        check(Cause::Status(501), false);
        check(Cause::Cut { got: 1, want: 2 }, true);
        check(Cause::TooLarge { limit: 1 }, false);
    }
}
