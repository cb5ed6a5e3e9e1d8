//! Bundles of made-up units.

use std::collections::BTreeSet;

use ashlar_config::unit::UnitFile;
use ashlar_fetch::Digest;

use super::*;
use crate::debian::Arch;

fn source(name: &str, text: &str) -> UnitSource {
    let file = format!("{name}/unit.toml");
    let text = format!("description='x'\n{text}");
    let written = UnitFile::parse(&file, &text).unwrap();
    let files = BTreeMap::new();
    UnitSource { name: name.into(), file, text, written, files, digest: Digest::of(b"") }
}

fn accounts() -> Accounts {
    let passwd = "root:*:0:0:root:/root:/bin/bash\n";
    let declared = BTreeMap::from([("a".to_owned(), "u sshd 22\ng render 105\nm sshd render".to_owned())]);
    Accounts::gather(passwd, "root:*:0:\nadm:*:4:\n", &declared).unwrap()
}

/// A unit's bundle, of one package with one program.
fn made(text: &str, first_id: Option<u32>) -> Result<Bundle, String> {
    let accounts = accounts();
    let system = System { arch: Arch::X86_64, accounts: &accounts, os_release: "ID=ashlar\n", drop: &[] };
    let mut shared = Shared::new();
    let origin: Arc<str> = "package tool".into();
    let mut tool = Tree::default();
    tool.add("usr/bin/tool", Node::file("", 0o755, &origin)).unwrap();
    tool.add("usr/bin/data", Node::file("", 0o644, &origin)).unwrap();
    let mut machine = crate::system::skeleton(&origin).unwrap();
    machine.add("usr/share/zoneinfo/UTC", Node::file("", 0o644, &origin)).unwrap();
    let packages = BTreeMap::from([("tool".to_owned(), tool)]);
    let programs = BTreeMap::new();
    let workshop = Workshop { system: &system, packages: &packages, programs: &programs, machine: &machine };
    let closure: &[&str] = if text.contains("packages") { &["tool"] } else { &[] };
    workshop.make(&source("u", text), first_id, closure, &mut shared).map_err(|error| error.to_string())
}

const TOOL: &str = "packages=['tool']\ncommand=['/usr/bin/tool','-x']\n";

#[test]
fn a_sealed_unit() {
    let bundle = made(&format!("{TOOL}user='sshd'\ngroups=['adm']\nstate-directory=['u']"), Some(524_288)).unwrap();
    let check = |pointer: &str, expect: serde_json::Value| {
        assert_eq!(bundle.config.pointer(pointer), Some(&expect), "{pointer}");
    };
    use serde_json::json;
    check("/ociVersion", json!("1.2.0"));
    check("/process/user", json!({"uid": 22, "gid": 22, "additionalGids": [4, 105]}));
    check("/process/args", json!(["/usr/bin/tool", "-x"]));
    check("/process/noNewPrivileges", json!(true));
    check("/process/capabilities/bounding", json!([]));
    check("/root", json!({"path": "rootfs", "readonly": true}));
    check("/annotations", json!({"io.ashlar.rootfs.idmap": "true"}));
    check("/linux/uidMappings", json!([{"containerID": 0, "hostID": 524_288, "size": 65_536}]));
    check("/linux/resources/devices", json!([{"allow": false, "access": "rwm"}]));
    check("/linux/seccomp/defaultErrnoRet", json!(38));
    let kinds: Vec<&str> = bundle.config["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|namespace| namespace["type"].as_str())
        .collect();
    assert_eq!(kinds, ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"]);
    let mounts = bundle.config["mounts"].as_array().unwrap();
    let state = mounts.iter().find(|mount| mount["destination"] == "/var/lib/u").unwrap();
    assert_eq!(state["uidMappings"][0]["hostID"], 524_288);
    let rootfs = bundle.rootfs.unwrap();
    assert!(rootfs.get("var/lib/u").is_some() && rootfs.get("usr/bin/tool").is_some());
}

#[test]
fn a_unit_of_the_machine() {
    let text = "rootfs='machine'\ncommand=['/usr/share/zoneinfo/UTC']";
    assert!(made(text, None).err().unwrap().contains("is not executable"));
    let text = "packages=['tool']\nuser-namespace='host'\nhost-root='y'\ncommand=['/usr/bin/tool']\n\
                capabilities=['CAP_SYS_TIME']\nhost-namespaces=['net','pid']\nseccomp='none'\nwritable-root=true";
    let config = made(text, None).unwrap().config;
    assert_eq!(config["linux"].get("uidMappings"), None);
    assert_eq!(config["linux"].get("seccomp"), None);
    assert_eq!(config["annotations"]["io.ashlar.rootfs.overlay"], "tmpfs");
    assert_eq!(config["process"]["capabilities"]["ambient"], serde_json::json!([]));
    assert_eq!(config["process"]["capabilities"]["effective"], serde_json::json!(["CAP_SYS_TIME"]));
}

#[test]
fn mistakes() {
    let check = |text: &str, expect: &str| match made(text, Some(65_536)) {
        Ok(_) => panic!("{text}"),
        Err(error) => assert_eq!(error, expect, "{text}"),
    };
    check(&format!("{TOOL}user='sshx'"), "u/unit.toml:4: user `sshx`: no package declares it; did you mean `sshd`?");
    check(
        &format!("{TOOL}groups=['admm']"),
        "u/unit.toml:4: group `admm`: no package declares it; did you mean `adm`?",
    );
    check(
        &format!("{TOOL}capabilities=['CAP_SYS_TIM']"),
        "u/unit.toml:4: capability `CAP_SYS_TIM` is not known; did you mean `CAP_SYS_TIME`?",
    );
    check(
        "command=['/usr/bin/tool']",
        "u/unit.toml:2: there is no program `/usr/bin/tool` in its root; add `tool` to its packages",
    );
    check(
        "packages=['tool']\ncommand=['/usr/bin/data']",
        "u/unit.toml:3: program `/usr/bin/data` is not executable; make it so (chmod +x) where it comes from",
    );
    check(
        &format!("{TOOL}[[mounts]]\nsource='/usr/share/zoneinf'"),
        "u/unit.toml:5: there is no `/usr/share/zoneinf` on the machine to mount; did you mean `usr/share/zoneinfo`?",
    );
    check(&format!("{TOOL}[[mounts]]\nsource='../x'"), "u/unit.toml:5: `../x` in `mounts` is no absolute path");
    check(
        &format!("{TOOL}devices=['/dev/x']"),
        "u/unit.toml:4: device `/dev/x` is not known; write its class, such as `char-tty`, or `char-*` or `block-*` for all",
    );
}

#[test]
fn names() {
    let check = |units: &[(&str, &str)], expect: &str| {
        let sources: Vec<UnitSource> =
            units.iter().map(|(name, text)| source(name, &format!("{TOOL}{text}"))).collect();
        let bundles: Vec<Bundle> = sources
            .iter()
            .map(|source| {
                let placement = Placement { bundle: "/b", first_id: 0, owner: (0, 0) };
                let units = resolve(&source.file, &source.name, &source.written, placement).unwrap();
                let row = table::row(source);
                Bundle { name: source.name.clone(), units, config: serde_json::Value::Null, rootfs: None, row }
            })
            .collect();
        let known = BTreeSet::from(["udevd.service".to_owned()]);
        let outcome = check_names(&sources, &bundles, &known).err().map(|error| error.to_string());
        assert_eq!(outcome.unwrap_or_default(), expect);
    };
    check(&[("a", "after=['network.target']"), ("b", "requires=['a.service']")], "");
    check(&[("a", "after=['udevd.service']")], "");
    check(
        &[("a", "requires=['udevd.service']")],
        "a/unit.toml:4: unit `udevd.service` is required, but the image leaves it out",
    );
    check(
        &[("a", "wants=['netwrk.target']")],
        "a/unit.toml:4: there is no unit `netwrk.target`; did you mean `network.target`?",
    );
    check(
        &[("a", "aliases=['x.service']"), ("b", "aliases=['x.service']")],
        "b/unit.toml:4: unit `x.service` is there already, from a/unit.toml",
    );
    check(
        &[("a", "aliases=['network.target']")],
        "a/unit.toml:4: unit `network.target` is built into PID 1; rename it",
    );
}

#[test]
fn ranges_go_by_name_to_private_units_only() {
    let all: Vec<UnitSource> = (0..200).map(|number| source(&format!("unit-{number:03}"), "")).collect();
    let given = ranges(&all);
    assert_eq!(given.values().collect::<BTreeSet<_>>().len(), all.len(), "two units have one range");
    assert!(given.values().all(|first| first % IDS == 0 && RANGES.contains(&(first / IDS))), "{given:?}");
    // One that comes or goes leaves the others as they are.
    let fewer = ranges(&all[1..]);
    let moved = fewer.iter().filter(|(name, first)| given.get(*name) != Some(first)).count();
    assert!(moved <= 1, "{moved} units have another range");
    assert_eq!(ranges(&[source("b", "user-namespace='host'")]), BTreeMap::new());
}
