//! Standard output and error of services: a stream into the journal, the kernel's log while there is none.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use ashlar_config::unit::{Exec, Output, Stream};

const STREAM: &str = "/run/systemd/journal/stdout";
/// syslog(3).
const INFO: u8 = 6;
const DAEMON: u8 = 3;

/// Where a service writes, and what JOURNAL_STREAM says of it.
#[derive(Debug)]
pub struct Sink {
    pub fd: OwnedFd,
    pub journal_stream: Option<String>,
}

/// Opens the place where `unit` shall write, as it says or under its own name.
pub fn open(unit: &str, exec: &Exec, output: Output) -> io::Result<Sink> {
    if output == Output::Null {
        return plain("/dev/null");
    }
    match stream(unit, exec) {
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
fn stream(unit: &str, exec: &Exec) -> io::Result<Sink> {
    let fd = ashlar_sys::socket::connect_unix(std::path::Path::new(STREAM), ashlar_sys::socket::Kind::Stream)?;
    let mut stream = UnixStream::from(fd);
    let own = unit.strip_suffix(".service").unwrap_or(unit);
    let identifier = if exec.syslog_identifier.is_empty() { own } else { &exec.syslog_identifier };
    let console = u8::from(exec.streams.contains(&Stream::JournalAndConsole));
    let priority = exec.syslog_facility.unwrap_or(DAEMON) * 8 + exec.syslog_level.unwrap_or(INFO);
    stream.write_all(format!("{identifier}\n{unit}\n{priority}\n1\n0\n0\n{console}\n").as_bytes())?;
    // The service expects to write without being told to come back later.
    stream.set_nonblocking(false)?;
    let file = File::from(OwnedFd::from(stream));
    let meta = file.metadata()?;
    Ok(Sink { journal_stream: Some(format!("{}:{}", meta.dev(), meta.ino())), fd: file.into() })
}
