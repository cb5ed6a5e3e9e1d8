//! `updater checks`: what machine.toml wants to answer before a new version stays. The unit is a gate as any other: it is
//! ready once all of it answers, and fails when something no longer does. After the trial it has nothing to do.

use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::Duration;

use ashlar_control::notify;
use ashlar_fetch::{Client, Policy};
use serde::Deserialize;

use crate::boot;
use crate::error::{Error, at};

/// Provision leaves it where there is something to ask.
const FILE: &str = "/run/ashlar/checks.json";
const PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Check {
    name: String,
    kind: Kind,
    address: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    /// It answers with 2xx.
    Http,
    /// It takes a connection.
    Tcp,
}

/// The verb.
pub fn main() -> Result<(), Error> {
    let bytes = fs::read(FILE).map_err(at("read", FILE))?;
    let checks: Vec<Check> =
        serde_json::from_slice(&bytes).map_err(|error| Error::Machine(format!("read {FILE}: {error}")))?;
    let mut ready = false;
    while boot::is_on_trial() {
        match checks.iter().find_map(|check| ask(check).err().map(|why| (check, why))) {
            None if ready => {}
            None => {
                ready = true;
                tell(&format!("READY=1\nSTATUS={} answer", checks.len()));
            }
            Some((check, why)) => {
                let why = format!("check {}: {why}", check.name);
                tell(&format!("STATUS={}", why.replace('\n', " ")));
                if ready {
                    return Err(Error::Machine(why));
                }
            }
        }
        thread::sleep(PAUSE);
    }
    if !ready {
        tell("READY=1\nSTATUS=there is nothing to ask");
    }
    Ok(())
}

/// Whoever started this without listening does not want to know.
fn tell(state: &str) {
    let _ = notify::send(state);
}

fn ask(check: &Check) -> Result<(), String> {
    match check.kind {
        Kind::Http => {
            let policy = Policy { connect: PATIENCE, silence: PATIENCE, tries: 1, ..Policy::default() };
            let answer = Client::new(policy).answers(&check.address);
            answer.map_err(|error| format!("GET {}: {}", check.address, error.cause))
        }
        Kind::Tcp => connect(&check.address).map_err(|why| format!("connect to {}: {why}", check.address)),
    }
}

fn connect(address: &str) -> Result<(), String> {
    let mut why = "there is no such address".to_owned();
    for address in address.to_socket_addrs().map_err(|error| error.to_string())? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    fn check(kind: Kind, address: &str) -> Result<(), String> {
        ask(&Check { name: "a".into(), kind, address: address.into() })
    }

    #[test]
    fn what_answers_and_what_does_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(check(Kind::Tcp, &address), Ok(()));
        let answers = ["200 OK", "204 No Content", "503 Service Unavailable"];
        let server = thread::spawn(move || {
            // The connection of the check before says nothing.
            let _ = listener.accept();
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let _ = stream.read(&mut [0; 4096]);
                write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            }
        });
        let url = format!("http://{address}/health");
        assert_eq!(check(Kind::Http, &url), Ok(()));
        assert_eq!(check(Kind::Http, &url), Ok(()));
        let why = check(Kind::Http, &url).unwrap_err();
        assert!(why.contains("503") && why.contains(&url), "{why}");
        server.join().unwrap();
        let why = check(Kind::Tcp, &address).unwrap_err();
        assert!(why.contains("refused") && why.contains(&address), "{why}");
        assert!(check(Kind::Tcp, "127.0.0.1:x").is_err());
    }
}
