//! Publishers in memory: good ones, careless ones, and others who got hold of some of their keys.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use ashlar_formats::tuf::{Common, Key, KeyId, Roles, SigningKey};

use super::*;
use crate::source::Take;

const NOW: u64 = 1_800_000_000;
const LATER: u64 = NOW + 1000;

/// Seeds of the keys of root, timestamp, snapshot and targets.
type Keys = [u8; 4];
const KEYS: Keys = [1, 2, 3, 4];

/// What a server has, and what it was asked for.
#[derive(Default)]
struct Server {
    files: BTreeMap<String, Vec<u8>>,
    asked: RefCell<Vec<String>>,
}

impl Source for Server {
    fn whole(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        let name = path.strip_prefix("metadata/").unwrap();
        self.asked.borrow_mut().push(name.to_owned());
        let found = self.files.get(name).cloned();
        if found.as_ref().is_some_and(|bytes| bytes.len() as u64 > limit) {
            return Err(Error::Source("too large".into()));
        }
        Ok(found)
    }

    fn part(&self, _: &str, _: u64, _: u64, _: u64, _: Take<'_>) -> Result<(), Error> {
        unreachable!()
    }
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn role(seed: u8) -> Role {
    Role { keyids: vec![key(seed).public().id().unwrap()], threshold: NonZeroU32::MIN }
}

fn signed(content: &impl Metadata, seeds: &[u8]) -> Vec<u8> {
    let mut document = Document::new(content).unwrap();
    seeds.iter().for_each(|seed| document.sign(&key(*seed)).unwrap());
    document.to_bytes()
}

fn date(seconds: u64) -> Date {
    Date::from_seconds(seconds)
}

fn root(version: u64, [root, timestamp, snapshot, targets]: Keys) -> Root {
    let seeds = [root, timestamp, snapshot, targets];
    let keys: BTreeMap<KeyId, Key> =
        seeds.map(|seed| (key(seed).public().id().unwrap(), key(seed).public())).into_iter().collect();
    let roles =
        Roles { root: role(root), timestamp: role(timestamp), snapshot: role(snapshot), targets: role(targets) };
    Root { common: Common::new::<Root>(version, date(LATER)), consistent_snapshot: true, keys, roles }
}

fn about(version: u64, bytes: &[u8]) -> MetaFile {
    let digest = ashlar_fetch::Digest::of(bytes).to_string();
    MetaFile { version, length: Some(bytes.len() as u64), hashes: [("sha256".to_owned(), digest)].into() }
}

impl Server {
    /// Puts out version `n` of everything but the root.
    fn publish(&mut self, n: u64, keys: Keys, expires: u64) {
        self.publish_by(n, keys, &[keys[3]], expires);
    }

    /// As [`Self::publish`], with several keys of targets.
    fn publish_by(&mut self, n: u64, [_, timestamp, snapshot, _]: Keys, targets: &[u8], expires: u64) {
        let list = Targets::new(n, date(expires));
        let list = signed(&list, targets);
        let meta = [("targets.json".to_owned(), about(n, &list))].into();
        let together = signed(&Snapshot { common: Common::new::<Snapshot>(n, date(expires)), meta }, &[snapshot]);
        let meta = [("snapshot.json".to_owned(), about(n, &together))].into();
        let stamp = signed(&Timestamp { common: Common::new::<Timestamp>(n, date(expires)), meta }, &[timestamp]);
        self.files.insert(format!("{n}.targets.json"), list);
        self.files.insert(format!("{n}.snapshot.json"), together);
        self.files.insert("timestamp.json".into(), stamp);
    }
}

/// A device that has the first root, and visits.
struct Device(tempfile::TempDir);

impl Device {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn visit(&self, server: &Server) -> Result<u64, String> {
        let anchor = signed(&root(1, KEYS), &[KEYS[0]]);
        let targets = refresh(self.0.path(), &anchor, server, date(NOW)).map_err(|error| error.to_string())?;
        Ok(targets.targets.common.version)
    }

    #[track_caller]
    fn refuses(&self, server: &Server, part: &str) {
        let error = self.visit(server).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

fn published(n: u64) -> Server {
    let mut server = Server::default();
    server.publish(n, KEYS, LATER);
    server
}

#[test]
fn asks_for_no_more_than_it_needs() {
    let (device, mut server) = (Device::new(), published(1));
    assert_eq!(device.visit(&server), Ok(1));
    assert_eq!(server.asked.take(), ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"]);
    assert_eq!(device.visit(&server), Ok(1));
    assert_eq!(server.asked.take(), ["2.root.json", "timestamp.json"]);
    server.publish(2, KEYS, LATER);
    assert_eq!(device.visit(&server), Ok(2));
}

#[test]
fn old_files_are_noticed() {
    let device = Device::new();
    assert_eq!(device.visit(&published(3)), Ok(3));
    device.refuses(&published(2), "timestamp: it is version 2, and 3 was there before");
    // A newer timestamp of an older snapshot.
    let mut server = published(2);
    let meta = [("snapshot.json".to_owned(), about(2, &server.files["2.snapshot.json"]))].into();
    let stamp = Timestamp { common: Common::new::<Timestamp>(4, date(LATER)), meta };
    server.files.insert("timestamp.json".into(), signed(&stamp, &[KEYS[1]]));
    device.refuses(&server, "snapshot: it is version 2, and 3 was there before");
    // And a newer snapshot of older targets.
    let meta = [("targets.json".to_owned(), about(2, &server.files["2.targets.json"]))].into();
    let together = signed(&Snapshot { common: Common::new::<Snapshot>(5, date(LATER)), meta }, &[KEYS[2]]);
    let meta = [("snapshot.json".to_owned(), about(5, &together))].into();
    let stamp = Timestamp { common: Common::new::<Timestamp>(5, date(LATER)), meta };
    server.files.insert("5.snapshot.json".into(), together);
    server.files.insert("timestamp.json".into(), signed(&stamp, &[KEYS[1]]));
    device.refuses(&server, "targets.json was version 3 and is version 2");
    // What was refused was not kept; the timestamps were in order.
    device.refuses(&published(4), "timestamp: it is version 4, and 5 was there before");
    assert_eq!(device.visit(&published(6)), Ok(6));
}

#[test]
fn what_is_over_is_over() {
    let mut server = Server::default();
    server.publish(1, KEYS, NOW);
    Device::new().refuses(&server, "timestamp: it was good until 2027-01-15T08:00:00Z, and this machine's clock says");
}

#[test]
fn keys_are_exchanged() {
    let (device, mut server) = (Device::new(), published(7));
    assert_eq!(device.visit(&server), Ok(7));
    // The new root is signed by both, and the versions begin anew with the new keys of timestamp and snapshot.
    let new: Keys = [11, 12, 13, 4];
    server.files.insert("2.root.json".into(), signed(&root(2, new), &[1, 11]));
    server.publish(1, new, LATER);
    assert_eq!(device.visit(&server), Ok(1));
    // It is kept: the keys from before count no more.
    device.refuses(&published(8), "timestamp: 0 of the 1 keys");
}

#[test]
fn a_stolen_key_below_the_threshold_is_worth_nothing() {
    // Two of three keys sign the root, and two of two the targets.
    let several = |version: u64, of_root: [u8; 3]| {
        let mut root = root(version, KEYS);
        let role = |seeds: &[u8]| Role {
            keyids: seeds.iter().map(|seed| key(*seed).public().id().unwrap()).collect(),
            threshold: NonZeroU32::new(2).unwrap(),
        };
        (root.roles.root, root.roles.targets) = (role(&of_root), role(&[4, 24]));
        root.keys.extend([&of_root[..], &[24]].concat().iter().map(|seed| {
            let public = key(*seed).public();
            (public.id().unwrap(), public)
        }));
        root
    };
    let (device, mut server) = (Device::new(), Server::default());
    server.files.insert("2.root.json".into(), signed(&several(2, [1, 21, 22]), &[1, 21]));
    server.publish_by(1, KEYS, &[24], LATER);
    device.refuses(&server, "targets: 1 of the 2 keys");
    server.publish_by(2, KEYS, &[4, 24], LATER);
    assert_eq!(device.visit(&server), Ok(2));
    // Who has stolen 21 would have everybody follow a root with a key of their own.
    let theirs = |server: &mut Server, version: u64, signers: &[u8]| {
        let name = format!("{version}.root.json");
        server.files.insert(name, signed(&several(version, [21, 66, 67]), signers));
    };
    theirs(&mut server, 3, &[21, 66, 67]);
    device.refuses(&server, "root 3: 1 of the 2 keys");
    // The publisher exchanges it by the keys that are left.
    server.files.insert("3.root.json".into(), signed(&several(3, [1, 22, 23]), &[1, 22]));
    server.publish_by(3, KEYS, &[4, 24], LATER);
    assert_eq!(device.visit(&server), Ok(3));
    theirs(&mut server, 4, &[21, 66, 67]);
    device.refuses(&server, "root 4: 0 of the 2 keys");
    theirs(&mut server, 4, &[21, 22, 66]);
    device.refuses(&server, "root 4: 1 of the 2 keys");
}

#[test]
fn roots_that_are_none() {
    #[track_caller]
    fn check(name: &str, bytes: Vec<u8>, part: &str) {
        let mut server = published(1);
        server.files.insert(name.into(), bytes);
        Device::new().refuses(&server, part);
    }
    let new: Keys = [11, 2, 3, 4];
    check("2.root.json", signed(&root(2, new), &[11]), "root 2: 0 of the 1 keys");
    check("2.root.json", signed(&root(2, new), &[1]), "root 2: 0 of the 1 keys");
    check("2.root.json", signed(&root(3, new), &[1, 11]), "root 2: it does not read: it says that it is version 3");
    let mut swapped = root(2, KEYS);
    let id = swapped.keys.keys().next().unwrap().clone();
    swapped.keys.insert(id, key(99).public());
    check("2.root.json", signed(&swapped, &[1]), "is another one than its id says");
    check("2.root.json", b"<html>".to_vec(), "does not read");
    check("2.root.json", vec![b' '; limit::ROOT as usize + 1], "too large");
}

#[test]
fn the_last_roots_expiry_counts_and_only_that() {
    let mut server = published(1);
    let mut over = root(2, KEYS);
    over.common = Common::new::<Root>(2, date(NOW - 1));
    server.files.insert("2.root.json".into(), signed(&over, &[1]));
    let device = Device::new();
    device.refuses(&server, "root: it was good until");
    server.files.insert("3.root.json".into(), signed(&root(3, KEYS), &[1]));
    assert_eq!(device.visit(&server), Ok(1));
}

#[test]
fn every_file_is_the_announced_one() {
    for name in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let mut server = published(1);
        server.files.get_mut(name).unwrap().push(b' ');
        // White space changes no signature, but it is not the file that was announced.
        assert_eq!(Device::new().visit(&server).is_ok(), name == "timestamp.json", "{name}");
        server.files.insert(name.into(), b"{}".to_vec());
        assert!(Device::new().visit(&server).is_err());
        server.files.remove(name);
        Device::new().refuses(&server, "is not there");
    }
}

#[test]
fn a_power_cut_may_leave_anything() {
    let (device, server) = (Device::new(), published(1));
    assert_eq!(device.visit(&server), Ok(1));
    for name in ["root.json", "timestamp.json", "snapshot.json", "targets.json"] {
        for content in ["", "{", "{}"] {
            fs::write(device.0.path().join(name), content).unwrap();
            assert_eq!(device.visit(&server), Ok(1), "{name}");
        }
    }
}

/// Roles that trust each other, a name that one of them offers, and what is found of it.
#[test]
fn delegations() {
    use ashlar_formats::tuf::{Delegated, Delegations};

    /// `from`, `to`, whether it ends the search; the role that offers `name`.
    fn found(edges: &[(&str, &str, bool)], offers: &str, signer: u8) -> Result<Option<u64>, String> {
        let mut server = Server::default();
        let mut meta = BTreeMap::new();
        let mut names: Vec<&str> = vec!["targets"];
        names.extend(edges.iter().map(|(_, to, _)| *to));
        for (number, role_name) in names.iter().enumerate() {
            let mut list = Targets::new(1, date(LATER));
            if *role_name == offers {
                let target = Target { length: number as u64, hashes: BTreeMap::new(), custom: Default::default() };
                list.targets.insert("a/name".to_owned(), target);
            }
            let delegated = edges.iter().filter(|(from, ..)| from == role_name).map(|(_, to, terminating)| Delegated {
                name: (*to).to_owned(),
                role: role(5),
                terminating: *terminating,
                paths: Some(vec!["a/*".to_owned()]),
                path_hash_prefixes: None,
            });
            let roles: Vec<Delegated> = delegated.collect();
            if !roles.is_empty() {
                let keys = [(key(5).public().id().unwrap(), key(5).public())].into();
                list.delegations = Some(Delegations { keys, roles: Some(roles), succinct_roles: None });
            }
            let bytes = signed(&list, &[if *role_name == "targets" { 4 } else { signer }]);
            meta.insert(format!("{role_name}.json"), about(1, &bytes));
            server.files.insert(format!("1.{}.json", encoded(role_name)), bytes);
        }
        let together = signed(&Snapshot { common: Common::new::<Snapshot>(1, date(LATER)), meta }, &[3]);
        let meta = [("snapshot.json".to_owned(), about(1, &together))].into();
        let stamp = Timestamp { common: Common::new::<Timestamp>(1, date(LATER)), meta };
        server.files.insert("timestamp.json".to_owned(), signed(&stamp, &[2]));
        server.files.insert("1.snapshot.json".to_owned(), together);
        let kept = tempfile::tempdir().unwrap();
        let anchor = signed(&root(1, KEYS), &[1]);
        let trusted = refresh(kept.path(), &anchor, &server, date(NOW)).unwrap();
        let target = trusted.find("a/name").map_err(|error| error.to_string())?;
        Ok(target.map(|target| target.length))
    }

    let check = |edges: &[(&str, &str, bool)], offers, expect| assert_eq!(found(edges, offers, 5), expect, "{edges:?}");
    check(&[], "targets", Ok(Some(0)));
    check(&[("targets", "one", false), ("one", "two", false)], "two", Ok(Some(2)));
    check(&[("targets", "one", true), ("targets", "two", false)], "two", Ok(None));
    check(&[("targets", "one", false), ("targets", "two", false)], "two", Ok(Some(2)));
    check(&[("targets", "one", false), ("one", "one", false)], "two", Ok(None));
    check(&[("targets", "../x", false)], "../x", Ok(Some(1)));
    let error = found(&[("targets", "one", false)], "one", 6).unwrap_err();
    assert!(error.contains("0 of the 1 keys"), "{error}");
    let error = found(&[("targets", "timestamp", false)], "x", 5).unwrap_err();
    assert!(error.contains("delegates to `timestamp`"), "{error}");
    let many: Vec<(String, String)> = (0..40).map(|n| (format!("r{n}"), format!("r{}", n + 1))).collect();
    let mut edges: Vec<(&str, &str, bool)> =
        many.iter().map(|(from, to)| (from.as_str(), to.as_str(), false)).collect();
    edges.insert(0, ("targets", "r0", false));
    check(&edges, "r31", Ok(Some(32)));
    check(&edges, "r32", Ok(None));
}
