//! Transfers against a server that misbehaves on purpose, one scripted reply for each request.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ashlar_fetch::{Blob, Cache, Cause, Client, Digest, Policy, Proxy};

#[derive(Clone, Copy, Debug)]
enum Reply {
    /// The range that was asked for, or everything.
    Good,
    /// Everything, whatever was asked for.
    IgnoreRange,
    /// As `Good`, closed after so many bytes of the body.
    CutAfter(usize),
    /// As `Good`, silent after so many bytes of the body.
    StallAfter(usize),
    /// As `Good`, some bytes at a time, for ever too slow.
    Trickle,
    /// A range that was not asked for.
    WrongRange,
    /// The right length, other bytes.
    OtherBytes,
    /// One byte more than it should have.
    TooLong,
    Status(u16),
}
use Reply::*;

/// Serves `content` by the script and hands back the Range header of each request.
fn serve(content: Vec<u8>, script: Vec<Reply>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/pool/blob", listener.local_addr().unwrap());
    let (sender, ranges) = mpsc::channel();
    thread::spawn(move || {
        for reply in script {
            let (stream, _) = listener.accept().unwrap();
            let range = read_range(&stream);
            sender.send(range.clone().unwrap_or_default()).unwrap();
            let content = content.clone();
            thread::spawn(move || answer(stream, &content, range.as_deref(), reply));
        }
    });
    (url, ranges)
}

fn read_range(stream: &TcpStream) -> Option<String> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let headers: Vec<String> = lines.collect();
    headers.iter().find_map(|line| line.to_lowercase().strip_prefix("range: ").map(str::to_owned))
}

fn answer(mut stream: TcpStream, content: &[u8], range: Option<&str>, reply: Reply) {
    let total = content.len();
    let asked = range.and_then(|text| text.strip_prefix("bytes=")?.split_once('-'));
    let asked = asked.map(|(first, last)| (first.parse().unwrap(), last.parse::<usize>().unwrap()));
    let mut body = content.to_vec();
    let mut head = String::from("200 OK");
    match (reply, asked) {
        (Status(code), _) => (body, head) = (Vec::new(), format!("{code} No")),
        (IgnoreRange | TooLong, _) | (_, None) => {}
        (_, Some((first, last))) => {
            let shift = usize::from(matches!(reply, WrongRange));
            body = content[first..=last].to_vec();
            head = format!("206 Partial\r\nContent-Range: bytes {}-{last}/{total}", first - shift);
        }
    }
    match reply {
        OtherBytes => body.fill(b'x'),
        TooLong => body.push(b'x'),
        _ => {}
    }
    let length = body.len();
    write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").unwrap();
    let _ = match reply {
        CutAfter(n) => stream.write_all(&body[..n]),
        StallAfter(n) => {
            let sent = stream.write_all(&body[..n]);
            thread::sleep(Duration::from_secs(2));
            sent
        }
        Trickle => body.chunks(64).try_for_each(|chunk| {
            thread::sleep(Duration::from_millis(20));
            stream.write_all(chunk)
        }),
        _ => stream.write_all(&body),
    };
}

fn impatient() -> Client {
    let silence = Duration::from_millis(300);
    let (connect, back_off) = (Duration::from_secs(1), Duration::from_millis(1));
    Client::new(Policy { connect, silence, least_speed: 1_000_000, tries: 2, back_off, ..Policy::default() })
}

fn content() -> Vec<u8> {
    (0..500_000u32).map(|n| (n / 7) as u8).collect()
}

fn blob_of(content: &[u8]) -> Blob {
    Blob { digest: Digest::of(content), size: content.len() as u64 }
}

/// Runs a script against one fetch into an empty cache, and says what was asked for and how it ended.
#[track_caller]
fn check(script: &[Reply], ranges: &[&str], expect: Result<(), &str>) {
    let content = content();
    let blob = blob_of(&content);
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let (url, asked) = serve(content.clone(), script.to_vec());
    let at = Cell::new(0);
    let outcome = cache.fetch(&impatient(), &url, &blob, &|bytes| at.set(bytes));
    let asked: Vec<String> = asked.try_iter().collect();
    assert_eq!(asked, ranges, "{script:?}");
    match expect {
        Ok(()) => {
            assert_eq!(std::fs::read(outcome.unwrap()).unwrap(), content);
            assert_eq!(at.get(), blob.size);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "only the blob is left");
        }
        Err(part) => {
            let error = outcome.unwrap_err();
            assert_eq!(error.to_string(), "fetch /pool/blob");
            assert!(error.cause.to_string().contains(part), "{}", error.cause);
            assert!(cache.get(&blob).is_none());
        }
    }
}

#[test]
fn goes_on_where_it_stopped() {
    check(&[Good], &[""], Ok(()));
    check(&[CutAfter(100_000), Good], &["", "bytes=100000-499999"], Ok(()));
    check(&[StallAfter(100_000), Good], &["", "bytes=100000-499999"], Ok(()));
    check(
        &[CutAfter(100_000), CutAfter(200_000), CutAfter(100_000), Good],
        &["", "bytes=100000-499999", "bytes=300000-499999", "bytes=400000-499999"],
        Ok(()),
    );
}

#[test]
fn starts_over_where_ranges_do_not_help() {
    check(&[CutAfter(100_000), IgnoreRange], &["", "bytes=100000-499999"], Ok(()));
    check(&[CutAfter(100_000), Status(416), Good], &["", "bytes=100000-499999", ""], Ok(()));
    check(&[OtherBytes, Good], &["", ""], Ok(()));
}

#[test]
fn gives_up_with_the_cause() {
    check(&[Status(404)], &[""], Err("answered 404"));
    check(&[Status(503), Status(503)], &["", ""], Err("answered 503"));
    check(&[CutAfter(10), CutAfter(10)], &["", "bytes=10-499999"], Err("cut after 20 of 500000 bytes"));
    check(&[StallAfter(0), StallAfter(0)], &["", ""], Err("stalled after 0 bytes"));
    check(&[OtherBytes, OtherBytes], &["", ""], Err("that is pinned"));
    check(&[TooLong], &[""], Err("has 500001 bytes"));
    check(&[CutAfter(100_000), WrongRange], &["", "bytes=100000-499999"], Err("\"bytes 99999-499999/500000\""));
}

#[test]
fn too_slow_counts_as_a_stall() {
    let folder = tempfile::tempdir().unwrap();
    let (url, asked) = serve(content(), vec![Trickle, Trickle]);
    let cache = Cache::open(folder.path()).unwrap();
    let error = cache.fetch(&impatient(), &url, &blob_of(&content()), &|_| {}).unwrap_err();
    assert!(matches!(error.cause, Cause::Stalled { got: 1.. }), "{:?}", error.cause);
    assert_eq!(asked.try_iter().count(), 2);
}

#[test]
fn a_later_process_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let blob = blob_of(&content());
    let (url, asked) = serve(content(), vec![CutAfter(1000), Status(500), Good]);
    cache.fetch(&impatient(), &url, &blob, &|_| {}).unwrap_err();
    cache.fetch(&impatient(), &url, &blob, &|_| {}).unwrap();
    assert_eq!(asked.iter().last().unwrap(), "bytes=1000-499999");
    assert_eq!(cache.read(&blob).unwrap(), Some(content()));
}

#[test]
fn a_damaged_entry_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let blob = blob_of(&content());
    let (url, _asked) = serve(content(), vec![Good, Good, Good]);
    let path = cache.fetch(&impatient(), &url, &blob, &|_| {}).unwrap();

    let mut damaged = content();
    damaged[77] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    assert!(cache.get(&blob).is_some(), "a flipped bit costs a read to see");
    assert_eq!(cache.read(&blob).unwrap(), None);
    assert!(cache.get(&blob).is_none());

    cache.fetch(&impatient(), &url, &blob, &|_| {}).unwrap();
    std::fs::write(&path, &damaged[1..]).unwrap();
    assert!(cache.get(&blob).is_none(), "a wrong size costs nothing to see");
    cache.fetch(&impatient(), &url, &blob, &|_| {}).unwrap();
    assert_eq!(cache.read(&blob).unwrap(), Some(content()));
}

#[test]
fn who_comes_at_once_fetches_once() {
    let folder = tempfile::tempdir().unwrap();
    let blob = blob_of(&content());
    let (url, asked) = serve(content(), vec![Good; 8]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let cache = Cache::open(folder.path()).unwrap();
                cache.fetch(&impatient(), &url, &blob, &|_| {}).unwrap();
            });
        }
    });
    assert_eq!(asked.try_iter().count(), 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn documents_have_a_limit() {
    fn check(script: &[Reply], limit: u64, expect: Result<usize, &str>) {
        let (url, _asked) = serve(content(), script.to_vec());
        match (impatient().get(&url, limit), expect) {
            (Ok(bytes), Ok(length)) => assert_eq!(bytes.len(), length),
            (Err(error), Err(part)) => assert!(error.cause.to_string().contains(part), "{}", error.cause),
            (outcome, _) => panic!("{script:?}: {:?}", outcome.map(|bytes| bytes.len())),
        }
    }
    check(&[Good], 500_000, Ok(500_000));
    check(&[Good], 499_999, Err("larger than 499999 bytes"));
    check(&[CutAfter(7), Good], 500_000, Ok(500_000));
    check(&[CutAfter(7), CutAfter(8)], 500_000, Err("cut after 8 of 500000 bytes"));
    check(&[Status(403)], 500_000, Err("answered 403"));
}

/// A part of a file by a script: what was asked for, what was handed on in order, and how it ended.
#[track_caller]
fn check_part(script: &[Reply], (first, last): (u64, u64), ranges: &[&str], expect: Result<(), &str>) {
    let content = content();
    let (url, asked) = serve(content.clone(), script.to_vec());
    let mut got = Vec::new();
    let mut take = |bytes: &[u8]| {
        got.extend_from_slice(bytes);
        Ok(())
    };
    let outcome = impatient().part(&url, content.len() as u64, (first, last), &mut take);
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), ranges, "{script:?}");
    let wanted = &content[first as usize..=last as usize];
    match (outcome, expect) {
        (Ok(()), Ok(())) => assert!(got == wanted, "{script:?}"),
        (Err(error), Err(part)) => {
            assert!(error.cause.to_string().contains(part), "{script:?}: {}", error.cause);
            // What was handed on cannot be taken back, so it has to be right.
            assert!(wanted.starts_with(&got), "{script:?}");
            let is_of_ranges = matches!(script, [IgnoreRange] | [WrongRange]);
            assert_eq!(error.has_no_ranges(), is_of_ranges, "{script:?}");
        }
        (outcome, expect) => panic!("{script:?}: {outcome:?}, not {expect:?}"),
    }
}

#[test]
fn parts_go_on_where_they_stopped() {
    check_part(&[Good], (1000, 2999), &["bytes=1000-2999"], Ok(()));
    check_part(&[Good], (0, 499_999), &[""], Ok(()));
    check_part(&[CutAfter(500), Good], (1000, 2999), &["bytes=1000-2999", "bytes=1500-2999"], Ok(()));
    check_part(&[StallAfter(500), Good], (1000, 2999), &["bytes=1000-2999", "bytes=1500-2999"], Ok(()));
    check_part(&[CutAfter(100_000), Good], (0, 499_999), &["", "bytes=100000-499999"], Ok(()));
    check_part(&[Status(503), Good], (1000, 2999), &["bytes=1000-2999"; 2], Ok(()));
}

#[test]
fn another_part_is_none() {
    check_part(&[IgnoreRange], (1000, 2999), &["bytes=1000-2999"], Err("the whole file"));
    check_part(&[WrongRange], (1000, 2999), &["bytes=1000-2999"], Err("\"bytes 999-2999/500000\""));
    check_part(&[TooLong], (0, 499_999), &[""], Err("500001 bytes"));
    check_part(&[Status(404)], (1000, 2999), &["bytes=1000-2999"], Err("answered 404"));
    // Slow for the second time, so that it is the last one. How far it comes is a matter of this machine's timers.
    let (url, asked) = serve(content(), vec![Trickle; 3]);
    let error = impatient().part(&url, 500_000, (0, 499_999), &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error.cause, Cause::Stalled { got: 1.. }), "{:?}", error.cause);
    assert_eq!(asked.try_iter().count(), 2);
}

#[test]
fn success_is_an_answer() {
    let (url, _asked) = serve(content(), vec![Good, Status(204), Status(404)]);
    let check = |expect: Result<(), &str>| match (impatient().answers(&url), expect) {
        (Ok(()), Ok(())) => {}
        (Err(error), Err(part)) => assert!(error.cause.to_string().contains(part), "{}", error.cause),
        (outcome, _) => panic!("{outcome:?}"),
    };
    check(Ok(()));
    check(Ok(()));
    check(Err("answered 404"));
}

/// A proxy that makes one connection (RFC 9110, 9.3.6) to wherever it is asked for, and tells where that was.
fn proxy(server: String) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, asked) = mpsc::channel();
    thread::spawn(move || {
        let (mut near, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(near.try_clone().unwrap());
        let mut lines = Vec::new();
        while !matches!(lines.last().map(String::as_str), Some("\r\n")) {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            lines.push(line);
        }
        sender.send(lines[0].trim().to_owned()).unwrap();
        let mut far = TcpStream::connect(server).unwrap();
        if lines[0].starts_with("CONNECT ") {
            near.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
        } else {
            far.write_all(lines.concat().as_bytes()).unwrap();
        }
        let (mut back, mut out) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        let answers = thread::spawn(move || io::copy(&mut back, &mut out));
        let _ = io::copy(&mut reader, &mut far);
        let _ = answers.join();
    });
    (address, asked)
}

#[test]
fn a_proxy_stands_between() {
    let (url, _asked) = serve(content(), vec![Good]);
    let server = url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    let (address, asked) = proxy(server);
    let policy = Policy { proxy: Some(Proxy::parse(&address).unwrap()), tries: 1, ..Policy::default() };
    // A name that nobody knows: only the proxy can have brought it.
    let bytes = Client::new(policy).get("http://updates.invalid/pool/blob", 500_000).unwrap();
    assert!(bytes == content());
    let asked = asked.recv().unwrap();
    assert!(asked.contains("updates.invalid"), "{asked}");
    assert!(Proxy::parse("nonsense://x").is_err());
}
