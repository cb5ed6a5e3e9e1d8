//! Host names, asked for once in a while instead of once for each request.
//!
//! ureq resolves even where a kept connection is used. On a machine whose resolver loses a packet now and then
//! (five seconds each time), a fetch of 173 packages took 30 s instead of less than one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Short enough that a server which moves is found again between two tries of a patient caller.
const KEPT: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Names {
    system: DefaultResolver,
    known: Mutex<HashMap<String, (Instant, ResolvedSocketAddrs)>>,
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let name = format!("{}://{}", uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |a| a.as_str()));
        // Held while the system is asked: threads that want the same name wait for the one answer.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, addresses)) = known.get(&name).filter(|(when, _)| when.elapsed() < KEPT) {
            return Ok(addresses.clone());
        }
        let addresses = self.system.resolve(uri, config, timeout)?;
        known.insert(name, (Instant::now(), addresses.clone()));
        Ok(addresses)
    }
}
