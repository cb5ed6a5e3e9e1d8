//! The whole way of a package, against an archive made here: signed, indexed, served on loopback, then spoilt in
//! one place at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ashlar_fetch::{Cache, Client, Digest, Policy};
use pgp::composed::KeyType;
use tar::EntryType;

use super::{Arch, Error, Freshness, Kind, Lock, Mirror, Request, Store, Trust, deb, keyring, resolve};

type Files = BTreeMap<String, Vec<u8>>;

/// An archive on loopback, with all that is needed to use it.
struct Archive {
    files: Arc<Mutex<Files>>,
    asked: Arc<Mutex<Vec<String>>>,
    base: String,
    folder: tempfile::TempDir,
}

const POOL: &str = "/debian/pool/tool_1+b1_amd64.deb";

impl Archive {
    fn new() -> Self {
        Self::with_release(|release| release)
    }

    fn with_release(spoil: impl FnOnce(String) -> String) -> Self {
        let tool = deb::tests::deb(&[(EntryType::Regular, "./usr/bin/tool", "content")]);
        let packages = format!(
            "Package: tool\nVersion: 1+b1\nArchitecture: amd64\nFilename: pool/tool_1+b1_amd64.deb\nSize: {}\nSHA256: {}\n",
            tool.len(),
            Digest::of(&tool)
        );
        let index = liblzma::encode_all(packages.as_bytes(), 1).unwrap();
        let release = format!(
            "Suite: stable\nCodename: trixie\nDate: Sat, 21 Nov 2020 09:15:44 UTC\nAcquire-By-Hash: yes\n\
             SHA256:\n {} {} main/binary-amd64/Packages.xz\n",
            Digest::of(&index),
            index.len()
        );
        let key = keyring::tests::key(KeyType::Ed25519Legacy, true, 1_700_000_000);
        let signed = keyring::tests::sign(&key, true, &spoil(release));
        let files = Files::from([
            ("/debian/dists/trixie/InRelease".to_owned(), signed.into_bytes()),
            ("/debian/dists/trixie/main/binary-amd64/Packages.xz".to_owned(), index),
            (POOL.to_owned(), tool),
        ]);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), keyring::tests::armor(&key)).unwrap();
        let (files, asked) = (Arc::new(Mutex::new(files)), Arc::default());
        let base = serve(Arc::clone(&files), Arc::clone(&asked));
        Self { files, asked, base, folder }
    }

    fn change(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        change(self.files.lock().unwrap().get_mut(path).unwrap());
    }

    fn remove(&self, path: &str) {
        self.files.lock().unwrap().remove(path).unwrap();
    }

    fn cache(&self) -> Cache {
        Cache::open(self.folder.path().join("cache")).unwrap()
    }

    fn lock(&self, suite: &str) -> Result<Lock, Error> {
        self.lock_with(suite, self.folder.path().join("key"), Freshness::Required)
    }

    fn lock_with(&self, suite: &str, key: PathBuf, freshness: Freshness) -> Result<Lock, Error> {
        let request = Request {
            suites: vec![suite.to_owned()],
            components: vec!["main".to_owned()],
            arch: Arch::X86_64,
            packages: BTreeSet::from(["tool".to_owned()]),
            exclude: BTreeSet::new(),
            essential: false,
        };
        let trust = Trust { keyrings: vec![key], freshness };
        resolve(&request, &Mirror::new(&self.base).unwrap(), &client(), &self.cache(), &trust)
    }

    fn store(&self) -> Store {
        Store::new(self.cache(), client(), Some(self.base.clone()))
    }
}

fn client() -> Client {
    let (second, instant) = (Duration::from_secs(1), Duration::from_millis(1));
    Client::new(Policy {
        connect: second,
        silence: second,
        least_speed: 1,
        tries: 2,
        back_off: instant,
        ..Policy::default()
    })
}

fn serve(files: Arc<Mutex<Files>>, asked: Arc<Mutex<Vec<String>>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/debian", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let path = requested(&stream).replace("%2B", "+");
            let file = files.lock().unwrap().get(&path).cloned();
            asked.lock().unwrap().push(path);
            answer(stream, file);
        }
    });
    base
}

fn requested(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
    let head: Vec<String> = lines.collect();
    head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default().to_owned()
}

fn answer(mut stream: TcpStream, file: Option<Vec<u8>>) {
    let status = if file.is_some() { "200 OK" } else { "404 Not Found" };
    let body = file.unwrap_or_default();
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// The whole chain of an error, as a person sees it.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}

#[track_caller]
fn check<T>(outcome: Result<T, impl Into<Error>>, expect: Result<(), &str>) {
    match (outcome.map_err(|error| whole(&error.into())), expect) {
        (Ok(_), Ok(())) => {}
        (Err(text), Err(part)) => {
            assert!(text.contains(part), "{text}");
            assert!(!text.contains("127.0.0.1"), "names the mirror's host: {text}");
        }
        (Ok(_), Err(part)) => panic!("should have failed: {part}"),
        (Err(text), Ok(())) => panic!("{text}"),
    }
}

#[test]
fn locks_fetches_and_unpacks() {
    let archive = Archive::new();
    let lock = archive.lock("trixie").unwrap();
    assert_eq!(lock.date.to_string(), "2020-11-21T09:15:44Z");
    assert!(!lock.to_string().contains("127.0.0.1"));
    let packages: Vec<_> = lock.packages.iter().collect();
    let store = archive.store();
    store.ensure(&packages).unwrap();
    let unpacked = store.unpack(packages[0], &|_| true).unwrap();
    assert_eq!(unpacked.package.name, "tool");
    assert_eq!(unpacked.entries[0].path, "usr/bin/tool");
    assert_eq!(unpacked.entries[0].kind, Kind::File(b"content".to_vec()));
}

#[test]
fn a_warm_build_asks_nobody() {
    let archive = Archive::new();
    let lock = archive.lock("trixie").unwrap();
    let packages: Vec<_> = lock.packages.iter().collect();
    archive.store().ensure(&packages).unwrap();
    let before = archive.asked.lock().unwrap().len();
    let offline = Store::new(archive.cache(), client(), Some("no mirror at all".to_owned()));
    offline.ensure(&packages).unwrap();
    offline.unpack(packages[0], &|_| true).unwrap();
    assert_eq!(archive.asked.lock().unwrap().len(), before);
}

#[test]
fn trusts_no_release_but_a_good_one() {
    let now = |change: fn(String) -> String| Archive::with_release(change).lock("trixie");
    let archive = Archive::new();
    check(archive.lock("stable"), Err("get the release of stable: the mirror does not have it"));
    let missing = archive.folder.path().join("nothing");
    check(archive.lock_with("trixie", missing, Freshness::Required), Err("read keyring"));
    let stranger = archive.folder.path().join("stranger");
    let other = keyring::tests::key(KeyType::Ed25519Legacy, true, 1_700_000_001);
    fs::write(&stranger, keyring::tests::armor(&other)).unwrap();
    check(archive.lock_with("trixie", stranger, Freshness::Required), Err("none of the keyring's keys made it"));
    let flip = |bytes: &mut Vec<u8>| bytes[70] ^= 1;
    archive.change("/debian/dists/trixie/InRelease", flip);
    check(archive.lock("trixie"), Err("the content is not what key"));
    check(now(|text| text.replace("trixie", "forky")), Err("it is the release of stable and forky"));
    check(now(|text| text.replace("main/", "contrib/")), Err("no package index for main on x86_64"));
    let expired = Archive::with_release(|text| format!("Valid-Until: Sat, 28 Nov 2020 09:15:44 UTC\n{text}"));
    check(expired.lock("trixie"), Err("it was good until 2020-11-28"));
    let key = expired.folder.path().join("key");
    check(expired.lock_with("trixie", key, Freshness::ExpiredAllowed), Ok(()));
}

#[test]
fn takes_the_index_by_digest_first() {
    let archive = Archive::new();
    let plain = "/debian/dists/trixie/main/binary-amd64/Packages.xz";
    let index = archive.files.lock().unwrap()[plain].clone();
    let by_hash = format!("/debian/dists/trixie/main/binary-amd64/by-hash/SHA256/{}", Digest::of(&index));
    archive.files.lock().unwrap().insert(by_hash, index);
    archive.change(plain, |bytes| bytes.reverse());
    check(archive.lock("trixie"), Ok(()));
}

#[test]
fn refuses_an_index_that_was_not_signed() {
    let archive = Archive::new();
    archive.change("/debian/dists/trixie/main/binary-amd64/Packages.xz", |bytes| bytes.reverse());
    check(archive.lock("trixie"), Err("that is pinned"));
}

#[test]
fn says_which_package_cannot_be_got() {
    fn after(spoil: impl FnOnce(&Archive)) -> Result<(), super::store::Error> {
        let archive = Archive::new();
        let lock = archive.lock("trixie").unwrap();
        spoil(&archive);
        archive.store().ensure(&lock.packages.iter().collect::<Vec<_>>())
    }
    let gone = "fetch package tool 1+b1: it is no longer on the mirror; run `ashlar lock`";
    check(after(|archive| archive.remove(POOL)), Err(gone));
    check(
        after(|archive| archive.change(POOL, |bytes| bytes[100] ^= 1)),
        Err("fetch package tool: fetch /debian/pool/tool"),
    );
    check(after(|archive| archive.change(POOL, |bytes| bytes.push(0))), Err("not the"));
    check(after(|_| ()), Ok(()));
}

#[test]
fn repairs_a_damaged_cache() {
    let archive = Archive::new();
    let lock = archive.lock("trixie").unwrap();
    let packages: Vec<_> = lock.packages.iter().collect();
    let store = archive.store();
    store.ensure(&packages).unwrap();
    let path = archive.cache().get(&lock.packages[0].blob()).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert_eq!(store.unpack(packages[0], &|_| true).unwrap().entries.len(), 1);
    assert_ne!(fs::read(&path).unwrap(), bytes);
    fs::write(&path, &bytes).unwrap();
    archive.remove(POOL);
    check(store.unpack(packages[0], &|_| true), Err("no longer on the mirror"));
}
