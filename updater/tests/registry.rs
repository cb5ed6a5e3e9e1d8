//! An upgrade out of a real registry: what is offered, by tags; the hash tree whole; of the root only the blocks that are new.

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroU32;

use ashlar_fetch::registry::{Address, Descriptor, Manifest};
use ashlar_fetch::{Blob, Digest, Policy};
use ashlar_formats::date::Date;
use ashlar_formats::tuf::{
    Common, Document, FILES, Key, KeyId, MetaFile, Metadata, Role, Roles, Root, SigningKey, Snapshot, Target, Targets,
    Timestamp, target_name,
};
use ashlar_formats::uuid::Uuid;
use ashlar_formats::verity;
use ashlar_updater::blocks::Transfer;
use ashlar_updater::device::{BLOCK, Device};
use ashlar_updater::error::Error;
use ashlar_updater::offer::{Offer, Wish, choose, offers};
use ashlar_updater::road::Road;
use ashlar_updater::source::{Registry, Source};
use ashlar_updater::tree::Tree;
use ashlar_updater::trust::refresh;
use serde_json::{Value, json};

#[path = "../../lib/fetch/tests/support/docker_registry.rs"]
mod docker_registry;
use docker_registry::DockerRegistry;

const NAME: &str = "fleet/ashlar";

/// A publisher with one key, as `ashlar publish` leaves a repository.
struct Publisher {
    registry: ashlar_fetch::Registry,
    key: SigningKey,
}

fn later() -> Date {
    Date::from_seconds(Date::now().seconds() + 1000)
}

fn blob(bytes: &[u8]) -> Blob {
    Blob { digest: Digest::of(bytes), size: bytes.len() as u64 }
}

fn about(version: u64, bytes: &[u8]) -> MetaFile {
    let hashes = [("sha256".to_owned(), Digest::of(bytes).to_string())].into();
    MetaFile { version, length: Some(bytes.len() as u64), hashes }
}

impl Publisher {
    fn new(server: &DockerRegistry) -> Self {
        let address = Address::parse(&server.address(NAME)).unwrap();
        let registry = ashlar_fetch::Registry::new(address, None, Policy::default());
        Self { registry, key: SigningKey::from_seed(&[7; 32]) }
    }

    fn signed(&self, content: &impl Metadata) -> Vec<u8> {
        let mut document = Document::new(content).unwrap();
        document.sign(&self.key).unwrap();
        document.to_bytes()
    }

    fn root(&self) -> Vec<u8> {
        let id = self.key.public().id().unwrap();
        let role = || Role { keyids: vec![id.clone()], threshold: NonZeroU32::MIN };
        let roles = Roles { root: role(), timestamp: role(), snapshot: role(), targets: role() };
        let keys: BTreeMap<KeyId, Key> = [(id.clone(), self.key.public())].into();
        self.signed(&Root { common: Common::new::<Root>(1, later()), consistent_snapshot: true, keys, roles })
    }

    fn push(&self, bytes: &[u8]) -> Blob {
        self.registry.push(&blob(bytes), &|| Ok(bytes)).unwrap();
        blob(bytes)
    }

    fn tag(&self, tag: &str, files: &[&[u8]]) {
        self.push(Manifest::EMPTY);
        let layers = files.iter().map(|bytes| Descriptor::new("application/x", &self.push(bytes), None)).collect();
        self.registry.tag(tag, &Manifest::new("application/x", layers)).unwrap();
    }

    /// Version `n` of what is offered: this release.
    fn publish(&self, n: u64, release: &Value, files: [&[u8]; 3]) {
        let version = release["version"].as_str().unwrap();
        self.tag(&format!("base.x86_64.{version}"), &files);
        let mut list = Targets::new(n, later());
        for (name, bytes) in FILES.into_iter().zip(files) {
            let hashes = [("sha256".to_owned(), Digest::of(bytes).to_string())].into();
            let custom = if name == "root.verity" { json!({ "release": release }) } else { Value::Null };
            let target = Target { length: bytes.len() as u64, hashes, custom };
            list.targets.insert(target_name("base", "x86_64", version, name), target);
        }
        let list = self.signed(&list);
        let meta = [("targets.json".to_owned(), about(n, &list))].into();
        let together = self.signed(&Snapshot { common: Common::new::<Snapshot>(n, later()), meta });
        let meta = [("snapshot.json".to_owned(), about(n, &together))].into();
        let stamp = self.signed(&Timestamp { common: Common::new::<Timestamp>(n, later()), meta });
        self.tag(&format!("{n}.targets.json"), &[&list]);
        self.tag(&format!("{n}.snapshot.json"), &[&together]);
        self.tag("timestamp.json", &[&stamp]);
    }
}

/// A root whose blocks are noise, but for some.
fn root(own: &[usize]) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..(256 * BLOCK) as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for block in own {
        bytes[block * BLOCK..(block + 1) * BLOCK].fill(*block as u8);
    }
    // The noise repeats itself; each block is to be found in one place only.
    (0..256).for_each(|block| bytes[block * BLOCK..block * BLOCK + 4].copy_from_slice(&(block as u32).to_le_bytes()));
    bytes
}

fn tree(root: &[u8]) -> verity::Tree {
    verity::build(root, &[7; 32], Uuid([1; 16])).unwrap()
}

#[test]
fn only_new_blocks_are_fetched() {
    let server = DockerRegistry::start(true);
    let publisher = Publisher::new(&server);
    let source = Registry::new(&server.address(NAME), Policy { tries: 1, ..Policy::default() }).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [kept, running, slot] = ["kept", "running", "slot"].map(|name| folder.path().join(name));
    let next = || -> Result<Option<Offer>, Error> {
        let trusted = refresh(&kept, &publisher.root(), &source, Date::now())?;
        choose(offers(&trusted.targets, "base", "x86_64"), &Wish { running: "0.1.0", version: None, channel: "stable" })
    };
    let error = next().unwrap_err().to_string();
    assert!(error.contains("metadata/timestamp.json is not there"), "{error}");

    let (old, new) = (root(&[]), root(&[7, 9, 200]));
    let (before, after) = (tree(&old), tree(&new));
    let mut release = json!({
        "image": "base", "arch": "x86_64", "version": "0.2.0", "date": "2026-11-25T00:00:00Z",
        "root_hash": after.root.to_string(), "channels": ["stable"],
    });
    let files = [&new[..], &after.bytes[..], b"a unified kernel image"];
    publisher.publish(1, &release, files);
    let offer = next().unwrap().unwrap();
    assert_eq!(offer.release.version, "0.2.0");

    let road = Road::find(&source, &offer, ("root.verity", &offer.tree), None);
    let fetched = road.take(&mut |fill| {
        let mut bytes = Vec::new();
        fill(&mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(bytes)
    });
    let tree = Tree::new(fetched.unwrap(), offer.root_hash).unwrap();
    let running_tree = Tree::new(before.bytes, before.root).unwrap();
    fs::write(&running, &old).unwrap();
    fs::write(&slot, vec![0; new.len()]).unwrap();
    let (running, device) = (Device::open(&running).unwrap(), Device::open_writable(&slot).unwrap());
    let places = tree.places_in(&running_tree);
    let mut transfer = Transfer::plan(&tree, &places, &running, (&device, None), &mut |_, _| {}).unwrap();
    assert_eq!(transfer.fetch_bytes(), 3 * BLOCK as u64);
    let begun = server.requests(0).len();
    transfer.complete(&source, &offer.root, &slot, &mut |_, _, _| {}).unwrap();
    assert!(fs::read(&slot).unwrap() == new);
    // Two parts of a blob, and nothing else.
    let part = format!("GET /v2/{NAME}/blobs/sha256:{} 206", offer.root.sha256);
    assert_eq!(server.requests(begun), [part.clone(), part]);
    let name = "targets/base/x86_64/0.2.0/".to_owned() + &"0f".repeat(32) + ".root.erofs";
    assert!(source.part(&name, 7, 0, 7, &mut |_| Ok(())).is_err());

    release["withdrawn"] = "it does not boot".into();
    publisher.publish(2, &release, files);
    assert_eq!(next().unwrap(), None);
}
