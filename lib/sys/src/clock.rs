//! Clocks as numbers.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the kernel started, without the time that the machine slept.
pub fn monotonic() -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::zeroed();
    // SAFETY: the kernel writes a timespec; zero is a valid one, too.
    let time = unsafe {
        libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr());
        time.assume_init()
    };
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

/// Microseconds since the epoch.
pub fn real() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| u64::try_from(time.as_micros()).unwrap_or(0))
}

/// A moment of local time: year, month (from 1), day, hour, minute, second.
pub type Local = [u32; 6];

/// What local time shows at a moment, in seconds since the epoch.
pub fn local(seconds: i64) -> Option<Local> {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: reads a time_t, which has 64 bits here, writes a tm; both are on the stack.
    let parts = unsafe {
        tzset();
        let made = libc::localtime_r(&raw const seconds, parts.as_mut_ptr());
        if made.is_null() {
            return None;
        }
        parts.assume_init()
    };
    fields(&parts)
}

/// The same in UTC.
pub fn utc(seconds: i64) -> Option<Local> {
    let mut parts = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: as in `local`.
    let parts = unsafe {
        let made = libc::gmtime_r(&raw const seconds, parts.as_mut_ptr());
        if made.is_null() {
            return None;
        }
        parts.assume_init()
    };
    fields(&parts)
}

fn fields(parts: &libc::tm) -> Option<Local> {
    let fields =
        [parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec.min(59)];
    let mut local = [0; 6];
    for (to, from) in local.iter_mut().zip(fields) {
        *to = u32::try_from(from).ok()?;
    }
    Some(local)
}

/// When local time shows this, in seconds since the epoch. What it skips is moved on, what it shows twice is the first.
pub fn of_local([year, month, day, hour, minute, second]: Local) -> Option<i64> {
    let number = |value: u32| i32::try_from(value).ok();
    // SAFETY: zero is a valid tm.
    let mut parts: libc::tm = unsafe { MaybeUninit::zeroed().assume_init() };
    (parts.tm_year, parts.tm_mon, parts.tm_mday) = (number(year)? - 1900, number(month)? - 1, number(day)?);
    (parts.tm_hour, parts.tm_min, parts.tm_sec) = (number(hour)?, number(minute)?, number(second)?);
    parts.tm_isdst = -1;
    // SAFETY: reads and writes a tm on the stack.
    let time = unsafe {
        tzset();
        libc::mktime(&raw mut parts)
    };
    (time != -1).then_some(time)
}

unsafe extern "C" {
    /// tzset(3): reads the zone again if it is another one.
    fn tzset();
}

/// Tells when somebody sets the clock.
#[derive(Debug)]
pub struct Changes(OwnedFd);

impl Changes {
    /// Readable from the next change on.
    pub fn new() -> io::Result<Self> {
        // SAFETY: takes flags, returns a new descriptor or -1.
        let fd = crate::result(unsafe {
            libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK)
        })?;
        // SAFETY: the descriptor is new and owned by nobody else.
        let changes = Self(unsafe { OwnedFd::from_raw_fd(fd) });
        changes.arm()?;
        Ok(changes)
    }

    /// Takes note of a change, and waits for the next one.
    pub fn take(&self) {
        let mut buffer = [0u8; 8];
        // SAFETY: the buffer is eight bytes long and writable.
        unsafe { libc::read(self.0.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        let _ = self.arm();
    }

    /// A time that never comes, which a change of the clock cancels.
    fn arm(&self) -> io::Result<()> {
        let never = libc::timespec { tv_sec: i64::MAX / 2, tv_nsec: 0 };
        let value = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: never };
        let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
        // SAFETY: the descriptor is a timer's, the value is on the stack.
        crate::result(unsafe {
            libc::timerfd_settime(self.0.as_raw_fd(), flags, &raw const value, std::ptr::null_mut())
        })
        .map(drop)
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_time_goes_there_and_back() {
        for seconds in [0, 1_000_000_000, 1_708_691_415] {
            let shown = local(seconds).unwrap();
            assert_eq!(of_local(shown), Some(seconds), "{shown:?}");
        }
        assert!(Changes::new().is_ok());
    }
}
