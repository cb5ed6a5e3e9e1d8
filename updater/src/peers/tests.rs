//! Upgrades beside machines of the site, good ones and others, with a source that notes what it is asked for.

use super::*;
use crate::blocks::Transfer;
use crate::device::{BLOCK, Device};
use crate::handover::{Entry, What};
use crate::road::Road;
use crate::share::Share;
use crate::tree::Tree;
use ashlar_fetch::Digest;
use ashlar_formats::uuid::Uuid;
use ashlar_formats::verity;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{LazyLock, Mutex};

/// More than is held in memory at a time.
const BLOCKS: usize = 600;
const SHORT: Duration = Duration::from_millis(500);

/// The release: the content of its files.
static RELEASE: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let root: Vec<u8> = (0..BLOCKS * BLOCK).map(|n| (n / BLOCK * 7 + n) as u8).collect();
    let tree = verity::build(&root[..], &[5; 32], Uuid([1; 16])).unwrap().bytes;
    [root, tree]
});

fn release() -> [Vec<u8>; 2] {
    RELEASE.clone()
}

fn piece(name: &str, content: &[u8]) -> Piece {
    let sha256 = Digest::of(content).to_string();
    Piece { path: format!("targets/base/2^a/{sha256}.{name}"), size: content.len() as u64, sha256 }
}

/// Has everything, and notes what it gives.
#[derive(Default)]
struct Origin(Mutex<u64>);

impl Source for Origin {
    fn whole(&self, _: &str, _: u64) -> Result<Option<Vec<u8>>, Error> {
        unreachable!()
    }

    fn part(&self, path: &str, _: u64, first: u64, length: u64, take: Take<'_>) -> Result<(), Error> {
        *self.0.lock().unwrap() += length;
        let [root, tree] = release();
        let content = if path.ends_with("erofs") { root } else { tree };
        take(&content[first as usize..(first + length) as usize])
    }
}

/// A machine that has it, as our own service gives it.
fn good() -> String {
    let folder = tempfile::tempdir().unwrap();
    let [root, tree] = release();
    fs::write(folder.path().join("root"), &root).unwrap();
    fs::write(folder.path().join("tree"), &tree).unwrap();
    let ask = move || {
        let file =
            |name: &str, path, size, what| (Entry { path, size, what }, File::open(folder.path().join(name)).unwrap());
        let (of_root, of_tree) = (piece("root.erofs", &root), piece("root.verity", &tree));
        let tree = file("tree", of_tree.path, of_tree.size, What::Tree);
        Ok(vec![tree, file("root", of_root.path, of_root.size, What::Root)])
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || Share::new(ask, 1 << 30).serve(&listener));
    address
}

/// What a machine does that is none of ours.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    /// It gives other bytes than were signed.
    Lie,
    /// It says that it has all, and then nothing.
    Stall,
    /// It gives a byte now and then.
    Drip,
    /// It is gone after so many bytes.
    Leave(usize),
    /// It hangs up after each few bytes, and is there again.
    Stutter,
    /// It has nothing.
    Lack,
    /// It sends whoever asks elsewhere.
    Redirect,
    /// It does not answer.
    Silent,
}

fn other(does: Does) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let is_over = converse(&stream.unwrap(), does).unwrap_or(false);
            if is_over {
                return;
            }
        }
    });
    address
}

fn converse(mut stream: &TcpStream, does: Does) -> std::io::Result<bool> {
    loop {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte)? == 0 {
                return Ok(false);
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        match does {
            Does::Lack => {
                stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
                continue;
            }
            Does::Redirect => {
                let answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer)?;
                continue;
            }
            Does::Silent => {
                thread::sleep(4 * SHORT);
                return Ok(false);
            }
            _ => {}
        }
        let [root, tree] = release();
        let mut content = if head.contains("root.erofs") { root } else { tree };
        let range =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
        let range = range.and_then(|range| {
            let (first, last) = range.split_once('-')?;
            Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
        });
        let total = content.len();
        let (line, (first, last)) = match range {
            Some((first, last)) => {
                (format!("206 Partial\r\nContent-Range: bytes {first}-{last}/{total}"), (first, last))
            }
            None => ("200 OK".to_owned(), (0, total - 1)),
        };
        if does == Does::Lie {
            content[first + (last - first) / 2] ^= 1;
        }
        write!(stream, "HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n", last + 1 - first)?;
        if head.starts_with("HEAD") {
            continue;
        }
        let body = &content[first..=last];
        match does {
            Does::Stall => {
                thread::sleep(4 * SHORT);
                return Ok(false);
            }
            Does::Drip => loop {
                thread::sleep(SHORT / 8);
                stream.write_all(&body[..1])?;
            },
            Does::Leave(count) if count < body.len() => {
                stream.write_all(&body[..count])?;
                return Ok(true);
            }
            Does::Stutter => {
                stream.write_all(&body[..100])?;
                return Ok(false);
            }
            _ => stream.write_all(body)?,
        }
    }
}

/// Upgrades: bytes that came from machines of the site, and from the source.
fn upgrade(addresses: Vec<String>) -> (u64, u64) {
    let (peers, origin) = (Peers::with_patience(addresses, SHORT), Origin::default());
    let [root, tree] = release();
    let (of_root, of_tree) = (piece("root.erofs", &root), piece("root.verity", &tree));
    let taken = Road::whole(&origin, &of_tree).near(&peers).take(&mut |fill| {
        let mut bytes = Vec::new();
        fill(&mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        if bytes == tree { Ok(bytes) } else { Err(Error::Trust("it is another tree".into())) }
    });
    let tree = Tree::guess_of(&device(&taken.unwrap())).unwrap();
    let (folder, places) = (tempfile::tempdir().unwrap(), vec![None; BLOCKS]);
    let target = folder.path().join("slot");
    fs::write(&target, vec![0; root.len()]).unwrap();
    let slot = Device::open_writable(&target).unwrap();
    let mut transfer = Transfer::plan(&tree, &places, &slot, (&slot, None), &mut |_, _| {}).unwrap();
    let mut progress = Vec::new();
    let mut told = |_, done, total| progress.push((done, total));
    transfer.fetch_near(&peers, &of_root, &mut told).unwrap();
    transfer.complete(&origin, &of_root, &target, &mut told).unwrap();
    assert!(fs::read(&target).unwrap() == root);
    assert!(progress.iter().all(|(done, total)| done <= total && *total == root.len() as u64), "{progress:?}");
    let from_origin = *origin.0.lock().unwrap();
    (peers.given(), from_origin)
}

fn device(bytes: &[u8]) -> Device {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    Device::of(file, Path::new("tree"))
}

fn all() -> u64 {
    release().iter().map(|content| content.len() as u64).sum()
}

#[test]
fn what_a_machine_has_the_source_need_not_give() {
    assert_eq!(upgrade(vec![good()]), (all(), 0));
    assert_eq!(upgrade(vec![]), (0, all()));
    let peers = Peers::new(vec![good(), "nonsense".to_owned()]);
    assert_eq!(peers.peers.len(), 1);
    let [root, _] = release();
    assert!(peers.have(&piece("root.erofs", &root)) && !peers.have(&piece("root.erofs", &root[1..])));
    assert!(matches!(peers.peers[0].whole("metadata/timestamp.json", 100), Ok(None)));
}

/// Whatever the others do, a good one beside them is found, and without one the source is asked for what is missing.
#[track_caller]
fn check(does: Does, taken_from_it: impl Fn(u64) -> bool) {
    let (_, from_origin) = upgrade(vec![other(does), good()]);
    assert_eq!(from_origin, 0);
    let (given, from_origin) = upgrade(vec![other(does), other(does)]);
    assert!(taken_from_it(given), "{given}");
    // What is held in memory when it ends is fetched once more.
    assert!(from_origin <= all() && from_origin + given >= all(), "{given} and {from_origin}");
}

#[test]
fn one_that_lies_is_left() {
    check(Does::Lie, |given| given < all());
}

#[test]
fn one_that_stalls_is_left() {
    check(Does::Stall, |given| given == 0);
}

#[test]
fn one_that_does_not_answer_is_left() {
    check(Does::Silent, |given| given == 0);
}

#[test]
fn one_that_drips_is_left() {
    check(Does::Drip, |given| given < 100);
}

#[test]
fn one_that_goes_is_left() {
    check(Does::Leave(5 << 18), |given| given > 1 << 20);
}

#[test]
fn one_that_stutters_is_left() {
    check(Does::Stutter, |given| given < 100 << 10);
}

#[test]
fn one_that_lacks_it_is_not_asked_for_it() {
    check(Does::Lack, |given| given == 0);
}

#[test]
fn one_that_sends_us_elsewhere_is_left() {
    check(Does::Redirect, |given| given == 0);
}

#[test]
fn one_that_is_not_there_is_left() {
    let (_, from_origin) = upgrade(vec!["http://127.0.0.1:1".to_owned(), good()]);
    assert_eq!(from_origin, 0);
}
