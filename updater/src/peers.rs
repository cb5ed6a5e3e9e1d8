//! Machines of the same site, which are asked for a release's files before the source is. They are trusted with nothing:
//! what they give is what was signed, or it is as if they had given nothing. One that is slow, is gone or lies is left at
//! once, for the rest of the upgrade, and what is missing comes from the next one, in the end from the source.
//!
//! A peer looks like a source that has nothing but targets. So any web server with a published folder can be one.
//! Metadata is never asked of them: who offers what is between the machine and its source.

mod discover;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ashlar_fetch::Policy;

use crate::error::Error;
use crate::offer::Piece;
use crate::settings::Near;
use crate::source::{Http, Source, Take};

/// More are not asked: whoever shouts on the network must not cost more than this.
const MOST: usize = 32;
/// Fewer bytes a second than this are not worth the wait, once somebody has had so long to show more.
const LEAST: u64 = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(5);

/// All of them.
#[derive(Debug, Default)]
pub struct Peers {
    peers: Vec<Peer>,
}

/// One of them.
#[derive(Debug)]
pub struct Peer {
    address: String,
    server: Http,
    patience: Duration,
    is_left: AtomicBool,
    given: AtomicU64,
}

impl Peers {
    /// Those that the configuration names, and those that answer a question on the network.
    pub fn find(near: Option<&Near>) -> Self {
        let Some(near) = near else { return Self::default() };
        let mut addresses = near.list.clone();
        if near.discover {
            match discover::addresses(MOST) {
                Ok(found) => addresses.extend(found),
                Err(error) => eprintln!("look for machines of this site: {}", error.line()),
            }
        }
        Self::new(addresses)
    }

    /// By their addresses, in an order of this upgrade's own: not all machines of a site begin with the same one.
    pub fn new(addresses: Vec<String>) -> Self {
        Self::with_patience(addresses, PATIENCE)
    }

    fn with_patience(mut addresses: Vec<String>, patience: Duration) -> Self {
        let order = RandomState::new();
        addresses.sort_by_key(|address| order.hash_one(address));
        addresses.dedup();
        Self { peers: addresses.into_iter().take(MOST).filter_map(|address| Peer::new(address, patience)).collect() }
    }

    /// Whether one of them says that it has a file.
    pub fn have(&self, file: &Piece) -> bool {
        !self.with(file).is_empty()
    }

    /// Those that say so; all are asked at the same time.
    fn with(&self, file: &Piece) -> Vec<&Peer> {
        thread::scope(|scope| {
            let peers = self.peers.iter().filter(|peer| !peer.is_left.load(Ordering::Relaxed));
            let asked: Vec<_> = peers.map(|peer| (peer, scope.spawn(|| peer.has(file)))).collect();
            asked.into_iter().filter_map(|(peer, has)| has.join().is_ok_and(|has| has).then_some(peer)).collect()
        })
    }

    /// Has a file brought by one of them after the other; `None` if none could.
    pub fn bring<T>(
        &self,
        file: &Piece,
        bring: &mut dyn FnMut(&dyn Source) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        for peer in self.with(file) {
            match bring(peer) {
                Ok(done) => return Ok(Some(done)),
                Err(error) if error.is_of_road() => peer.leave(&error.line()),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Bytes that they have given so far.
    pub fn given(&self) -> u64 {
        self.peers.iter().map(|peer| peer.given.load(Ordering::Relaxed)).sum()
    }
}

impl Peer {
    fn new(address: String, patience: Duration) -> Option<Self> {
        let policy = Policy {
            connect: patience / 2,
            silence: patience,
            tries: 2,
            back_off: Duration::from_millis(100),
            // Who is known by being near sends nobody elsewhere.
            redirects: 0,
            ..Policy::default()
        };
        let server = Http::new(&address, policy).map_err(|error| eprintln!("{}", error.line())).ok()?;
        Some(Self { address, server, patience, is_left: AtomicBool::new(false), given: AtomicU64::new(0) })
    }

    fn has(&self, file: &Piece) -> bool {
        self.server.has(&file.path).unwrap_or_else(|error| {
            self.leave(&error.line());
            false
        })
    }

    fn leave(&self, why: &str) {
        if !self.is_left.swap(true, Ordering::Relaxed) {
            eprintln!("{}: {why}: doing without it", self.address);
        }
    }
}

impl Source for Peer {
    fn whole(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    fn part(&self, path: &str, total: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
        let (begun, mut got) = (Instant::now(), 0);
        self.server.part(path, total, first, length, &mut |bytes| {
            got += bytes.len() as u64;
            let time = begun.elapsed();
            if time > self.patience && got < (LEAST as f64 * time.as_secs_f64()) as u64 {
                return Err(Error::Source(format!("{got} bytes of {path} in {} s are too few", time.as_secs())));
            }
            take(bytes)?;
            self.given.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
