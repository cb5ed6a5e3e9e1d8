//! What runs in a container: it answers questions about where it is, a line each.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;

/// First argument that makes the program this.
pub const ARGUMENT: &str = "--probe";

/// Answers each question; gives the exit code.
pub fn answer(questions: impl Iterator<Item = String>) -> i32 {
    for question in questions {
        let (verb, rest) = question.split_once(':').unwrap_or((&question, ""));
        let text = match verb {
            "exit" => return rest.parse().unwrap_or(1),
            _ => one(verb, rest).unwrap_or_else(|error| words(&error)),
        };
        println!("{question} = {text}");
    }
    0
}

fn words(error: &io::Error) -> String {
    error.to_string().split(" (os").next().unwrap_or_default().to_owned()
}

fn one(verb: &str, what: &str) -> io::Result<String> {
    let done = |()| "done".to_owned();
    Ok(match verb {
        "pid" => std::process::id().to_string(),
        "read" => fs::read_to_string(what)?.split_whitespace().collect::<Vec<_>>().join(" "),
        "status" => status(what)?,
        "write" => fs::write(what, "x").map(done)?,
        "mkdir" => fs::create_dir(what).map(done)?,
        "remove" => fs::remove_file(what).map(done)?,
        "open" => OpenOptions::new().read(true).write(true).open(what).map(|_| "done".to_owned())?,
        "env" => std::env::var(what).unwrap_or_else(|_| "unset".into()),
        "environment" => std::env::vars().map(|(key, _)| key).collect::<Vec<_>>().join(" "),
        "link" => fs::read_link(what)?.display().to_string(),
        "owner" => fs::metadata(what).map(|meta| format!("{}:{}", meta.uid(), meta.gid()))?,
        "list" => list(what)?,
        "mounts" => fs::read_to_string("/proc/self/mounts")?
            .lines()
            .filter(|line| line.split(' ').nth(1) == Some(what))
            .map(|line| line.split(' ').nth(3).unwrap_or_default().to_owned())
            .collect::<Vec<_>>()
            .join(" "),
        "where" => std::env::current_dir()?.display().to_string(),
        "wait" => io::stdin().read_to_string(&mut String::new()).map(|_| "done".to_owned())?,
        "loopback" => {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.send_to(b"x", socket.local_addr()?).map(|_| "done".to_owned())?
        }
        other => format!("no question: {other}"),
    })
}

fn status(key: &str) -> io::Result<String> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    Ok(line.unwrap_or("none").split_whitespace().collect::<Vec<_>>().join(" "))
}

fn list(path: &str) -> io::Result<String> {
    let mut names: Vec<String> =
        fs::read_dir(path)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    Ok(names.join(" "))
}
