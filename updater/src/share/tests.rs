//! Guests of a machine whose slot is a file.

use super::*;
use crate::device::BLOCK;
use crate::handover::{Entry, Handed, What};
use ashlar_formats::uuid::Uuid;
use ashlar_formats::verity;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

const UKI: &[u8] = b"a unified kernel image";

/// A machine that has a release.
pub struct Machine {
    folder: tempfile::TempDir,
    pub root: Vec<u8>,
    pub tree: verity::Tree,
}

impl Machine {
    pub fn new(blocks: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root: Vec<u8> = (0..blocks * BLOCK).map(|n| (n / BLOCK * 7 + n) as u8).collect();
        let tree = verity::build(&root[..], &[5; 32], Uuid([1; 16])).unwrap();
        // Partitions are larger than what is in them.
        std::fs::write(folder.path().join("root"), [&root[..], &[9; 3 * BLOCK]].concat()).unwrap();
        std::fs::write(folder.path().join("tree"), [&tree.bytes[..], &[9; BLOCK]].concat()).unwrap();
        std::fs::write(folder.path().join("uki"), UKI).unwrap();
        Self { folder, root, tree }
    }

    pub fn slot(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn handed(folder: &Path, sizes: [usize; 3]) -> Vec<Handed> {
        let names = [("tree", What::Tree), ("root", What::Root), ("uki", What::Uki)];
        let handed = names.into_iter().zip(sizes).map(|((name, what), size)| {
            let entry = Entry { path: format!("targets/base/1^a/{name}"), size: size as u64, what };
            (entry, std::fs::File::open(folder.join(name)).unwrap())
        });
        handed.collect()
    }

    fn ask(&self) -> impl Fn() -> Result<Vec<Handed>, Error> + Send + 'static {
        let sizes = [self.tree.bytes.len(), self.root.len(), UKI.len()];
        let folder = self.folder.path().to_owned();
        move || Ok(Self::handed(&folder, sizes))
    }

    /// Gives it to others from now on.
    pub fn share(&self) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (address, share) = (listener.local_addr().unwrap(), Share::new(self.ask(), 1 << 30));
        thread::spawn(move || share.serve(&listener));
        address
    }
}

/// All that is said until the connection ends.
fn say(address: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

/// Status and body of each answer on one connection.
fn check(address: SocketAddr, requests: &[&str], expect: &[(u16, &[u8])]) {
    let request: String = requests.iter().map(|request| format!("{}\r\n\r\n", request.replace(';', "\r\n"))).collect();
    let answer = say(address, &request);
    let mut rest = &answer[..];
    for (status, body) in expect {
        let end = request::end_of_head(rest).unwrap_or_else(|| panic!("{requests:?}: {expect:?}"));
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{requests:?}: {head}");
        assert!(rest[end..].starts_with(body), "{requests:?}");
        rest = &rest[end + body.len()..];
    }
    assert_eq!(rest.len(), 0, "{requests:?}");
}

#[test]
fn files_and_parts_and_nothing_else() {
    let machine = Machine::new(300);
    let address = machine.share();
    let of_root = |first: usize, last: usize| &machine.root[first..=last];
    let get = |name: &str, range: &str| format!("GET /targets/base/1%5Ea/{name} HTTP/1.1;Range: bytes={range}");
    check(address, &["GET /targets/base/1^a/uki HTTP/1.1"], &[(200, UKI)]);
    check(address, &["HEAD /targets/base/1^a/root HTTP/1.1"], &[(200, b"")]);
    check(address, &["GET /targets/base/1^a/tree HTTP/1.1"], &[(200, &machine.tree.bytes)]);
    check(address, &["GET /targets/base/1^a/root HTTP/1.1"], &[(200, &machine.root)]);
    let size = machine.root.len();
    for (range, first, last) in [
        ("0-0".to_owned(), 0, 0),
        ("5-9000".to_owned(), 5, 9000),
        (format!("4096-{}", 200 * BLOCK), 4096, 200 * BLOCK),
        (format!("{}-", size - 3), size - 3, size - 1),
        ("-5000".to_owned(), size - 5000, size - 1),
        (format!("1-{}", size + 7), 1, size - 1),
    ] {
        check(address, &[&get("root", &range)], &[(206, of_root(first, last))]);
    }
    // Behind its end there is more in the partition, which is nobody's.
    check(address, &[&get("root", &format!("{size}-"))], &[(416, b"")]);
    check(
        address,
        &[&get("uki", "2-8"), &get("none", ""), &get("tree", "0-9")],
        &[(206, &UKI[2..9]), (404, b""), (206, &machine.tree.bytes[..10])],
    );
    for other in ["/", "/targets/base/1^a/", "/../etc/passwd", "/targets/base/1^a/uki/..", "//targets/base/1^a/uki"] {
        check(address, &[&format!("GET {other} HTTP/1.1")], &[(404, b"")]);
    }
    check(address, &["PUT /targets/base/1^a/uki HTTP/1.1", "never read"], &[(405, b"")]);
    check(address, &["nonsense"], &[(400, b"")]);
}

#[test]
fn a_block_that_was_written_over_is_not_given() {
    let machine = Machine::new(300);
    let address = machine.share();
    let get = |range: &str| format!("GET /targets/base/1^a/root HTTP/1.1\r\nRange: bytes={range}\r\n\r\n");
    let slot = std::fs::File::options().write(true).open(machine.slot()).unwrap();
    slot.write_all_at(b"somebody else's", (100 * BLOCK) as u64).unwrap();
    let body = |range: &str| {
        let answer = say(address, &get(range));
        answer[request::end_of_head(&answer).unwrap()..].to_vec()
    };
    let whole = body(&format!("0-{}", 300 * BLOCK - 1));
    assert!(whole.len() <= 100 * BLOCK && machine.root.starts_with(&whole), "{}", whole.len());
    assert!(body(&format!("{}-{}", 100 * BLOCK + 50, 101 * BLOCK)).is_empty());
    assert_eq!(body(&format!("{}-", 299 * BLOCK)), machine.root[299 * BLOCK..]);
}

#[test]
fn what_is_there_is_asked_now_and_then() {
    let machine = Machine::new(3);
    let (ask, asked) = (machine.ask(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let mut shelf = Shelf::new(Box::new(move || match count.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(Vec::new()),
        2 => Err(Error::Machine("not now".into())),
        _ => ask(),
    }));
    let begin = Instant::now();
    let mut check = |minute: u64, name: &str, expect: bool, times: usize| {
        let found = shelf.find(&format!("targets/base/1^a/{name}"), begin + Duration::from_secs(60 * minute));
        assert_eq!((found.is_some(), asked.load(Ordering::Relaxed)), (expect, times), "{minute} {name}");
        if minute == 9 {
            shelf.doubt();
        }
    };
    check(0, "root", false, 1);
    check(1, "root", false, 1);
    check(2, "root", true, 2);
    check(3, "none", false, 2);
    check(4, "none", false, 3);
    // What is known stays, whether anybody could say more or not.
    check(5, "root", true, 3);
    check(9, "uki", true, 3);
    check(9, "uki", true, 4);
}

#[test]
fn a_tree_that_is_none_takes_its_root_along() {
    let machine = Machine::new(300);
    let path = machine.folder.path().join("tree");
    let mut bytes = std::fs::read(&path).unwrap();
    // Below its top, where the digests of the first blocks are.
    bytes[2 * BLOCK] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let get = |name: &str| format!("GET /targets/base/1^a/{name} HTTP/1.1");
    let address = machine.share();
    check(address, &[&get("root"), &get("tree"), &get("uki")], &[(404, b""), (404, b""), (200, UKI)]);
}

#[test]
fn there_is_room_for_so_many() {
    let machine = Machine::new(3);
    let address = machine.share();
    let guests: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(address).unwrap()).collect();
    let head = |stream: &TcpStream| {
        let mut stream = stream;
        let mut start = [0; 12];
        stream.write_all(b"HEAD /targets/base/1^a/uki HTTP/1.1\r\n\r\n").unwrap();
        stream.read_exact(&mut start).unwrap();
        String::from_utf8_lossy(&start).into_owned()
    };
    assert!(guests.iter().all(|guest| head(guest) == "HTTP/1.1 200"));
    let mut start = [0; 12];
    TcpStream::connect(address).unwrap().read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 503");
}
