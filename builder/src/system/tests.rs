//! Roots of a few made-up files.

use std::collections::BTreeMap;

use super::*;

fn finished(files: &[(&str, &str, u32)], role: Role, drop: &[&str]) -> Tree {
    let accounts = Accounts::gather("root:*:0:0:root:/root:/bin/bash\n", "root:*:0:\n", &BTreeMap::new()).unwrap();
    let drop: Vec<Glob> = drop.iter().map(|pattern| Glob::new(pattern)).collect();
    let system = System { arch: Arch::X86_64, accounts: &accounts, os_release: "ID=ashlar\n", drop: &drop };
    let mut shared = Shared::new();
    let origin: Arc<str> = "package p".into();
    let mut tree = skeleton(&origin).unwrap();
    for (path, text, mode) in files {
        tree.add(path, Node::file(*text, *mode, &origin)).unwrap();
    }
    system.finish(&mut tree, role, &mut shared).unwrap();
    tree
}

fn text(tree: &Tree, path: &str) -> Option<String> {
    match &tree.get(path)?.kind {
        Kind::File(content) => Some(String::from_utf8_lossy(content).into_owned()),
        Kind::Symlink(target) => Some(format!("-> {target}")),
        Kind::Directory => Some("folder".to_owned()),
    }
}

#[test]
fn what_every_root_has() {
    let files = [
        ("usr/bin/mawk", "", 0o755),
        ("usr/share/ca-certificates/mozilla/B.crt", "b", 0o644),
        ("usr/share/ca-certificates/mozilla/A.crt", "a\n", 0o644),
        ("usr/lib/x/libnss_resolve.so.2", "", 0o644),
        ("etc/pam.d/login", "", 0o644),
        ("etc/passwd", "x", 0o644),
        ("var/lib/p/x", "", 0o644),
        ("usr/lib/tmpfiles.d/a.conf", "L+ /etc/l  - - - -  ../t\nL /etc/m - - - -\nd /usr/d 0755\nd /run/x\n", 0o644),
        ("usr/share/junk/x", "", 0o644),
    ];
    let tree = finished(&files, Role::Container, &["/usr/share/junk"]);
    let check = |path: &str, expect: Option<&str>| assert_eq!(text(&tree, path).as_deref(), expect, "{path}");
    check("bin", Some("-> usr/bin"));
    check("etc/passwd", Some("-> /run/ashlar/etc/passwd"));
    check("etc/resolv.conf", Some("-> /run/systemd/resolve/stub-resolv.conf"));
    check("etc/os-release", Some("-> ../usr/lib/os-release"));
    check("usr/lib/os-release", Some("ID=ashlar\n"));
    check("usr/bin/awk", Some("-> /usr/bin/mawk"));
    check("etc/ssl/certs/ca-certificates.crt", Some("a\nb\n"));
    check("usr/share/ca-certificates", None);
    check("etc/l", Some("-> ../t"));
    check("etc/m", None);
    check("usr/d", Some("folder"));
    check("run/x", None);
    check("var/lib/p/x", Some(""));
    check("usr/share/junk", None);
    assert!(text(&tree, "etc/nsswitch.conf").unwrap().contains("hosts: files resolve"));
    assert!(text(&tree, "etc/pam.d/common-auth").unwrap().contains("pam_deny"));
}

#[test]
fn the_machine_keeps_what_rootless_containers_need() {
    let files = [("usr/bin/newuidmap", "", 0o4755), ("usr/bin/su", "", 0o4755), ("var/lib/p/x", "", 0o644)];
    let check = |role, path: &str, expect: Option<u32>| {
        let tree = finished(&files, role, &[]);
        assert_eq!(tree.get(path).map(|node| node.mode), expect, "{role:?} {path}");
    };
    check(Role::Machine, "usr/bin/newuidmap", Some(0o4755));
    check(Role::Machine, "usr/bin/su", Some(0o755));
    check(Role::Container, "usr/bin/newuidmap", Some(0o755));
    check(Role::Machine, "var/lib", None);
    check(Role::Container, "var/lib/p/x", Some(0o644));
}
