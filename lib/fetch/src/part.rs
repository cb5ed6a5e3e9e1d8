//! A part of a file, handed on as it comes: one closed range for each request, whose answer is checked exactly.

use std::io;

use crate::client::{Answer, Client};
use crate::download::{check_length, check_range};
use crate::error::{Cause, Error};

/// So many bytes are headway, also when the transfer stalled behind them.
const ENOUGH: u64 = 1 << 20;

impl Client {
    /// Hands bytes `first..=last` of a file of `total` bytes to `take`, in their order and once each. After a cut it goes
    /// on where it stopped.
    ///
    /// # Errors
    /// After the policy's tries without headway, or at once where another try cannot help: the server has no ranges
    /// ([`Error::has_no_ranges`]; a whole file needs none), or `take` takes no more.
    pub fn part(
        &self,
        url: &str,
        total: u64,
        (first, last): (u64, u64),
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut tries = self.tries();
        let mut place = first;
        while place <= last {
            let before = place;
            if let Err(cause) = self.go_on(url, total, last, &mut place, take) {
                // Whoever drips gets on, too, and never comes to an end.
                let enough = if matches!(cause, Cause::Stalled { .. }) { ENOUGH } else { 1 };
                if place - before >= enough {
                    tries.reset();
                }
                tries.after(cause).map_err(|cause| Error::new(url, cause))?;
            }
        }
        Ok(())
    }

    fn go_on(
        &self,
        url: &str,
        total: u64,
        last: u64,
        place: &mut u64,
        take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Cause> {
        let whole = *place == 0 && last + 1 == total;
        let mut answer = self.ask(url, (!whole).then_some((*place, last)))?;
        judge(&answer, total, *place, last)?;
        while let Some(chunk) = answer.next_chunk(*place, last + 1)? {
            let length = chunk.len() as u64;
            if *place + length > last + 1 {
                return Err(Cause::TooLarge { limit: last + 1 });
            }
            take(chunk).map_err(Cause::NotTaken)?;
            *place += length;
        }
        if *place <= last { Err(Cause::Cut { got: *place, want: last + 1 }) } else { Ok(()) }
    }
}

/// What is handed on cannot be taken back: an answer that is not exactly what was asked for is none.
fn judge(answer: &Answer, total: u64, first: u64, last: u64) -> Result<(), Cause> {
    let whole = first == 0 && last + 1 == total;
    match answer.status {
        206 => check_range(answer, first, last, total),
        200 if whole => check_length(answer, total),
        200 => Err(Cause::Range { got: "the whole file".to_owned(), want: format!("bytes {first}-{last}/{total}") }),
        status => Err(Cause::Status(status)),
    }
}
