//! A web server on loopback for what machines fetch: the files of a folder, whole or in parts (RFC 9110, 14), and a count of
//! what it gave. It can be told to misbehave. It is a proxy, too, behind which every host has that folder (RFC 9110, 9.3.6), and
//! a FleetLock server with one lock that somebody may have.

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use anyhow::{Context, Result};

/// The server. It runs until the process ends.
#[derive(Debug)]
pub struct Web {
    /// Its port of 127.0.0.1.
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    given: AtomicU64,
    no_parts: AtomicBool,
    /// After so many bytes of bodies the connection is cut, once.
    cut_after: Mutex<Option<u64>>,
    /// Somebody else has the lock.
    locked: AtomicBool,
    /// Paths of the requests about it.
    asked: Mutex<Vec<String>>,
    /// Hosts that it was asked for as a proxy.
    proxied: Mutex<Vec<String>>,
}

impl Web {
    /// Serves a folder.
    pub fn serve(folder: &Path) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("cannot listen on 127.0.0.1")?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            folder: folder.into(),
            given: AtomicU64::new(0),
            no_parts: AtomicBool::new(false),
            cut_after: Mutex::new(None),
            locked: AtomicBool::new(false),
            asked: Mutex::default(),
            proxied: Mutex::default(),
        });
        let ours = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&ours);
                // A client that hangs up is its own affair.
                thread::spawn(move || drop(converse(&stream, &shared)));
            }
        });
        Ok(Self { port, shared })
    }

    /// Bytes of bodies that it gave since this was asked last.
    pub fn given(&self) -> u64 {
        self.shared.given.swap(0, Ordering::SeqCst)
    }

    /// From now on it knows no parts of files.
    pub fn forget_parts(&self, forget: bool) {
        self.shared.no_parts.store(forget, Ordering::SeqCst);
    }

    /// From now on somebody else has the lock.
    pub fn lock(&self, locked: bool) {
        self.shared.locked.store(locked, Ordering::SeqCst);
    }

    /// What was asked about the lock since this was called last.
    pub fn asked(&self) -> Vec<String> {
        taken(&self.shared.asked)
    }

    /// For which hosts it was asked as a proxy since this was called last.
    pub fn asked_as_proxy(&self) -> Vec<String> {
        taken(&self.shared.proxied)
    }

    /// It cuts the connection once, after so many bytes from now.
    pub fn cut_after(&self, bytes: u64) {
        if let Ok(mut cut) = self.shared.cut_after.lock() {
            *cut = Some(bytes);
        }
    }
}

fn taken(list: &Mutex<Vec<String>>) -> Vec<String> {
    list.lock().map(|mut list| std::mem::take(&mut *list)).unwrap_or_default()
}

impl Shared {
    /// How many of these bytes are sent before the connection is cut; all of them, for the most part.
    fn allowed(&self, bytes: usize) -> usize {
        let Ok(mut cut) = self.cut_after.lock() else { return bytes };
        match *cut {
            Some(left) if left < bytes as u64 => {
                *cut = None;
                left as usize
            }
            Some(left) => {
                *cut = Some(left - bytes as u64);
                bytes
            }
            None => bytes,
        }
    }
}

/// Requests on one connection, until the client hangs up.
fn converse(stream: &TcpStream, shared: &Shared) -> Result<()> {
    let mut reader = BufReader::new(stream);
    while let Some(request) = reader.by_ref().lines().next().transpose()? {
        let (mut range, mut length) = (None, 0);
        for header in reader.by_ref().lines() {
            let header = header?.to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            range = header.strip_prefix("range: bytes=").map(str::to_owned).or(range);
            length = header.strip_prefix("content-length: ").and_then(|text| text.parse().ok()).unwrap_or(length);
        }
        std::io::copy(&mut reader.by_ref().take(length), &mut std::io::sink())?;
        if let Some(path) = request.strip_prefix("POST ") {
            answer_about_lock(stream, path.split(' ').next().unwrap_or_default(), shared)?;
            continue;
        }
        if let Some(host) = request.strip_prefix("CONNECT ") {
            if let Ok(mut proxied) = shared.proxied.lock() {
                proxied.push(host.split(' ').next().unwrap_or_default().to_owned());
            }
            (&*stream).write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            continue;
        }
        let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').replace("%5E", "^");
        let is_plain = Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        let file = fs::File::open(shared.folder.join(&path)).ok().filter(|_| is_plain);
        let file = file.filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()));
        let Some(file) = file else {
            (&*stream).write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let range = range.filter(|_| !shared.no_parts.load(Ordering::SeqCst));
        if !give(stream, file, range.as_deref(), shared)? {
            return Ok(());
        }
    }
    Ok(())
}

/// FleetLock: `pre-reboot` asks for the lock, `steady-state` gives it back.
fn answer_about_lock(mut stream: &TcpStream, path: &str, shared: &Shared) -> Result<()> {
    if let Ok(mut asked) = shared.asked.lock() {
        asked.push(path.to_owned());
    }
    let refused = path.ends_with("/v1/pre-reboot") && shared.locked.load(Ordering::SeqCst);
    let (status, body) = match refused {
        true => ("409 Conflict", r#"{"kind":"lock_held","value":"another machine reboots"}"#),
        false => ("200 OK", "{}"),
    };
    Ok(write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?)
}

/// A file or a part of it. `false`: the connection is to be cut.
fn give(mut stream: &TcpStream, mut file: fs::File, range: Option<&str>, shared: &Shared) -> Result<bool> {
    let total = file.metadata()?.len();
    let part = range.and_then(|range| {
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?.min(total.checked_sub(1)?)))
    });
    let (first, last) = part.unwrap_or((0, total.saturating_sub(1)));
    let length = if total == 0 { 0 } else { last + 1 - first };
    let head = match part {
        Some(_) => format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{total}"),
        None => "200 OK".to_owned(),
    };
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n")?;
    file.seek(SeekFrom::Start(first))?;
    let mut body = file.take(length);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = body.read(&mut buffer)?;
        if count == 0 {
            return Ok(true);
        }
        let allowed = shared.allowed(count);
        stream.write_all(&buffer[..allowed])?;
        shared.given.fetch_add(allowed as u64, Ordering::SeqCst);
        if allowed < count {
            stream.shutdown(std::net::Shutdown::Both)?;
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(web: &Web, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", web.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    #[test]
    fn files_and_parts() {
        let folder = std::env::temp_dir().join(format!("ashlar-web-{}", std::process::id()));
        fs::create_dir_all(folder.join("a")).unwrap();
        fs::write(folder.join("a/file"), "0123456789").unwrap();
        let web = Web::serve(&folder).unwrap();
        let whole = "GET /a/file HTTP/1.1\r\n\r\n";
        let part = "GET /a/file HTTP/1.1\r\nRange: bytes=2-4\r\n\r\n";
        assert_eq!(ask(&web, whole), "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789");
        let answer = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 3\r\n\r\n234";
        assert_eq!(ask(&web, part), answer);
        assert_eq!(web.given(), 13);
        let proxied = format!("CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n{part}");
        assert_eq!(ask(&web, &proxied), format!("HTTP/1.1 200 OK\r\n\r\n{answer}"));
        assert_eq!((web.asked_as_proxy(), web.given()), (vec!["a.example:80".to_owned()], 3));
        for path in ["/a", "/none", "/../etc/passwd"] {
            assert!(ask(&web, &format!("GET {path} HTTP/1.1\r\n\r\n")).starts_with("HTTP/1.1 404"), "{path}");
        }
        web.forget_parts(true);
        assert!(ask(&web, part).ends_with("0123456789"));
        web.cut_after(4);
        assert!(ask(&web, whole).ends_with("\r\n0123"));
        assert!(ask(&web, whole).ends_with("\r\n0123456789"));
        let post = "POST /lock/v1/pre-reboot HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
        assert!(ask(&web, post).starts_with("HTTP/1.1 200"));
        web.lock(true);
        assert!(ask(&web, &format!("{post}{whole}")).ends_with("0123456789"));
        assert_eq!(web.asked(), ["/lock/v1/pre-reboot"; 2]);
        fs::remove_dir_all(folder).unwrap();
    }
}
