//! What a container must not reach, each after what others got wrong once.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::fixture::{Place, is_root};

/// CVE-2019-5736: the runtime's own program, by /proc/PID/exe of a process that is about to be the container's.
#[test]
fn the_runtime_itself() {
    let Some(mut place) = Place::new() else { return };
    place.set("/root/readonly", json!(false));
    // Executed by the runtime, this executes the runtime, as the container's root; then it is there to be written to.
    symlink("/proc/self/exe", place.rootfs().join("tmp/again")).unwrap();
    assert_eq!(place.create("r", &["sleep", "60"]).code, 0);
    assert_eq!(place.call(&["start", "r"]).code, 0);
    let before = fs::read(env!("CARGO_BIN_EXE_ashlar-runtime")).unwrap();
    let script = "for i in 1 2 3 4 5 6 7 8; do for p in /proc/[0-9]*; do \
                  (echo x > $p/exe) 2>/dev/null && readlink $p/exe; done; done; true";
    let mut attacker = place.command(&["exec", "r", "sh", "-c", script], &[]).spawn().unwrap();
    for _ in 0..20 {
        let _ = place.call(&["exec", "r", "/tmp/again", "--version"]);
    }
    let _ = attacker.wait();
    assert_eq!(fs::read(env!("CARGO_BIN_EXE_ashlar-runtime")).unwrap(), before);
}

/// CVE-2024-21626: a working directory that is a descriptor which leaked.
#[test]
fn working_directories() {
    let Some(mut place) = Place::new() else { return };
    for number in 3..12 {
        place.set("/process/cwd", json!(format!("/proc/self/fd/{number}")));
        let said = place.run("w", &["ls", "../../../../../../.."]);
        assert!(said.code != 0 && said.err.contains("cannot change the directory"), "{number}: {said:?}");
    }
    place.set("/process/cwd", json!("/"));
    assert_eq!(place.create("w", &["sleep", "60"]).code, 0);
    assert_eq!(place.call(&["start", "w"]).code, 0);
    for number in 3..12 {
        let said = place.call(&["exec", "--cwd", &format!("/proc/self/fd/{number}"), "w", "pwd"]);
        assert!(said.code != 0 && said.err.contains("cannot change the directory"), "{number}: {said:?}");
    }
}

/// CVE-2025-31133: the container's own /dev/null, a link, is what masks a file.
#[test]
fn masks() {
    let Some(mut place) = Place::new() else { return };
    place.config["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
    let _ = fs::remove_dir(place.rootfs().join("dev"));
    fs::create_dir(place.rootfs().join("dev")).unwrap();
    symlink("/proc/sys/kernel/core_pattern", place.rootfs().join("dev/null")).unwrap();
    place.set("/linux/maskedPaths", json!(["/proc/kcore", "/etc/secret"]));
    fs::write(place.rootfs().join("etc/secret"), "secret").unwrap();
    if !is_root() {
        return;
    }
    let said = place.run("m", &["sh", "-c", "cat /etc/secret; wc -c < /etc/secret"]);
    assert_eq!(said.out, "0\n", "{said:?}");
}

/// Links in the root that lead out, in every place that is made or mounted on.
#[test]
fn links_that_lead_out() {
    let Some(mut place) = Place::new() else { return };
    let outside = place.folder.join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, place.rootfs().join("out")).unwrap();
    symlink("../../../../../../../../../../../../../..", place.rootfs().join("up")).unwrap();
    let good = place.config.clone();
    for (destination, kind) in [("/out/x", "tmpfs"), ("/up/tmp/ashlar-out", "tmpfs"), ("/out", "tmpfs")] {
        place.config = good.clone();
        place.set("/root/readonly", json!(false));
        place.config["mounts"]
            .as_array_mut()
            .unwrap()
            .push(json!({"destination": destination, "type": kind, "source": kind}));
        let _ = place.run("l", &["true"]);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0, "{destination}");
        assert!(!std::path::Path::new("/tmp/ashlar-out").exists(), "{destination}");
    }
}

/// CVE-2025-52565: a console that is put where the container wants it.
#[test]
fn terminals() {
    let Some(mut place) = Place::new() else { return };
    symlink("/proc/sys/kernel/core_pattern", place.rootfs().join("dev/console")).unwrap();
    place.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/dev");
    place.set("/process/terminal", json!(true)).set("/root/readonly", json!(false));
    let before = fs::read("/proc/sys/kernel/core_pattern").unwrap();
    let said = place.run("t", &["sh", "-c", "test -c /dev/console && echo a terminal"]);
    assert!(said.out.contains("a terminal"), "{said:?}");
    assert_eq!(fs::read("/proc/sys/kernel/core_pattern").unwrap(), before);
}
