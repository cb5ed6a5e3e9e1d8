//! How fast a transfer is. One with fewer bytes in a window of time than the policy accepts is alive but hopeless; one
//! with more in a second waits.

use std::time::{Duration, Instant};

pub(crate) struct Pace {
    window: Duration,
    least: u64,
    since: Instant,
    bytes: u64,
}

impl Pace {
    /// `least` is bytes in one window.
    pub(crate) fn new(window: Duration, least: u64, now: Instant) -> Self {
        Self { window, least, since: now, bytes: 0 }
    }

    /// Notes bytes that arrived; false once a whole window had too few.
    pub(crate) fn goes_on(&mut self, bytes: u64, now: Instant) -> bool {
        self.bytes += bytes;
        if now.duration_since(self.since) < self.window {
            return true;
        }
        let enough = self.bytes >= self.least;
        self.since = now;
        self.bytes = 0;
        enough
    }
}

/// Holds a transfer back.
pub(crate) struct Brake {
    most: u64,
    since: Instant,
    bytes: u64,
}

impl Brake {
    /// `most` is bytes in one second.
    pub(crate) fn new(most: u64, now: Instant) -> Self {
        Self { most: most.max(1), since: now, bytes: 0 }
    }

    /// Bytes to take at a time, so that it goes on smoothly.
    pub(crate) fn chunk(most: u64) -> usize {
        usize::try_from(most / 8).unwrap_or(usize::MAX).max(512)
    }

    /// Bytes arrived: how long to wait until the next ones may.
    pub(crate) fn wait(&mut self, bytes: u64, now: Instant) -> Duration {
        self.bytes += bytes;
        let due = Duration::from_secs_f64(self.bytes as f64 / self.most as f64);
        due.saturating_sub(now.duration_since(self.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_its_turn() {
        let start = Instant::now();
        let mut brake = Brake::new(1000, start);
        let mut check = |second: u64, bytes, wait| {
            assert_eq!(brake.wait(bytes, start + Duration::from_secs(second)), Duration::from_secs(wait));
        };
        check(0, 3000, 3);
        check(3, 1000, 1);
        check(9, 1000, 0);
        check(9, 6000, 2);
        assert_eq!([Brake::chunk(8192), Brake::chunk(0)], [1024, 512]);
    }

    #[test]
    fn judges_whole_windows() {
        fn check(arrivals: &[(u64, u64)], expect: bool) {
            let start = Instant::now();
            let mut pace = Pace::new(Duration::from_secs(10), 100, start);
            let lived =
                arrivals.iter().all(|&(second, bytes)| pace.goes_on(bytes, start + Duration::from_secs(second)));
            assert_eq!(lived, expect, "{arrivals:?}");
        }
        check(&[(1, 1), (9, 1)], true);
        check(&[(1, 1), (10, 1)], false);
        check(&[(1, 99), (10, 1)], true);
        check(&[(1, 1000), (10, 1), (20, 99)], false);
        check(&[(1, 1000), (10, 1), (20, 100)], true);
    }
}
