//! Reading files that are mostly holes: the kernel would fill its page cache with the zeros of a hole, which takes
//! longer than to hash them and throws out what other steps read.

use std::fs::File;
use std::io::{self, Read};

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

/// A file that is read from its start, holes without the kernel.
pub struct Sparse {
    file: File,
    at: u64,
    /// Where the data or hole at `at` ends.
    end: u64,
    is_hole: bool,
    size: u64,
}

impl Sparse {
    /// Begins at the start.
    ///
    /// # Errors
    /// The file cannot be looked at.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, at: 0, end: 0, is_hole: false, size })
    }

    /// Finds out what is at `at`.
    fn look(&mut self) -> io::Result<()> {
        let at = i64::try_from(self.at).map_err(io::Error::other)?;
        let data = match lseek(&self.file, at, Whence::SeekData) {
            Ok(data) => data.cast_unsigned(),
            // Nothing but a hole is left.
            Err(Errno::ENXIO) => self.size,
            // A file system that knows no holes.
            Err(_) => self.at,
        };
        self.is_hole = data > self.at;
        self.end = match self.is_hole {
            true => data,
            false => lseek(&self.file, at, Whence::SeekHole).map_or(self.size, i64::cast_unsigned),
        };
        if !self.is_hole {
            lseek(&self.file, at, Whence::SeekSet)?;
        }
        Ok(())
    }
}

impl Read for Sparse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size {
            return Ok(0);
        }
        if self.at >= self.end {
            self.look()?;
        }
        let left = usize::try_from(self.end.min(self.size) - self.at).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let buffer = &mut buffer[..length];
        let read = if self.is_hole {
            buffer.fill(0);
            buffer.len()
        } else {
            self.file.read(buffer)?
        };
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn reads_what_is_there() {
        let check = |size: u64, pieces: &[(u64, usize)]| {
            let file = tempfile::tempfile().unwrap();
            file.set_len(size).unwrap();
            let mut expect = vec![0; size as usize];
            for (at, length) in pieces {
                file.write_all_at(&vec![7; *length], *at).unwrap();
                expect[*at as usize..*at as usize + length].fill(7);
            }
            let mut read = Vec::new();
            Sparse::new(file).unwrap().read_to_end(&mut read).unwrap();
            assert!(read == expect, "{size} {pieces:?}");
        };
        check(0, &[]);
        check(100, &[(0, 100)]);
        check(1 << 20, &[]);
        check(1 << 20, &[(0, 10)]);
        check(1 << 20, &[(300_000, 70_000), (900_001, 5)]);
        check((1 << 20) + 13, &[((1 << 20), 13)]);
    }
}
