//! Standard output and error of services: a stream into the journal, the kernel's log while there is none.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use ashlar_config::unit::Output;

const STREAM: &str = "/run/systemd/journal/stdout";
const INFO: u8 = 6;

/// Where a service writes, and what JOURNAL_STREAM says of it.
#[derive(Debug)]
pub struct Sink {
    pub fd: OwnedFd,
    pub journal_stream: Option<String>,
}

/// Opens the place where `unit` shall write, under `identifier` or its own name.
pub fn open(unit: &str, identifier: &str, output: Output) -> io::Result<Sink> {
    if output == Output::Null {
        return plain("/dev/null");
    }
    match stream(unit, identifier) {
        Ok(sink) => Ok(sink),
        Err(_) => plain("/dev/kmsg").or_else(|_| plain("/dev/null")),
    }
}

fn plain(path: &str) -> io::Result<Sink> {
    let fd = OpenOptions::new().write(true).open(path)?.into();
    Ok(Sink { fd, journal_stream: None })
}

/// systemd's stream protocol: seven lines (identifier, unit, priority, level prefix, forward to syslog, kmsg, console),
/// then the text.
fn stream(unit: &str, identifier: &str) -> io::Result<Sink> {
    let fd = ashlar_sys::socket::connect_unix(std::path::Path::new(STREAM), ashlar_sys::socket::Kind::Stream)?;
    let mut stream = UnixStream::from(fd);
    let own = unit.strip_suffix(".service").unwrap_or(unit);
    let identifier = if identifier.is_empty() { own } else { identifier };
    stream.write_all(format!("{identifier}\n{unit}\n{INFO}\n1\n0\n0\n0\n").as_bytes())?;
    // The service expects to write without being told to come back later.
    stream.set_nonblocking(false)?;
    let file = File::from(OwnedFd::from(stream));
    let meta = file.metadata()?;
    Ok(Sink { journal_stream: Some(format!("{}:{}", meta.dev(), meta.ino())), fd: file.into() })
}
