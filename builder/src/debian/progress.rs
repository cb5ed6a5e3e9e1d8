//! How far a download is: a bar on a terminal, a plain line now and then elsewhere (a CI's log).

use std::io::IsTerminal;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Progress of a number of packages, told by several threads.
pub struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    done: AtomicU64,
    told: Mutex<Instant>,
}

impl Progress {
    /// Begins; `total` is in bytes.
    pub fn begin(packages: usize, total: u64) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let style = "fetch {msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}";
        let bar = terminal.then(|| {
            let bar = ProgressBar::new(total).with_message(format!("{packages} packages"));
            bar.with_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        if !terminal {
            eprintln!("fetch {packages} packages, {}", megabytes(total));
        }
        Self { bar, total, done: AtomicU64::new(0), told: Mutex::new(Instant::now()) }
    }

    /// One package went from having `before` bytes to having `now`.
    pub fn moved(&self, before: u64, now: u64) {
        // Wrapping: a transfer that starts over goes back by what it had added.
        let step = now.wrapping_sub(before);
        let done = self.done.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None => self.tell(done),
        }
    }

    fn tell(&self, done: u64) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= PLAIN_EVERY {
            *told = Instant::now();
            eprintln!("fetch: {} of {}", megabytes(done), megabytes(self.total));
        }
    }

    /// Ends; what was drawn goes away.
    pub fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}
