//! Device-mapper's control device: version, create, load a table, resume, remove (Linux `uapi/linux/dm-ioctl.h`).
//!
//! Requests are laid out as bytes at the header's offsets; the only thing left to be unsafe is the ioctl itself.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Where the kernel puts the control device once device-mapper is there.
pub const CONTROL: &str = "/dev/mapper/control";

const HEADER: usize = 312;
const SPECIFICATION: usize = 40;
const DATA_SIZE: usize = 12;
const DATA_START: usize = 16;
const TARGET_COUNT: usize = 20;
const FLAGS: usize = 28;
const DEVICE: usize = 40;
const NAME: usize = 48;
const NAME_ROOM: usize = 128;
const UUID: usize = 176;
const UUID_ROOM: usize = 129;
/// The interface that is asked for; the kernel answers with its own.
const VERSION: [u32; 3] = [4, 0, 0];
const READ_ONLY: u32 = 1;

/// Commands of the interface, by the names of the header file.
#[derive(Debug, Clone, Copy)]
enum Command {
    Version = 0,
    Create = 3,
    Remove = 4,
    /// Suspends with a flag, resumes without.
    Suspend = 6,
    LoadTable = 9,
}

/// One line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target<'a> {
    /// First sector (of 512 bytes) of the mapped device.
    pub start: u64,
    /// Its length in sectors.
    pub length: u64,
    /// Which kind of mapping, such as `verity`.
    pub kind: &'a str,
    /// What the kind wants to know.
    pub parameters: &'a str,
}

/// The open control device.
#[derive(Debug)]
pub struct Control(File);

impl Control {
    /// Opens it.
    pub fn open() -> io::Result<Self> {
        OpenOptions::new().read(true).write(true).open(CONTROL).map(Self)
    }

    /// The kernel's version of the interface.
    pub fn version(&self) -> io::Result<[u32; 3]> {
        let answer = self.call(Command::Version, Request::new("")?)?;
        Ok([answer.number(0), answer.number(4), answer.number(8)])
    }

    /// Makes a device without a table; returns its number (`dev_t` as the kernel writes it).
    fn create(&self, name: &str, uuid: &str) -> io::Result<u64> {
        let mut request = Request::new(name)?;
        request.text(UUID, UUID_ROOM, uuid)?;
        let answer = self.call(Command::Create, request)?;
        Ok(u64::from_ne_bytes(std::array::from_fn(|i| answer.bytes()[DEVICE + i])))
    }

    /// Loads a table of one target, read-only, beside the active one.
    fn load_read_only(&self, name: &str, target: &Target<'_>) -> io::Result<()> {
        let mut request = Request::new(name)?;
        request.set(FLAGS, READ_ONLY);
        request.target(target)?;
        self.call(Command::LoadTable, request).map(drop)
    }

    /// Makes the loaded table the active one.
    fn resume_read_only(&self, name: &str) -> io::Result<()> {
        let mut request = Request::new(name)?;
        request.set(FLAGS, READ_ONLY);
        self.call(Command::Suspend, request).map(drop)
    }

    /// Makes a device over a table of one target, read-only, and starts it; returns its minor number. Of several forms of
    /// the target's parameters the first one is taken that the kernel knows.
    pub fn start_read_only(
        &self,
        name: &str,
        uuid: &str,
        length: u64,
        kind: &str,
        forms: &[String],
    ) -> io::Result<u64> {
        let number = self.create(name, uuid)?;
        let mut loaded = Err(io::ErrorKind::InvalidInput.into());
        for parameters in forms {
            loaded = self.load_read_only(name, &Target { start: 0, length, kind, parameters });
            if !matches!(&loaded, Err(error) if error.raw_os_error() == Some(libc::EINVAL)) {
                break;
            }
        }
        if let Err(error) = loaded.and_then(|()| self.resume_read_only(name)) {
            let _ = self.remove(name);
            return Err(error);
        }
        Ok(minor(number))
    }

    /// Removes a device that nobody has open.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.call(Command::Remove, Request::new(name)?).map(drop)
    }

    fn call(&self, command: Command, mut request: Request) -> io::Result<Request> {
        // _IOWR(0xfd, command, struct dm_ioctl)
        let number = 3 << 30 | (HEADER as libc::c_ulong) << 16 | 0xfd << 8 | command as libc::c_ulong;
        let size = request.0.len() * 8;
        request.set(DATA_SIZE, u32::try_from(size).map_err(|_| io::ErrorKind::InvalidInput)?);
        // SAFETY: the buffer is aligned as struct dm_ioctl is, holds a whole header, and says its true size in it: the
        // kernel reads and writes within that size.
        crate::result(unsafe { libc::ioctl(self.0.as_raw_fd(), number as _, request.0.as_mut_ptr()) })?;
        Ok(request)
    }
}

/// A request: the header, then targets. Words of 64 bits, because the kernel's structure is aligned so.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Request(Vec<u64>);

impl Request {
    fn new(name: &str) -> io::Result<Self> {
        let mut request = Self(vec![0; HEADER / 8]);
        for (index, number) in VERSION.into_iter().enumerate() {
            request.set(index * 4, number);
        }
        request.set(DATA_START, HEADER as u32);
        request.text(NAME, NAME_ROOM, name)?;
        Ok(request)
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        for (at, byte) in (offset..).zip(bytes) {
            let mut word = self.0[at / 8].to_ne_bytes();
            word[at % 8] = *byte;
            self.0[at / 8] = u64::from_ne_bytes(word);
        }
    }

    fn set(&mut self, offset: usize, number: u32) {
        self.write(offset, &number.to_ne_bytes());
    }

    fn number(&self, offset: usize) -> u32 {
        let bytes = self.bytes();
        u32::from_ne_bytes(std::array::from_fn(|i| bytes[offset + i]))
    }

    /// A text that needs a NUL after it and must not have one inside.
    fn text(&mut self, offset: usize, room: usize, text: &str) -> io::Result<()> {
        if text.len() >= room || text.contains('\0') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name is too long for device-mapper"));
        }
        self.write(offset, text.as_bytes());
        Ok(())
    }

    fn target(&mut self, target: &Target<'_>) -> io::Result<()> {
        let start = self.0.len() * 8;
        // The parameters' NUL is inside: one byte more, rounded up.
        let size = (SPECIFICATION + target.parameters.len() + 1).next_multiple_of(8);
        self.0.resize(self.0.len() + size / 8, 0);
        self.write(start, &target.start.to_ne_bytes());
        self.write(start + 8, &target.length.to_ne_bytes());
        self.set(start + 20, size as u32);
        self.text(start + 24, 16, target.kind)?;
        self.text(start + SPECIFICATION, target.parameters.len() + 1, target.parameters)?;
        self.set(TARGET_COUNT, 1);
        Ok(())
    }
}

/// Minor number of a device as device-mapper writes it: 12 bits of it above the 8 of the lower half.
fn minor(number: u64) -> u64 {
    number & 0xff | number >> 12 & 0xf_ff00
}

/// Whether device-mapper is there.
pub fn is_present() -> bool {
    Path::new(CONTROL).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_laid_out_as_the_kernel_reads_it() {
        let mut request = Request::new("root").unwrap();
        request.target(&Target { start: 0, length: 16, kind: "verity", parameters: "1 254:2" }).unwrap();
        let bytes = request.bytes();
        let check =
            |range: std::ops::Range<usize>, expect: &[u8]| assert_eq!(&bytes[range.clone()], expect, "{range:?}");
        check(0..4, &4u32.to_ne_bytes());
        check(16..20, &312u32.to_ne_bytes());
        check(20..24, &1u32.to_ne_bytes());
        check(48..53, b"root\0");
        check(320..328, &16u64.to_ne_bytes());
        check(332..336, &48u32.to_ne_bytes());
        check(336..343, b"verity\0");
        check(352..360, b"1 254:2\0");
        assert_eq!(bytes.len(), 312 + 48);
    }

    #[test]
    fn minors() {
        let check = |number, expect| assert_eq!(minor(number), expect, "{number:x}");
        check(254 << 8, 0);
        check(254 << 8 | 3, 3);
        check(1 << 20 | 254 << 8 | 3, 259);
    }

    #[test]
    fn names_that_do_not_fit_are_refused() {
        let check = |name: &str, fits| assert_eq!(Request::new(name).is_ok(), fits, "{name}");
        check(&"x".repeat(127), true);
        check(&"x".repeat(128), false);
        check("a\0b", false);
    }
}
