//! Bad input: a clear error, and nothing left.

use serde_json::{Value, json};

use crate::fixture::{Place, mounts_below, processes_of};

#[test]
fn configurations() {
    let Some(mut place) = Place::new() else { return };
    let good = place.config.clone();
    let mut check = |pointer: &str, value: Value, expect: &str| {
        place.config = good.clone();
        place.set(pointer, value);
        let arguments: Vec<String> =
            serde_json::from_value(place.config["process"]["args"].clone()).unwrap_or_default();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let said = place.create("m", &arguments);
        assert!(said.code == 1 && said.err.contains(expect), "{pointer}: {said:?}");
        assert_eq!(place.call(&["list", "-q"]).out, "", "{pointer}: it is still there");
        assert_eq!(processes_of(&place.folder), Vec::<String>::new(), "{pointer}: a process is left");
        assert_eq!(mounts_below(&place.folder), Vec::<String>::new(), "{pointer}: a mount is left");
    };
    check("/ociVersion", json!("9.1"), "ociVersion is `9.1`: this runtime knows 1.x");
    check("/root/path", json!("nothing"), "/nothing: no such file or directory");
    check("/process/args", json!(["nonsense"]), "nonsense: executable file not found in $PATH");
    check("/process/args", json!(["/no/where"]), "cannot execute /no/where: no such file or directory");
    check("/process/args", json!(["/etc"]), "cannot execute /etc: permission denied");
    check("/process/cwd", json!("x"), "process.cwd is `x`: it must be absolute");
    check("/process/rlimits", json!([{"type": "RLIMIT_X"}]), "there is no such limit");
    check("/process/capabilities/bounding", json!(["CAP_FLY"]), "cannot set CAP_FLY: there is no such capability");
    check("/linux/intelRdt", json!({}), "linux.intelRdt");
    check("/linux/namespaces/0/type", json!("moon"), "unknown variant `moon`");
    check("/mounts/0/type", json!("nonsense"), "nonsense at /proc: no such device");
    check("/process/terminal", json!(true), "the process has a terminal: --console-socket must say");
    check("/linux/memoryPolicy", json!({"mode": "MPOL_X"}), "there is no `MPOL_X`");
}

#[test]
fn command_lines() {
    let Some(mut place) = Place::new() else { return };
    let check = |words: &[&str], expect: &str| {
        let said = place.call(words);
        assert!(said.code == 1 && said.err.contains(expect), "{words:?}: {said:?}");
    };
    check(&["crate"], "there is no command `crate`");
    check(&["state"], "state needs ID");
    check(&["state", "no"], "container `no` does not exist");
    check(&["state", "a/b"], "`a/b` is no name for a container");
    check(&["create", "--bundel", "x", "y"], "create has no flag `bundel`, but --bundle");
    check(&["create", "--bundle", "/no/where", "y"], "cannot find the bundle /no/where: no such file or directory");
    check(&["kill", "x", "NOTHING"], "there is no signal `NOTHING`");
    check(&["exec", "x"], "container `x` does not exist");
    check(&["pause", "x"], "container `x` does not exist");
    assert_eq!(place.call(&["delete", "--force", "x"]).code, 0);
    assert_eq!(place.create("twice", &["true"]).code, 0);
    let said = place.create("twice", &["true"]);
    assert!(said.err.contains("container with id `twice` exists already"), "{said:?}");
    assert_eq!(place.status("twice"), "created");
}

#[test]
fn errors_for_engines_are_json() {
    let Some(place) = Place::new() else { return };
    let log = place.folder.join("log");
    let said = place.call(&["--log", log.to_str().unwrap(), "--log-format", "json", "start", "no"]);
    assert_eq!((said.code, said.out.as_str()), (1, ""));
    // Options of the program stand before the command.
    assert!(said.err.contains("there is no command") || said.err.contains("does not exist"), "{said:?}");
    let line = std::fs::read_to_string(log).unwrap();
    let line: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    assert_eq!((line["level"].as_str(), line["msg"].as_str()), (Some("error"), Some("container `no` does not exist")));
}
