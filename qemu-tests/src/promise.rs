//! Checking many promises along one boot: each one is tried even when another is broken, and the story fails at its end
//! with all that were.

use std::time::{Duration, Instant};

use anyhow::Result;

/// The promises of one story.
#[derive(Debug, Default)]
pub struct Promises {
    broken: Vec<String>,
    kept: usize,
}

impl Promises {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tries one.
    pub fn check(&mut self, promise: &str, trial: impl FnOnce() -> Result<()>) {
        let begun = Instant::now();
        match trial() {
            Ok(()) => {
                self.kept += 1;
                println!("  kept    {promise} ({:.1} s)", begun.elapsed().as_secs_f32());
            }
            Err(error) => {
                println!("  BROKEN  {promise}: {error:#}");
                self.broken.push(format!("{promise}: {error:#}"));
            }
        }
    }

    /// Fails if one was broken, or none was tried.
    ///
    /// # Panics
    /// Then.
    pub fn finish(self) {
        assert!(self.broken.is_empty(), "{} broken:\n- {}", self.broken.len(), self.broken.join("\n- "));
        assert!(self.kept > 0, "the story tried nothing");
    }
}

/// Tries until it holds; the last error once `patience` is over.
pub fn eventually<T>(patience: Duration, mut trial: impl FnMut() -> Result<T>) -> Result<T> {
    let until = Instant::now() + patience;
    loop {
        match trial() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() > until => {
                return Err(error.context(format!("not within {} s", patience.as_secs())));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_are_counted() {
        let mut promises = Promises::new();
        promises.check("one", || Ok(()));
        promises.check("two", || anyhow::bail!("no"));
        assert_eq!((promises.kept, promises.broken.len()), (1, 1));
        assert_eq!(promises.broken[0], "two: no");
    }

    #[test]
    fn things_come_true() {
        let mut tries = 0;
        let result = eventually(Duration::from_secs(5), || {
            tries += 1;
            if tries < 2 { anyhow::bail!("not yet") } else { Ok(tries) }
        });
        assert_eq!(result.unwrap(), 2);
        assert!(eventually(Duration::ZERO, || -> Result<()> { anyhow::bail!("never") }).is_err());
    }
}
