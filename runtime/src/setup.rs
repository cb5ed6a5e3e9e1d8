//! How a set-up went: records through a pipe that closes when the program is executed.
//!
//! Both processes of a set-up hold the writing end. A record is a failure, says that the program is about to be
//! executed, or that all is ready and waits to be started, which is the end of what is told here. At the end of the pipe: a failure if there is one; else success if the execution was announced; else
//! whoever set up was killed.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use ashlar_sys::{descriptor, process};

use crate::error::{Error, Failure, Step};

const EXECUTING: u8 = 0xff;
const READY: u8 = 0xfe;
/// Longest text in a record; the whole fits into what a pipe takes at once.
const TEXT_LIMIT: usize = 1500;

/// The end that is written to.
#[derive(Debug)]
pub(crate) struct Reporter {
    pipe: File,
    /// A person who reads along.
    person: Option<File>,
}

impl Reporter {
    /// To somebody at the other end of a socket.
    pub(crate) fn over(socket: OwnedFd) -> Self {
        Self { pipe: socket.into(), person: None }
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }

    /// A copy out of the way of the descriptors below `lowest`; `person` reads along what fails.
    pub(crate) fn above(&self, lowest: usize, person: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let person = person.map(|fd| process::above(fd, lowest)).transpose()?.map(File::from);
        Ok(Self { pipe: process::above(&self.pipe, lowest)?.into(), person })
    }

    pub(crate) fn failed(&self, failure: &Failure) {
        write(&self.pipe, &encode(failure));
        if let Some(person) = &self.person {
            write(person, format!("{failure}\n").as_bytes());
        }
    }

    pub(crate) fn ready(&self) {
        write(&self.pipe, &[READY]);
    }

    pub(crate) fn executing(&self) {
        write(&self.pipe, &[EXECUTING]);
    }
}

/// Nobody may be reading any more: then there is nobody to be told. One call only: a filter may be in force.
fn write(mut file: &File, bytes: &[u8]) {
    let _ = file.write_all(bytes);
}

/// Step, error number, then subject and reason, each with its length before it.
fn encode(failure: &Failure) -> Vec<u8> {
    let mut record = vec![failure.step as u8];
    record.extend(failure.errno.to_le_bytes());
    for text in [&failure.subject, &failure.reason] {
        let end = (0..=TEXT_LIMIT.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        record.extend((end as u16).to_le_bytes());
        record.extend(&text.as_bytes()[..end]);
    }
    record
}

fn decode(bytes: &[u8]) -> Option<Failure> {
    let step = Step::from_number(*bytes.first()?)?;
    let errno = i32::from_le_bytes(bytes.get(1..5)?.try_into().ok()?);
    let (subject, rest) = text(bytes.get(5..)?)?;
    let (reason, _) = text(rest)?;
    Some(Failure { step, subject, errno, reason })
}

fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let length = usize::from(u16::from_le_bytes(bytes.get(..2)?.try_into().ok()?));
    let text = bytes.get(2..2 + length)?;
    Some((String::from_utf8_lossy(text).into_owned(), &bytes[2 + length..]))
}

/// A set-up that is under way.
#[derive(Debug)]
pub struct Setup {
    pipe: File,
    subject: String,
    read: Vec<u8>,
}

/// Both ends. `subject` is what the start is called in errors.
pub(crate) fn pair(subject: String) -> io::Result<(Setup, Reporter)> {
    let (reader, writer) = io::pipe()?;
    Ok((Setup::over(reader.into(), subject)?, Reporter::over(writer.into())))
}

impl Setup {
    /// What comes out of a pipe or a socket.
    pub(crate) fn over(pipe: OwnedFd, subject: String) -> io::Result<Self> {
        descriptor::set_blocking(&pipe, false)?;
        Ok(Self { pipe: pipe.into(), subject, read: Vec::new() })
    }

    /// Readable when there is something to say.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Executed, or which step failed and why; `None`: not yet. Never waits.
    pub fn outcome(&mut self) -> Option<Result<(), Error>> {
        let mut buffer = [0; 4096];
        loop {
            match self.pipe.read(&mut buffer) {
                Ok(0) => return Some(self.verdict()),
                Ok(count) => {
                    self.read.extend(&buffer[..count]);
                    if self.read == [READY] {
                        return Some(Ok(()));
                    }
                    // The other process may go on for a while; what it does is of no use any more.
                    if let Some(failure) = self.failure() {
                        return Some(Err(failure.into()));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => return Some(Err(Failure::new(Step::Fork, &self.subject, &error).into())),
            }
        }
    }

    /// Waits for the outcome.
    pub fn wait(&mut self) -> Result<(), Error> {
        loop {
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            let _ = process::readable(&[self.pipe.as_fd()], -1);
        }
    }

    /// The outcome once the process itself has ended, whoever still holds the pipe.
    pub fn ended(mut self) -> Result<(), Error> {
        self.outcome().unwrap_or_else(|| self.verdict())
    }

    fn executing(&self) -> bool {
        self.read.first() == Some(&EXECUTING)
    }

    fn failure(&self) -> Option<Failure> {
        decode(&self.read[usize::from(self.executing())..])
    }

    fn verdict(&self) -> Result<(), Error> {
        match (self.failure(), self.executing()) {
            (Some(failure), _) => Err(failure.into()),
            (None, true) => Ok(()),
            (None, false) => Err(Error::Killed { subject: self.subject.clone() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes() {
        let failure = Failure::because(Step::Hook, "/bin/h", "it ended with 3");
        let check = |records: &[Option<&Failure>], expect: &str| {
            let (mut setup, reporter) = pair("x".into()).unwrap();
            assert!(setup.outcome().is_none());
            for record in records {
                record.map_or_else(|| reporter.executing(), |failure| reporter.failed(failure));
            }
            let early = setup.outcome();
            assert_eq!(early.is_some(), records.contains(&Some(&failure)));
            drop(reporter);
            let text = early
                .or_else(|| setup.outcome())
                .unwrap()
                .map_or_else(|error| error.to_string(), |()| "executed".into());
            assert_eq!(text, expect);
        };
        check(&[None], "executed");
        check(&[Some(&failure)], "cannot run hook /bin/h: it ended with 3");
        check(&[None, Some(&failure)], "cannot run hook /bin/h: it ended with 3");
        check(&[], "cannot start x: it was killed while it was set up");
    }

    #[test]
    fn long_texts_are_cut() {
        let long = "ü".repeat(2000);
        let failure = decode(&encode(&Failure::because(Step::Mount, &long, "r"))).unwrap();
        assert_eq!((failure.subject.len(), failure.reason.as_str()), (TEXT_LIMIT, "r"));
    }
}
