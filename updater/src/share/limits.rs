//! How many guests there may be at the same time, and how much they are given in a second.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are given at a time.
pub const PART: usize = 16 << 10;
/// Guests at the same time; whoever comes then goes to another machine, or to the source.
const MOST: usize = 16;
/// Of them, from one address.
const MOST_OF_ONE: usize = 4;

/// Who is there.
#[derive(Debug, Default)]
pub struct Guests(Mutex<BTreeMap<IpAddr, usize>>);

/// A guest's place, until the value goes away.
#[derive(Debug)]
pub struct Place<'a> {
    guests: &'a Guests,
    guest: IpAddr,
}

impl Guests {
    /// A place, if there is one left.
    pub fn let_in(&self, guest: IpAddr) -> Option<Place<'_>> {
        let mut there = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_one = there.get(&guest).copied().unwrap_or_default();
        if there.values().sum::<usize>() >= MOST || of_one >= MOST_OF_ONE {
            return None;
        }
        there.insert(guest, of_one + 1);
        Some(Place { guests: self, guest })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut there = self.guests.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_one) = there.get_mut(&self.guest) {
            *of_one -= 1;
        }
        there.retain(|_, of_one| *of_one > 0);
    }
}

/// Holds all of them back together. What was not given in one second is not given in the next one.
#[derive(Debug)]
pub struct Brake {
    most: u64,
    /// When the next bytes may go.
    free: Option<Instant>,
}

impl Brake {
    /// `most` is bytes in one second.
    pub fn new(most: u64) -> Self {
        Self { most: most.max(1), free: None }
    }

    /// How long these bytes have to wait, behind those that wait already.
    pub fn wait(&mut self, bytes: u64, now: Instant) -> Duration {
        let free = self.free.map_or(now, |free| free.max(now));
        self.free = Some(free + Duration::from_secs_f64(bytes as f64 / self.most as f64));
        free - now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let guests = Guests::default();
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let of_one: Vec<_> = (0..MOST_OF_ONE).map(|_| guests.let_in(address(1)).unwrap()).collect();
        assert!(guests.let_in(address(1)).is_none());
        let others: Vec<_> = (2..).map_while(|n| guests.let_in(address(n))).collect();
        assert_eq!(of_one.len() + others.len(), MOST);
        drop(of_one);
        assert!(guests.let_in(address(1)).is_some());
        drop(others);
        assert!(guests.0.lock().unwrap().is_empty());
    }

    /// Whoever asks, and however often: in any span of time there are no more bytes than the limit has for it.
    #[test]
    fn all_wait_for_the_same_bytes() {
        let (begin, mut brake) = (Instant::now(), Brake::new(1000));
        let mut check = |second: u64, bytes, wait| {
            let waits = brake.wait(bytes, begin + Duration::from_secs(second));
            assert_eq!(waits, Duration::from_secs(wait), "{second}");
        };
        check(0, 2000, 0);
        check(0, 1000, 2);
        check(1, 1000, 2);
        check(4, 500, 0);
        // An hour without guests is not saved up.
        check(3600, 3000, 0);
        check(3600, 1, 3);
        let mut brake = Brake::new(u64::MAX);
        assert_eq!(brake.wait(1 << 30, begin), Duration::ZERO);
        assert!(brake.wait(1, begin) < Duration::from_micros(1));
    }
}
