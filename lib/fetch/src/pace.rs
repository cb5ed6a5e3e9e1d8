//! A transfer that is alive but hopeless: fewer bytes in a window of time than the policy accepts.

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

#[cfg(test)]
mod tests {
    use super::*;

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
