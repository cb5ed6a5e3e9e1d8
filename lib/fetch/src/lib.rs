//! HTTP(S) for machines that distrust the network: every transfer has a size limit, a blob is what its
//! SHA-256 says, and a cut transfer goes on where it stopped.
//!
//! Blocking, on purpose: callers that want parallelism use threads. Proxies come from the environment
//! (`http_proxy`, `https_proxy`, `no_proxy`). Nothing here knows Debian or TUF; of OCI it knows how registries are spoken to.
//!
//! Errors name the path of a URL and never its host: they end in logs that people publish.
#![warn(missing_docs)]

mod cache;
mod client;
mod digest;
mod download;
mod error;
mod names;
mod pace;
mod part;
pub mod registry;

pub use cache::Cache;
pub use client::{Client, Policy, Proxy};
pub use digest::{BadDigest, Blob, Digest};
pub use error::{Cause, Error};
pub use registry::Registry;
