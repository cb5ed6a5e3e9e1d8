//! Files that others wrote, read by a process that must never wait: regular ones only, and no more than so much.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Neither wait for the other end of a pipe nor become a terminal's owner.
pub const NONBLOCK_NOCTTY: i32 = 0o4000 | 0o400;
/// Longest file.
const LIMIT: u64 = 1 << 20;

/// Reads a file as text; bytes that are none are replaced.
pub fn read(path: &Path) -> io::Result<String> {
    bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads a file.
pub fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(NONBLOCK_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LIMIT {
        return Err(io::Error::other(format!("it has more than {LIMIT} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_keep_us_waiting_is_refused() {
        let pipe = std::env::temp_dir().join(format!("ashlar-pipe-{}", std::process::id()));
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        assert_eq!(read(&pipe).unwrap_err().to_string(), "it is no regular file");
        assert!(read(Path::new("/dev/zero")).is_err() && read(Path::new("/")).is_err());
        assert!(read(Path::new("/proc/self/status")).unwrap().contains("Pid:"));
        std::fs::remove_file(pipe).unwrap();
    }
}
