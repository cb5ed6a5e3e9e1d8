//! Counting what test runners did, from the lines that they close with.

use std::fmt;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::ops::AddAssign;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// How many passed and failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: u32,
    pub failed: u32,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs a test runner, shows what it prints and counts. One that fails without saying what counts as one failure.
pub fn count(mut command: Command) -> Result<Tally> {
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    // Cargo's runner closes on standard output, nextest on standard error: both go through one pipe, in their order.
    let (reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("cannot run the tests")?;
    // The pipe ends when nobody holds its other side any more, and the command still does.
    drop(command);
    let mut tally = Tally::default();
    let mut lines = BufReader::new(reader);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        std::io::stdout().write_all(&line)?;
        std::io::stdout().flush()?;
        if let Some(part) = closing(&plain(&String::from_utf8_lossy(&line))) {
            tally += part;
        }
        line.clear();
    }
    let status = child.wait()?;
    if !status.success() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// `test result: ok. 3 passed; 0 failed; …` or `Summary [ 1.2s] 3 tests run: 2 passed (1 slow), 1 failed, 0 skipped`.
fn closing(line: &str) -> Option<Tally> {
    // What a test printed itself is shown indented, and was counted by its runner.
    if !line.starts_with("test result: ") && !line.trim_start().starts_with("Summary [") {
        return None;
    }
    let words: Vec<&str> = line.split([' ', ',', ';', ':', '(', ')']).filter(|word| !word.is_empty()).collect();
    let before = |wanted: &str| -> u32 {
        let pairs = words.windows(2).filter(|pair| pair[1] == wanted);
        pairs.filter_map(|pair| pair[0].parse::<u32>().ok()).sum()
    };
    Some(Tally { passed: before("passed"), failed: before("failed") + before("timed") })
}

/// Without colours.
fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines() {
        let check = |line: &str, expect: Option<(u32, u32)>| {
            let expect = expect.map(|(passed, failed)| Tally { passed, failed });
            assert_eq!(closing(&plain(line)), expect, "{line}");
        };
        check("test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 1 filtered out", Some((3, 0)));
        check("     Summary [   0.013s] 3 tests run: 3 passed, 0 skipped", Some((3, 0)));
        check("     Summary [   9.0s] 5 tests run: 2 passed (1 slow), 2 failed, 1 timed out, 0 skipped", Some((2, 3)));
        check(
            "\x1b[32;1m     Summary\x1b[0m [   0.0s] \x1b[1m1\x1b[0m test run: \x1b[1m1\x1b[0m \x1b[32;1mpassed\x1b[0m",
            Some((1, 0)),
        );
        check("    test result: ok. 1 passed; 0 failed; 0 ignored", None);
        check("test a ... ok", None);
    }
}
