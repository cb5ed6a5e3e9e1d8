//! Keys in one hand, and in several: what is signed here, what waits, and for whom.

use super::*;
use crate::cli::{KeysCommand, Quorum};
use crate::publish::keys;
use ashlar_formats::tuf::Error;
use std::num::NonZeroU32;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Who publishes, and the folders of others.
struct People(tempfile::TempDir);

impl People {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// One key for each role.
    fn alone() -> Self {
        let people = Self::new();
        let folder = people.path("keys");
        run(KeysCommand::New { folder, threshold: vec![], key: vec![] }).unwrap();
        people
    }

    /// Two of these three have to sign the root: none of their keys is here.
    fn three() -> Self {
        let people = Self::new();
        let names = ["alice", "bob", "carol"];
        for name in names {
            run(KeysCommand::Make { file: people.path(&format!("{name}.pem")) }).unwrap();
        }
        let key = names.map(|name| (RoleName::Root, people.path(&format!("{name}.pub")))).into();
        run(KeysCommand::New { folder: people.path("keys"), threshold: vec![quorum(RoleName::Root, 2, None)], key })
            .unwrap();
        people
    }

    fn folder(&self) -> Folder {
        Folder::open(&self.path("keys")).unwrap()
    }

    fn ring(&self) -> Keyring {
        Keyring::open(&self.path("keys")).unwrap()
    }

    /// Somebody's signature: in the folder's file, or of a copy that goes away and comes back.
    fn sign(&self, document: &str, names: &[&str]) {
        let key = names.iter().map(|name| self.path(&format!("{name}.pem"))).collect();
        run(KeysCommand::Sign { documents: vec![self.path(document)], key }).unwrap();
    }

    fn collect(&self, copy: &str) -> anyhow::Result<()> {
        run(KeysCommand::Collect { folder: self.path("keys"), copies: vec![self.path(copy)] })
    }

    fn state(&self) -> String {
        self.folder().state().unwrap()
    }
}

fn run(command: KeysCommand) -> anyhow::Result<()> {
    keys::run(&command)
}

fn quorum(role: RoleName, threshold: u32, keys: Option<u32>) -> Quorum {
    Quorum { role, threshold: NonZeroU32::new(threshold).unwrap(), keys }
}

fn targets(version: u64) -> Targets {
    Targets::new(version, Date::from_seconds(2_000_000_000))
}

#[track_caller]
fn refused<T>(result: anyhow::Result<T>, part: &str) {
    let error = format!("{:#}", result.map(drop).unwrap_err());
    assert!(error.contains(part), "{error}");
}

#[test]
fn keys_are_kept_to_oneself_and_found_again() {
    let people = People::alone();
    let keys = people.path("keys");
    let mut names: Vec<_> = fs::read_dir(&keys).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["1.root.json", "root.pem", "snapshot.pem", "targets.pem", "timestamp.pem"]);
    assert_eq!(fs::metadata(keys.join("root.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    refused(run(KeysCommand::New { folder: keys.clone(), threshold: vec![], key: vec![] }), "something in it already");
    let ring = people.ring();
    let bytes = ring.signed(RoleName::Targets, &targets(1)).unwrap();
    let document = Document::parse(&bytes).unwrap();
    assert_eq!(document.verify(&ring.root().roles.targets, &ring.root().keys), Ok(()));
    fs::copy(keys.join("timestamp.pem"), keys.join("snapshot.pem")).unwrap();
    refused(people.ring().signed(RoleName::Snapshot, &targets(1)), "keys of snapshot: 0 of 1 signed; 1 more of key ");
    refused(Keyring::open(people.0.path()), "ashlar keys new");
}

#[test]
fn roots_follow_each_other() {
    let people = People::alone();
    for (number, role) in (2..).zip(RoleName::ALL) {
        run(KeysCommand::Rotate { folder: people.path("keys"), role, key: None, with: None }).unwrap();
        let ring = people.ring();
        assert_eq!(ring.root().common.version, number);
        assert!(ring.root().roles.get(role).keyids.len() == 1 && ring.root().keys.len() == 4);
        ring.signed(role, &targets(1)).unwrap();
    }
    assert!(people.state().contains("keys/root.pem: counts for nothing any more"), "{}", people.state());
    fs::copy(people.path("keys/3.root.json"), people.path("keys/6.root.json")).unwrap();
    refused(Folder::open(&people.path("keys")), "6.root.json: it does not read: it says that it is version 3");
}

#[test]
fn several_keys_in_one_folder() {
    let people = People::new();
    let folder = people.path("keys");
    let threshold = vec![quorum(RoleName::Root, 2, Some(3)), quorum(RoleName::Targets, 2, None)];
    run(KeysCommand::New { folder: folder.clone(), threshold, key: vec![] }).unwrap();
    let state = people.state();
    for line in
        ["root       2 of 3: root-1.pem, root-2.pem, root-3.pem", "targets    2 of 2: targets-1.pem, targets-2.pem"]
    {
        assert!(state.contains(line), "{state}");
    }
    let role = RoleName::Targets;
    run(KeysCommand::Add { folder: folder.clone(), role, file: None }).unwrap();
    run(KeysCommand::Threshold { folder: folder.clone(), role, count: NonZeroU32::new(3).unwrap() }).unwrap();
    let remove = |key: &str| run(KeysCommand::Remove { folder: folder.clone(), role, key: key.into() });
    refused(remove("2"), "targets would have 2 keys, and 3 have to sign: add a key first");
    refused(remove("4"), "4 is no key of targets; its keys are targets-1.pem, targets-2.pem, targets-3.pem");
    run(KeysCommand::Threshold { folder: folder.clone(), role, count: NonZeroU32::MIN }).unwrap();
    remove("2").unwrap();
    assert_eq!(people.ring().root().common.version, 5);
    refused(
        run(KeysCommand::Rotate { folder: folder.clone(), role, key: None, with: None }),
        "say which one of targets-1.pem, targets-3.pem",
    );
    refused(
        run(KeysCommand::Add { folder, role, file: Some(people.path("keys/targets-3.pem")) }),
        "is one of targets already",
    );
}

#[test]
fn people_sign_one_after_the_other() {
    let people = People::three();
    refused(Keyring::open(&people.path("keys")), "the first root waits for signatures");
    let state = people.state();
    assert!(state.contains("keys of root 1: 0 of 2 signed; 2 more of root-alice.pub, root-bob.pub"), "{state}");
    // One of them here, the other by a copy.
    fs::copy(people.path("keys/pending/1.root.json"), people.path("1.root.json")).unwrap();
    people.sign("keys/pending/1.root.json", &["alice"]);
    assert!(people.state().contains("1 of 2 signed (root-alice.pub); 1 more of root-bob.pub"), "{}", people.state());
    people.sign("1.root.json", &["bob"]);
    people.collect("1.root.json").unwrap();
    assert!(!people.path("keys/pending").exists());
    assert_eq!(people.ring().root().roles.root.threshold.get(), 2);
    refused(people.collect("1.root.json"), "it has enough signatures already");
}

#[test]
fn a_stolen_key_below_the_threshold_is_worth_nothing() {
    let people = People::three();
    people.sign("keys/pending/1.root.json", &["alice", "bob"]);
    let folder = people.path("keys");
    let first = fs::read(people.path("keys/1.root.json")).unwrap();
    // Bob's is stolen, and exchanged with the others' signatures.
    run(KeysCommand::Make { file: people.path("bob2.pem") }).unwrap();
    let with = Some(people.path("bob2.pub"));
    run(KeysCommand::Rotate { folder: folder.clone(), role: RoleName::Root, key: Some("bob".into()), with }).unwrap();
    // The thief cannot stop it, nor with the new key that has not been trusted yet.
    people.sign("keys/pending/2.root.json", &["bob", "bob2"]);
    let state = people.state();
    assert!(state.contains("keys of root 1: 1 of 2 signed (root-bob.pub)"), "{state}");
    assert!(state.contains("keys of root 2: 1 of 2 signed (root-bob2.pub)"), "{state}");
    people.sign("keys/pending/2.root.json", &["alice"]);
    // By now two of each root have signed: who was there before, and who will be.
    let ring = people.ring();
    assert_eq!(ring.root().common.version, 2);
    let machine = Root::trusted(&first).unwrap().next(&ring.roots()[&2]).unwrap();
    // His own next root, which he would have everybody follow.
    let mut theirs = machine.clone();
    theirs.common = ashlar_formats::tuf::Common::new::<Root>(3, in_days(1));
    theirs.roles.root.threshold = NonZeroU32::MIN;
    let mut document = Document::new(&theirs).unwrap();
    KeyFile::read(&people.path("bob2.pem")).unwrap().sign(&mut document).unwrap();
    assert_eq!(machine.next(&document.to_bytes()), Err(Error::Threshold { valid: 1, threshold: 2 }));
}

#[test]
fn changes_that_wait_are_one_root() {
    let people = People::three();
    people.sign("keys/pending/1.root.json", &["alice", "bob"]);
    let folder = people.path("keys");
    run(KeysCommand::Rotate { folder: folder.clone(), role: RoleName::Timestamp, key: None, with: None }).unwrap();
    fs::copy(people.path("keys/pending/2.root.json"), people.path("early.json")).unwrap();
    people.sign("early.json", &["alice"]);
    run(KeysCommand::Threshold { folder, role: RoleName::Root, count: NonZeroU32::new(3).unwrap() }).unwrap();
    // What she has signed is not what the root says now.
    refused(people.collect("early.json"), "was changed since and has to be signed anew");
    // Until it is signed, the keys from before sign.
    people.ring().signed(RoleName::Timestamp, &targets(1)).unwrap();
    people.sign("keys/pending/2.root.json", &["alice", "bob", "carol"]);
    let ring = people.ring();
    assert_eq!((ring.root().common.version, ring.root().roles.root.threshold.get()), (2, 3));
    ring.signed(RoleName::Timestamp, &targets(1)).unwrap();
}

#[test]
fn targets_wait_for_others() {
    let people = People::new();
    run(KeysCommand::Make { file: people.path("alice.pem") }).unwrap();
    let threshold = vec![quorum(RoleName::Targets, 2, Some(2))];
    let key = vec![(RoleName::Targets, people.path("alice.pub"))];
    run(KeysCommand::New { folder: people.path("keys"), threshold, key }).unwrap();
    let signed = |version| people.ring().signed(RoleName::Targets, &targets(version));
    refused(signed(7), "7.targets.json: waits for signatures");
    refused(signed(7), "keys of targets: 1 of 2 signed (targets-1.pem); 1 more of targets-alice.pub");
    assert!(people.state().contains("pending/7.targets.json: waits for signatures"), "{}", people.state());
    people.sign("keys/pending/7.targets.json", &["alice"]);
    let bytes = signed(7).unwrap();
    assert_eq!(Document::parse(&bytes).unwrap().signatures.len(), 2);
    let ring = people.ring();
    assert_eq!(ring.waiting(7).unwrap().unwrap(), targets(7));
    ring.published(7).unwrap();
    assert_eq!((ring.waiting(7).unwrap(), people.path("keys/pending").exists()), (None, false));
}
