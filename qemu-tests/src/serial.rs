//! The serial console: everything the machine prints, kept in a file, and lines typed to it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};

/// Lines of context in a failure.
const SHOWN: usize = 25;

/// The console of one machine over all its boots.
#[derive(Debug)]
pub struct Serial {
    heard: Arc<Heard>,
    input: ChildStdin,
    /// Up to where earlier waits have read.
    position: usize,
}

#[derive(Debug, Default)]
struct Heard {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: String,
    /// When it grew.
    heard: Option<SystemTime>,
    ended: bool,
}

impl Serial {
    /// Listens to QEMU's standard output and copies it to `log`.
    pub fn new(input: ChildStdin, output: ChildStdout, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let heard = Arc::new(Heard::default());
        let listener = Arc::clone(&heard);
        std::thread::spawn(move || listener.listen(output, file));
        Ok(Self { heard, input, position: 0 })
    }

    /// Waits until the machine has printed `text` after what earlier waits found, and returns the line it is in.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> Result<String> {
        let (_, line) = self.wait_for_any(&[text], patience)?;
        Ok(line)
    }

    /// As [`Self::wait_for`], and until the line has come to its end.
    pub fn wait_for_line(&mut self, text: &str, patience: Duration) -> Result<String> {
        let before = self.position;
        self.wait_for(text, patience)?;
        self.wait_for("\n", patience)?;
        self.position = before;
        self.wait_for(text, patience)
    }

    /// As [`Self::wait_for`], for the first of several texts: its index and the line.
    pub fn wait_for_any(&mut self, texts: &[&str], patience: Duration) -> Result<(usize, String)> {
        let until = Instant::now() + patience;
        let mut state = self.heard.lock();
        loop {
            let fresh = &state.text[self.position..];
            let found = texts.iter().enumerate().filter_map(|(index, text)| Some((fresh.find(text)?, index)));
            if let Some((at, index)) = found.min() {
                let (line, end) = line_around(&state.text, self.position + at, texts[index].len());
                self.position = end;
                return Ok((index, line));
            }
            let left = until.saturating_duration_since(Instant::now());
            let wanted = texts.join("` or `");
            if state.ended {
                bail!("QEMU ended before the console showed `{wanted}`; its last lines:\n{}", tail(&state.text));
            }
            if left.is_zero() {
                let waited = patience.as_secs();
                bail!("the console did not show `{wanted}` within {waited} s; its last lines:\n{}", tail(&state.text));
            }
            state = self.heard.news.wait_timeout(state, left).unwrap_or_else(|poison| poison.into_inner()).0;
        }
    }

    /// Waits until something has been printed after a moment, and says whether it was.
    pub fn speaks_after(&self, moment: SystemTime, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.heard.lock();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if state.ended || left.is_zero() || state.heard.is_some_and(|heard| heard > moment) {
                return state.heard.is_some_and(|heard| heard > moment);
            }
            state = self.heard.news.wait_timeout(state, left).unwrap_or_else(|poison| poison.into_inner()).0;
        }
    }

    /// What was printed after what waits have found.
    pub fn fresh(&self) -> String {
        self.heard.lock().text[self.position..].to_owned()
    }

    /// Everything so far.
    pub fn text(&self) -> String {
        self.heard.lock().text.clone()
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) -> Result<()> {
        self.input.write_all(format!("{line}\r").as_bytes()).context("cannot type on the console")?;
        Ok(self.input.flush()?)
    }

    /// Waits from here on for what comes next only.
    pub fn skip(&mut self) {
        self.position = self.heard.lock().text.len();
    }
}

impl Heard {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    fn listen(&self, mut output: ChildStdout, mut file: File) {
        let mut buffer = [0; 4096];
        loop {
            let length = output.read(&mut buffer).unwrap_or(0);
            let mut state = self.lock();
            if length == 0 {
                state.ended = true;
                self.news.notify_all();
                return;
            }
            let _ = file.write_all(&buffer[..length]);
            // A character cut at the buffer's end is shown as two marks: what is waited for is ASCII.
            state.text += &String::from_utf8_lossy(&buffer[..length]);
            state.heard = Some(SystemTime::now());
            self.news.notify_all();
        }
    }
}

/// The whole line around a hit, and where the hit ends.
fn line_around(text: &str, at: usize, length: usize) -> (String, usize) {
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at + length..].find('\n').map_or(text.len(), |newline| at + length + newline);
    (text[start..end].trim().to_owned(), at + length)
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |text: &str, wanted: &str, expect: &str| {
            let at = text.find(wanted).unwrap();
            assert_eq!(line_around(text, at, wanted.len()), (expect.to_owned(), at + wanted.len()));
        };
        check("a\r\nAshlar 1 ready\r\nb", "ready", "Ashlar 1 ready");
        check("login: ", "login:", "login:");
    }

    #[test]
    fn tails() {
        let text: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert!(tail(&text).starts_with("75\n"));
        assert_eq!(tail("x"), "x");
    }
}
