//! Releases in a real registry: put there, and there once only, with patches made of what it has; withdrawn; and by nobody
//! whom it does not know.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use ashlar_fetch::registry::Address;
use ashlar_fetch::{Digest, Policy, Registry};
use ashlar_formats::tuf::{Document, Targets};
use ashlar_formats::uuid::Uuid;
use ashlar_formats::verity;
use serde_json::json;

#[path = "../../lib/fetch/tests/support/docker_registry.rs"]
mod docker_registry;
use docker_registry::{DockerRegistry, LOGIN};

const BLOCK: usize = 4096;

struct Publisher {
    folder: tempfile::TempDir,
    server: DockerRegistry,
}

impl Publisher {
    fn new(for_all: bool) -> Self {
        let publisher = Self { folder: tempfile::tempdir().unwrap(), server: DockerRegistry::start(for_all) };
        publisher.run(&["keys", "new", &publisher.path("keys")]).unwrap();
        publisher
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// What it prints, or what it complains of.
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ashlar"));
        for variable in ["XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG", "REGISTRY_AUTH_FILE"] {
            command.env_remove(variable);
        }
        let output = command.args(arguments).env("HOME", self.path("home")).output().unwrap();
        let [said, complained] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        if output.status.success() { Ok(said) } else { Err(complained) }
    }

    fn publish(&self, arguments: &[&str]) -> Result<String, String> {
        let (to, keys) = (self.server.address("fleet/ashlar"), self.path("keys"));
        self.run(&[&["publish", "--to", &to, "--keys", &keys][..], arguments].concat())
    }

    /// The folder of a release whose root has one block of its own.
    fn release(&self, version: &str, own: u8) -> String {
        let folder = PathBuf::from(self.path(version));
        fs::create_dir_all(&folder).unwrap();
        let mut root: Vec<u8> = (0..64 * BLOCK as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        root[7 * BLOCK..8 * BLOCK].fill(own);
        let tree = verity::build(&root[..], &[7; 32], Uuid([1; 16])).unwrap();
        let contents = [("root.erofs", &root), ("root.verity", &tree.bytes), ("ashlar.efi", &vec![own; 3 * BLOCK])];
        let files = contents.map(|(name, bytes)| {
            fs::write(folder.join(name), bytes).unwrap();
            (name.to_owned(), json!({ "size": bytes.len(), "sha256": Digest::of(bytes) }))
        });
        let release = json!({
            "format": 1, "image": "base", "version": version, "arch": "x86_64", "date": "2026-11-25T00:00:00Z",
            "kernel": "6.12", "root_hash": tree.root.to_string(), "verity_salt": "07".repeat(32),
            "sizes": { "esp": 1 << 20, "slot": 1 << 20 }, "files": serde_json::Map::from_iter(files),
        });
        fs::write(folder.join("release.json"), release.to_string()).unwrap();
        folder.display().to_string()
    }

    fn registry(&self, basic: Option<&str>) -> Registry {
        let address = Address::parse(&self.server.address("fleet/ashlar")).unwrap();
        Registry::new(address, basic.map(str::to_owned), Policy { tries: 1, ..Policy::default() })
    }

    fn targets(&self, version: u64) -> Targets {
        let registry = self.registry(None);
        let manifest = registry.manifest(&format!("{version}.targets.json")).unwrap().unwrap();
        let bytes = registry.client().get(&registry.blob(manifest.only().unwrap().digest), 1 << 20).unwrap();
        Document::parse(&bytes).unwrap().content().unwrap()
    }
}

#[test]
fn releases_in_a_registry() {
    let publisher = Publisher::new(true);
    let [first, second] = [publisher.release("0.1.0", 1), publisher.release("0.2.0", 2)];
    publisher.publish(&[&first]).unwrap();
    let begun = publisher.server.requests(0).len();
    let said = publisher.publish(&["--plan", &second]).unwrap();
    assert!(said.contains("0.1.0 "), "{said}");
    let asked = publisher.server.requests(begun);
    assert!(asked.iter().all(|asked| asked.starts_with("GET ")), "a plan has written something: {asked:?}");

    // The older release comes out of the registry, or of what was fetched of it before.
    fs::remove_dir_all(publisher.path("home")).unwrap();
    let said = publisher.publish(&[&second, "--notes", "better"]).unwrap();
    assert!(said.contains("base/x86_64/0.2.0/root.erofs.from-0.1.0: "), "{said}");
    let targets = publisher.targets(2);
    let registry = publisher.registry(None);
    for (name, target) in &targets.targets {
        let digest: Digest = target.sha256().unwrap().parse().unwrap();
        let bytes = registry.client().get(&registry.blob(digest), target.length).unwrap();
        assert_eq!((bytes.len() as u64, Digest::of(&bytes)), (target.length, digest), "{name}");
    }
    let release = registry.manifest("base.x86_64.0.2.0").unwrap().unwrap();
    let of_it = targets.targets.keys().filter(|name| name.starts_with("base/x86_64/0.2.0/")).count();
    assert_eq!((release.layers.len(), of_it), (6, 6), "{:?}", targets.targets.keys());

    // Once more: nothing is sent but signatures.
    let begun = publisher.server.requests(0).len();
    publisher.publish(&[&second, "--notes", "better"]).unwrap();
    let sent: Vec<String> =
        publisher.server.requests(begun).into_iter().filter(|asked| asked.starts_with("PUT")).collect();
    let tags = ["1.root.json", "3.snapshot.json", "timestamp.json"];
    let is_known = |asked: &&String| tags.iter().any(|tag| asked.contains(&format!("manifests/{tag} ")));
    assert_eq!(sent.iter().filter(is_known).count(), 3, "{sent:?}");
    // Of blobs: two files of metadata.
    assert_eq!(sent.len(), 5, "{sent:?}");

    let other = publisher.release("0.2.0", 3);
    let error = publisher.publish(&[&other]).unwrap_err();
    assert!(error.contains("is published with other content"), "{error}");

    let (to, keys) = (publisher.server.address("fleet/ashlar"), publisher.path("keys"));
    publisher.run(&["withdraw", "0.1.0", "--why", "it does not boot", "--to", &to, "--keys", &keys]).unwrap();
    let targets = publisher.targets(3);
    assert_eq!(targets.targets["base/x86_64/0.1.0/root.verity"].custom["release"]["withdrawn"], "it does not boot");
    let error = publisher.run(&["withdraw", "9", "--why", "x", "--to", &to, "--keys", &keys]).unwrap_err();
    assert!(error.contains("has no such release"), "{error}");

    fs::remove_dir_all(&keys).unwrap();
    publisher.run(&["keys", "new", &keys]).unwrap();
    let error = publisher.publish(&[]).unwrap_err();
    assert!(error.contains("signed by other keys") && error.contains("fleet/ashlar"), "{error}");
}

/// All files of a folder but its lock, by their paths in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(|entry| entry.unwrap()) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false if entry.file_name() == ".lock" => {}
                false => {
                    let name = entry.path().strip_prefix(folder).unwrap().to_owned();
                    files.insert(name, fs::read(entry.path()).unwrap());
                }
            }
        }
    }
    files
}

#[test]
fn a_folder_goes_to_a_registry_and_comes_back() {
    let publisher = Publisher::new(true);
    let [shop, back, keys] = ["shop", "back", "keys"].map(|name| publisher.path(name));
    let [first, second] = [publisher.release("0.1.0", 1), publisher.release("0.2.0~rc1", 2)];
    let there = publisher.server.address("fleet/ashlar");
    let mirror = |from: &str, to: &str| publisher.run(&["mirror", from, "--to", to]);
    let publish = |release: &str| publisher.run(&["publish", release, "--to", &shop, "--keys", &keys]).unwrap();
    assert!(mirror(&publisher.path("none"), &there).unwrap_err().contains("no such folder"));
    assert!(mirror(&there, &back).unwrap_err().contains("nothing is published there"));
    for release in [&first, &second] {
        publish(release);
        mirror(&shop, &there).unwrap();
        mirror(&there, &back).unwrap();
        let has = |name: &PathBuf| name.to_string_lossy().contains("snapshot");
        let (shop, mut back) = (files(Path::new(&shop)), files(Path::new(&back)));
        assert!(back.keys().filter(|name| has(name)).count() > 0);
        back.retain(|name, bytes| shop.get(name) != Some(bytes));
        assert_eq!(back.keys().collect::<Vec<_>>(), Vec::<&PathBuf>::new());
    }
    assert_eq!(files(Path::new(&shop)), files(Path::new(&back)));
    assert!(publisher.registry(None).manifest("base.x86_64.0.2.0_7Erc1").unwrap().is_some());
    let begun = publisher.server.requests(0).len();
    mirror(&shop, &there).unwrap();
    let asked = publisher.server.requests(begun);
    assert!(asked.iter().all(|asked| asked.starts_with("GET ")), "{asked:?}");
    // Who publishes to one of them only leaves the other behind.
    publisher.publish(&[]).unwrap();
    assert!(mirror(&shop, &there).unwrap_err().contains("is older than what is at repository"));
    publisher.run(&["publish", "--to", &shop, "--keys", &keys, "--fresh", "9"]).unwrap();
    assert!(mirror(&shop, &there).unwrap_err().contains("has another history"));
    let target = fs::read_dir(publisher.path("back/targets/base/x86_64/0.1.0")).unwrap().next().unwrap().unwrap();
    let other = publisher.server.address("other");
    fs::write(target.path(), "rotten").unwrap();
    assert!(mirror(&back, &other).unwrap_err().contains("is not the file that was signed"));
}

#[test]
fn only_who_is_known() {
    let publisher = Publisher::new(false);
    let release = publisher.release("0.1.0", 1);
    let error = publisher.publish(&[&release]).unwrap_err();
    assert!(error.contains("it wants a name and a password"), "{error}");
    let authfile = publisher.path("auth.json");
    let write = |auth: &str| {
        let text = json!({ "auths": { publisher.server.host.to_string(): { "auth": auth } } });
        fs::write(&authfile, text.to_string()).unwrap();
    };
    write("bm9ib2R5Om5vdGhpbmc=");
    let error = publisher.publish(&["--authfile", &authfile, &release]).unwrap_err();
    assert!(error.contains("does not let this name and password"), "{error}");
    write(LOGIN);
    publisher.publish(&["--authfile", &authfile, &release]).unwrap();
    assert!(publisher.registry(Some(LOGIN)).manifest("timestamp.json").unwrap().is_some());
    assert!(publisher.registry(None).manifest("timestamp.json").is_err());
    assert!(Path::new(&publisher.path("home/.cache/ashlar/publish")).is_dir());
}
