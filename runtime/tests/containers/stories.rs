//! What a container is, told by those inside.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use ashlar_sys::{process, terminal};
use serde_json::json;

use crate::fixture::{Container, SKIPPED, Story, With, reap};
use crate::ground::Ground;

type Told = Result<(), String>;

pub const ALL: [Story; 20] = [
    ("namespaces", namespaces),
    ("devices", devices),
    ("file_systems", file_systems),
    ("masks", masks),
    ("mounts", mounts),
    ("shifted_ids", shifted_ids),
    ("overlay", overlay),
    ("identity", identity),
    ("filter", filter),
    ("environment_and_descriptors", environment_and_descriptors),
    ("shared_namespaces", shared_namespaces),
    ("joining", joining),
    ("terminals", terminals),
    ("other_namespaces", other_namespaces),
    ("identity_map", identity_map),
    ("failures", failures),
    ("hooks", hooks),
    ("host_user", host_user),
    ("group", group),
    ("erofs", erofs),
];

fn text(error: std::io::Error) -> String {
    error.to_string()
}

fn namespaces(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "namespaces")?;
    container.set("/hostname", json!("inside"));
    let map = format!("0 {} {}", ground.ids.0, ground.ids.1);
    container.check(
        &[
            ("pid", "1"),
            ("read:/proc/self/uid_map", &map),
            ("read:/proc/self/gid_map", &map),
            ("read:/proc/sys/kernel/hostname", "inside"),
            ("loopback", "done"),
            ("status:NSpid", "1"),
            ("status:NoNewPrivs", "1"),
            ("status:SigBlk", "0000000000000000"),
            ("where", "/"),
        ],
        &With::default(),
    )
}

fn devices(ground: &Ground) -> Told {
    let container = Container::new(ground, "devices")?;
    container.check(
        &[
            ("open:/dev/null", "done"),
            ("open:/dev/zero", "done"),
            ("open:/dev/full", "done"),
            ("write:/dev/full", "No space left on device"),
            ("link:/dev/fd", "/proc/self/fd"),
            ("link:/dev/ptmx", "pts/ptmx"),
            ("open:/dev/ptmx", "*"),
            ("list:/dev", "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"),
        ],
        &With::default(),
    )
}

fn file_systems(ground: &Ground) -> Told {
    let container = Container::new(ground, "file-systems")?;
    container.check(
        &[
            ("write:/new", "Read-only file system"),
            ("write:/data/new", "Read-only file system"),
            ("write:/run/new", "done"),
            ("owner:/run/new", "0:0"),
            ("owner:/run", "0:0"),
            ("write:/tmp/new", "done"),
            ("write:/sys/power/state", "*"),
            ("mounts:/proc", "rw,nosuid,nodev,noexec,relatime"),
            ("mounts:/sys", "ro,nosuid,nodev,noexec,relatime"),
            ("mounts:/", "ro,relatime*"),
        ],
        &With::default(),
    )
}

fn masks(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "masks")?;
    container.set("/linux/maskedPaths", json!(["/proc/uptime", "/proc/fs", "/nowhere/at/all"]));
    container.set("/linux/readonlyPaths", json!(["/proc/sys", "/proc/nothing"]));
    container.check(
        &[
            ("read:/proc/uptime", ""),
            ("list:/proc/fs", ""),
            ("write:/proc/fs/x", "Read-only file system"),
            ("write:/proc/sys/kernel/hostname", "Read-only file system"),
        ],
        &With::default(),
    )
}

fn mounts(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "mounts")?;
    let source = container.folder.join("source");
    fs::create_dir_all(&source).map_err(text)?;
    fs::write(source.join("file"), "content").map_err(text)?;
    fs::set_permissions(&source, fs::Permissions::from_mode(0o777)).map_err(text)?;
    let file = source.join("file");
    container
        .add_mount(json!({"destination": "/data", "source": source, "options": ["bind", "rw", "nosuid", "noexec"]}))
        .add_mount(json!({"destination": "/run/deep/made", "source": source, "options": ["rbind", "ro"]}))
        .add_mount(json!({"destination": "/run/file", "source": file, "options": ["bind", "ro"]}))
        .add_mount(json!({"destination": "/run/none", "source": "/no/where", "options": ["bind", "x-optional"]}))
        .set("/root/readonly", json!(false));
    container.check(
        &[
            ("write:/data/new", "done"),
            ("mounts:/data", "rw,nosuid,noexec,relatime*"),
            ("read:/run/deep/made/file", "content"),
            ("write:/run/deep/made/x", "Read-only file system"),
            ("read:/run/file", "content"),
            ("write:/run/file", "Read-only file system"),
            ("list:/run", "deep file"),
        ],
        &With::default(),
    )
}

fn shifted_ids(ground: &Ground) -> Told {
    if ground.ids.1 == 1 {
        return Err(format!("{SKIPPED}: only root has ids to shift"));
    }
    let mut container = Container::new(ground, "shifted")?;
    let source = container.folder.join("state");
    fs::create_dir_all(&source).map_err(text)?;
    fs::set_permissions(&source, fs::Permissions::from_mode(0o700)).map_err(text)?;
    let (first, size) = ground.ids;
    let ids = json!([{"containerID": 0, "hostID": first, "size": size}]);
    let half = json!([{"containerID": 0, "hostID": first + 5, "size": 100}]);
    container
        .set("/annotations", json!({"io.ashlar.rootfs.idmap": "true"}))
        .add_mount(json!({"destination": "/data", "source": source, "options": ["bind", "rw", "idmap"],
            "uidMappings": ids, "gidMappings": ids}))
        .add_mount(json!({"destination": "/run/other", "source": source, "options": ["bind", "idmap"],
            "uidMappings": half, "gidMappings": half}));
    container.check(
        &[
            ("owner:/", "0:0"),
            ("owner:/data", "0:0"),
            ("write:/data/new", "done"),
            ("owner:/data/new", "0:0"),
            ("owner:/run/other", "5:5"),
        ],
        &With::default(),
    )?;
    let meta = fs::metadata(source.join("new")).map_err(text)?;
    if meta.uid() == 0 { Ok(()) } else { Err(format!("on the disk the file belongs to {}", meta.uid())) }
}

fn overlay(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "overlay")?;
    container.set("/annotations", json!({"io.ashlar.rootfs.overlay": "tmpfs"}));
    if ground.ids.1 > 1 {
        container.set("/annotations", json!({"io.ashlar.rootfs.overlay": "tmpfs", "io.ashlar.rootfs.idmap": "true"}));
    }
    for name in ["old", "kept"] {
        fs::write(container.folder.join("rootfs/data").join(name), "content").map_err(text)?;
    }
    container.check(
        &[
            ("write:/new", "done"),
            ("owner:/new", "0:0"),
            ("mkdir:/data/folder", "done"),
            ("read:/data/kept", "content"),
            ("write:/data/old", "done"),
            ("read:/data/old", "x"),
            ("remove:/data/old", "done"),
            ("list:/data", "folder kept"),
        ],
        &With::default(),
    )?;
    match fs::read_to_string(container.folder.join("rootfs/data/old")).as_deref() {
        Ok("content") => Ok(()),
        other => Err(format!("below the overlay there is {other:?}")),
    }
}

fn identity(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "identity")?;
    let caps = json!(["CAP_NET_BIND_SERVICE", "CAP_CHOWN"]);
    let sets = json!({"bounding": caps, "effective": caps, "permitted": caps, "inheritable": caps, "ambient": caps});
    container
        .set("/process/capabilities", sets)
        .set("/process/rlimits", json!([{"type": "RLIMIT_NOFILE", "soft": 50, "hard": 60}]))
        .set("/process/cwd", json!("/tmp"));
    let limits = "read:/proc/self/limits";
    let rows = [
        ("status:CapBnd", "0000000000000401"),
        ("status:CapEff", "0000000000000401"),
        ("status:CapAmb", "0000000000000401"),
        ("where", "/tmp"),
        (limits, "*"),
        ("write:/tmp/x", "done"),
    ];
    container.check(&rows, &With::default())?;
    if !container.ask(&[limits], &With::default())?.contains("Max open files 50 60 files") {
        return Err("the limit of open files is another".into());
    }
    if ground.ids.1 == 1 {
        return Ok(());
    }
    container.set("/process/user", json!({"uid": 7, "gid": 8, "additionalGids": [9, 10], "umask": 0o77}));
    container.set("/process/oomScoreAdj", json!(if ground.machine { -100 } else { 100 }));
    let score = if ground.machine { "-100" } else { "100" };
    container.check(
        &[
            ("status:Uid", "7 7 7 7"),
            ("status:Gid", "8 8 8 8"),
            ("status:Groups", "9 10"),
            ("status:CapEff", "0000000000000401"),
            ("write:/tmp/y", "done"),
            ("owner:/tmp/y", "7:8"),
            ("status:Umask", "0077"),
            ("read:/proc/self/oom_score_adj", score),
        ],
        &With::default(),
    )?;
    container.set("/process/capabilities", json!({}));
    container.check(&[("status:CapEff", "0000000000000000"), ("status:CapPrm", "0000000000000000")], &With::default())
}

fn filter(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "filter")?;
    let profile = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
            {"names": ["socket"], "action": "SCMP_ACT_ERRNO",
             "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]},
        ],
    });
    container.set("/linux/seccomp", profile.clone());
    let rows = [
        ("mkdir:/tmp/x", "No space left on device"),
        ("loopback", "Operation not permitted"),
        ("status:Seccomp", "2"),
        ("write:/tmp/x", "done"),
    ];
    container.check(&rows, &With::default())?;
    container.set("/process/noNewPrivileges", json!(false));
    container.check(&rows, &With::default())?;
    let narrow = json!({"defaultAction": "SCMP_ACT_KILL_PROCESS",
        "syscalls": [{"names": ["execve"], "action": "SCMP_ACT_ALLOW"}]});
    container.set("/process/noNewPrivileges", json!(true)).set("/linux/seccomp", narrow);
    match container.ask(&["pid"], &With::default()) {
        Err(reason) if reason.starts_with("it ended with 159") => {}
        other => return Err(format!("a program that may do nothing: {other:?}")),
    }
    container.set("/process/noNewPrivileges", json!(false)).set("/linux/seccomp", profile);
    container.check(&[("status:NoNewPrivs", "0")], &With::default())
}

fn environment_and_descriptors(ground: &Ground) -> Told {
    let container = Container::new(ground, "environment")?;
    let open = |path: &str| File::open(path).map(OwnedFd::from).map_err(text);
    let with = With {
        environment: vec![("SHARED".into(), "start".into()), ("MORE".into(), "a=b".into())],
        own_pid: vec!["LISTEN_PID"],
        descriptors: vec![open("/dev/zero")?, open("/dev/full")?],
        ..With::default()
    };
    container.check(
        &[
            ("env:SHARED", "start"),
            ("env:MORE", "a=b"),
            ("env:LISTEN_PID", "1"),
            ("environment", "PATH SHARED MORE LISTEN_PID"),
            ("link:/proc/self/fd/0", "/dev/null"),
            ("link:/proc/self/fd/3", "/dev/zero"),
            ("link:/proc/self/fd/4", "/dev/full"),
            // The fifth is the directory that is being read.
            ("list:/proc/self/fd", "0 1 2 3 4 5"),
        ],
        &with,
    )
}

fn shared_namespaces(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "shared")?;
    for kind in ["network", "cgroup", "uts", "pid"] {
        container.without_namespace(kind);
    }
    let host = fs::read_link("/proc/self/ns/net").map_err(text)?;
    container.check(
        &[
            ("link:/proc/self/ns/net", host.to_str().unwrap_or_default()),
            ("mounts:/sys", "*"),
            ("list:/sys/class/net/lo/power", "*"),
            ("write:/sys/kernel/x", "*"),
        ],
        &With::default(),
    )
}

fn joining(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "joining")?;
    container.set("/hostname", json!("joined"));
    let (reader, writer) = std::io::pipe().map_err(text)?;
    let with = With { input: Some(reader.into()), ..With::default() };
    let mut main = container.start(&["wait"], &with)?;
    main.set_up()?;
    drop(with);
    let pid = main.begun.pid;
    if !main.begun.is_init {
        return Err("the main process is not called the first one".into());
    }
    let map = format!("0 {} {}", ground.ids.0, ground.ids.1);
    let rows = [
        ("read:/proc/sys/kernel/hostname", "joined"),
        ("read:/proc/self/uid_map", map.as_str()),
        ("read:/proc/1/cmdline", "/probe*"),
        ("status:Uid", "0 0 0 0"),
        ("write:/run/left", "done"),
        ("env:LISTEN_PID", "*"),
        ("write:/new", "Read-only file system"),
    ];
    let joined = || With { join: Some(pid), own_pid: vec!["LISTEN_PID"], ..With::default() };
    container.check(&rows, &joined())?;
    container.check(&[("list:/run", "left")], &joined())?;
    container.set("/process/capabilities", json!({"bounding": ["CAP_CHOWN"]}));
    container.check(&[("status:CapBnd", "0000000000000001")], &joined())?;
    // The caller's own children are where they were.
    let mut again = Container::new(ground, "joining-again")?;
    again.without_namespace("pid");
    again.ask(&["pid"], &With::default())?;
    drop(writer);
    main.finish()?;
    match container.start(&["pid"], &joined()) {
        Err(reason) if reason.contains("it has ended") => Ok(()),
        Err(reason) => Err(reason),
        Ok(_) => Err("a container that has ended was joined".into()),
    }
}

fn terminals(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "terminals")?;
    container.check(&[("open:/dev/tty", "No such device or address")], &With::default())?;
    let (_controller, terminal) = terminal::pair().map_err(text)?;
    let others = ground.ids.1 > 1;
    let thief = if others { Some(hold_terminal(&terminal)?) } else { None };
    let copy = || terminal.try_clone().map_err(text);
    let with = |join| Ok::<_, String>(With { input: Some(copy()?), terminal: true, join, ..With::default() });
    let nodes = "console fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    container.check(&[("open:/dev/tty", "done"), ("list:/dev", nodes)], &with(None)?)?;
    let (reader, writer) = std::io::pipe().map_err(text)?;
    let mut main = container.start(&["wait"], &With { input: Some(reader.into()), ..With::default() })?;
    main.set_up()?;
    if others {
        container.check(&[("open:/dev/tty", "done")], &with(Some(main.begun.pid))?)?;
    }
    drop(writer);
    main.finish()?;
    container.without_namespace("user").without_namespace("network").without_namespace("pid");
    if others {
        container.check(&[("open:/dev/tty", "done")], &with(None)?)?;
    }
    if let Some(thief) = thief {
        process::signal(&thief.pidfd, 9).map_err(text)?;
        reap(thief.pid);
    }
    Ok(())
}

/// Somebody has the terminal already.
fn hold_terminal(terminal: &OwnedFd) -> Result<process::Child, String> {
    let (told, tell) = std::io::pipe().map_err(text)?;
    let child = process::fork(&[], None, || {
        terminal::new_session();
        let taken = terminal::take(terminal, false).is_ok();
        let _ = (&tell).write_all(&[u8::from(taken)]);
        std::thread::sleep(std::time::Duration::from_secs(60));
        0
    })
    .map_err(text)?;
    let mut taken = [0];
    (&told).read_exact(&mut taken).map_err(text)?;
    if taken == [1] { Ok(child) } else { Err("the terminal cannot be had".into()) }
}

fn other_namespaces(ground: &Ground) -> Told {
    let mut container = Container::new(ground, "other-namespaces")?;
    let namespaces = container.config["linux"]["namespaces"].as_array_mut().expect("it is a list");
    namespaces.push(json!({"type": "time"}));
    container.set("/linux/timeOffsets", json!({"boottime": {"secs": 1_000_000_000, "nanosecs": 0}}));
    container.set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}));
    container.check(
        &[
            ("read:/proc/uptime", "10000*"),
            ("read:/proc/sys/net/ipv4/ip_forward", "1"),
            ("read:/proc/sys/kernel/shm_rmid_forced", "1"),
        ],
        &With::default(),
    )?;
    if ground.ids.1 == 1 {
        return Ok(());
    }
    let mut first = Container::new(ground, "network")?;
    first.without_namespace("user");
    let (reader, writer) = std::io::pipe().map_err(text)?;
    let mut main = first.start(&["wait"], &With { input: Some(reader.into()), ..With::default() })?;
    main.set_up()?;
    let path = format!("/proc/{}/ns/net", main.begun.pid);
    let link = fs::read_link(&path).map_err(text)?;
    let mut second = Container::new(ground, "network-again")?;
    second.without_namespace("user").without_namespace("network");
    second.config["linux"]["namespaces"]
        .as_array_mut()
        .expect("it is a list")
        .push(json!({"type": "network", "path": path}));
    second.check(&[("link:/proc/self/ns/net", link.to_str().unwrap_or_default())], &With::default())?;
    drop(writer);
    main.finish().map(drop)
}

fn identity_map(ground: &Ground) -> Told {
    if ground.ids.1 == 1 {
        return Err(format!("{SKIPPED}: only root can map all ids"));
    }
    let mut container = Container::new(ground, "identity-map")?;
    let all = json!([{"containerID": 0, "hostID": 0, "size": u32::MAX}]);
    container.set("/linux/uidMappings", all.clone()).set("/linux/gidMappings", all);
    container.set("/process/user", json!({"uid": 33, "gid": 33}));
    container.set("/process/capabilities", json!({"bounding": ["CAP_NET_ADMIN"]}));
    container.check(
        &[
            ("read:/proc/self/uid_map", "0 0 4294967295"),
            ("status:Uid", "33 33 33 33"),
            ("status:CapEff", "0000000000000000"),
            ("status:CapBnd", "0000000000001000"),
            ("owner:/", "0:0"),
            ("write:/tmp/x", "done"),
            ("owner:/tmp/x", "33:33"),
            ("write:/run/x", "Permission denied"),
        ],
        &With::default(),
    )
}

fn failures(ground: &Ground) -> Told {
    let check = |name: &str, change: &dyn Fn(&mut Container), expect: &str| {
        let mut container = Container::new(ground, name)?;
        change(&mut container);
        let got = container.ask(&["pid"], &With::default()).err().unwrap_or_else(|| "no failure".into());
        if got.contains(expect) { Ok(()) } else { Err(format!("`{got}` does not say `{expect}`")) }
    };
    let bind = |source: &str, to: &str| json!({"destination": to, "source": source, "options": ["bind"]});
    check(
        "missing-source",
        &|c| {
            c.add_mount(bind("/no/where", "/data"));
        },
        "cannot mount /no/where at /data: No such file or directory",
    )?;
    check(
        "missing-place",
        &|c| {
            c.add_mount(json!({"destination": "/proc/none", "source": "/tmp", "options": ["bind"]}));
        },
        "cannot make mount point /proc/none: ",
    )?;
    check(
        "missing-root",
        &|c| {
            c.set("/root/path", json!("nothing"));
        },
        "/nothing: No such file or directory",
    )?;
    check(
        "no-directory",
        &|c| {
            c.set("/process/cwd", json!("/not/here"));
        },
        "cannot change the directory to /not/here: No such file or directory",
    )?;
    check(
        "no-capability",
        &|c| {
            c.set("/process/capabilities", json!({"effective": ["CAP_FLY"]}));
        },
        "cannot set CAP_FLY: there is no such capability",
    )?;
    check(
        "no-program",
        &|c| {
            c.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/probe");
        },
        "cannot execute /probe: ",
    )?;
    check(
        "no-option",
        &|c| {
            c.add_mount(json!({"destination": "/data", "type": "tmpfs", "options": ["nonsense=1"]}));
        },
        "cannot mount tmpfs at /data: Invalid argument",
    )?;
    check(
        "no-json",
        &|c| {
            c.set("/mounts", json!(5));
        },
        "config.json: invalid type: integer `5`",
    )
}

fn hooks(ground: &Ground) -> Told {
    if !Path::new("/bin/sh").exists() {
        return Err(format!("{SKIPPED}: there is no shell for hooks"));
    }
    let mut container = Container::new(ground, "hooks")?;
    let out = container.folder.join("said");
    let hook = |script: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 5}]);
    let note = |what: &str| hook(&format!("echo {what} >> {}; exit 0", out.display()));
    container.set(
        "/hooks",
        json!({
            "prestart": note("prestart"),
            "createRuntime": hook(&format!("cat > {0}.state; echo runtime >> {0}", out.display())),
            "createContainer": hook("test -e /proc/1"),
            "startContainer": hook("test -e /probe"),
        }),
    );
    container.ask(&["pid"], &With::default())?;
    let said = fs::read_to_string(&out).map_err(text)?;
    let state = fs::read_to_string(format!("{}.state", out.display())).map_err(text)?;
    if said != "prestart\nruntime\n" || !state.contains(r#""id":"test","status":"creating""#) {
        return Err(format!("hooks said {said:?} {state:?}"));
    }
    container.set("/hooks/startContainer", hook("exit 4"));
    match container.ask(&["pid"], &With::default()) {
        Err(reason) if reason == "cannot run hook /bin/sh: it ended with exit status: 4" => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn host_user(ground: &Ground) -> Told {
    if ground.ids.1 == 1 {
        return Err(format!("{SKIPPED}: without root there is no user namespace to stay in"));
    }
    let mut container = Container::new(ground, "host-user")?;
    container.without_namespace("user").without_namespace("network").without_namespace("pid");
    container.set("/linux/devices", json!([{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]));
    let map = fs::read_to_string("/proc/self/uid_map").map_err(text)?;
    let map = map.split_whitespace().collect::<Vec<_>>().join(" ");
    container.check(
        &[
            ("read:/proc/self/uid_map", &map),
            ("mounts:/sys", "ro*"),
            ("list:/dev", "fd full kmsg mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"),
            ("write:/new", "Read-only file system"),
        ],
        &With::default(),
    )?;
    container.without_namespace("mount").set("/root/path", json!("/"));
    container.set("/process/args", json!(["/bin/true"]));
    let own = std::env::current_exe().map_err(text)?;
    let started = container.start(&["pid"], &With::default())?.finish();
    // Here the program is where it is on the host, not at /probe.
    match started {
        Err(reason) if reason.starts_with("cannot execute /probe") && own.exists() => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

fn group(ground: &Ground) -> Told {
    let Some(parent) = &ground.groups else {
        return Err(format!("{SKIPPED}: there are no control groups v2"));
    };
    let mut container = Container::new(ground, "group")?;
    let group = parent.join("unit");
    fs::create_dir_all(&group).map_err(text)?;
    let mounted = json!({"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]});
    container.add_mount(mounted);
    if ground.machine {
        container.set("/linux/resources", json!({"memory": {"limit": 50_000_000}, "pids": {"limit": 20}}));
    }
    let with = || With { group: Some(group.clone()), subgroup: Some("below"), ..With::default() };
    container.check(&[("read:/proc/self/cgroup", "*"), ("list:/sys/fs/cgroup", "*")], &with())?;
    let answers = container.ask(&["read:/proc/self/cgroup", "read:/sys/fs/cgroup/cgroup.procs"], &with())?;
    if !answers.contains("0::/\n") && !answers.contains("0::/ ") && !answers.contains("0::/") {
        return Err(format!("its group is seen as {answers}"));
    }
    if ground.machine {
        let limit = fs::read_to_string(group.join("memory.max")).map_err(text)?;
        if limit.trim() != "49999872" {
            return Err(format!("memory.max is {limit}"));
        }
    }
    let rules = json!([{"allow": false, "access": "rwm"},
        {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "w"}]);
    container.set("/linux/resources", json!({"devices": rules}));
    container.set(
        "/linux/devices",
        json!([{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11},
        {"path": "/dev/mem", "type": "c", "major": 1, "minor": 1}]),
    );
    container.without_namespace("user").without_namespace("network");
    let rows = [
        ("open:/dev/null", "done"),
        ("write:/dev/kmsg", "done"),
        ("open:/dev/kmsg", "Operation not permitted"),
        ("open:/dev/mem", if Path::new("/dev/mem").exists() { "Operation not permitted" } else { "*" }),
    ];
    // Again and again: one program takes the other's place.
    for _ in 0..70 {
        container.check(&rows[..2], &with())?;
    }
    container.check(&rows, &with())?;
    let (reader, writer) = std::io::pipe().map_err(text)?;
    let mut held = container.start(&["wait"], &With { input: Some(reader.into()), ..with() })?;
    held.set_up()?;
    let procs = fs::read_to_string(group.join("below/cgroup.procs")).map_err(text)?;
    let _ = fs::write(group.join("cgroup.kill"), "1");
    drop(writer);
    let code = reap(held.begun.pid);
    let _ = fs::remove_dir(group.join("below")).and_then(|()| fs::remove_dir(&group));
    match procs.lines().any(|line| line == held.begun.pid.to_string()) && code == 137 {
        true => Ok(()),
        false => Err(format!("the group had {procs:?}, it ended with {code}")),
    }
}

fn erofs(ground: &Ground) -> Told {
    let disk = Path::new("/dev/vda");
    if !ground.machine || !disk.exists() {
        return Err(format!("{SKIPPED}: there is no disk with an EROFS on it"));
    }
    let place = ground.folder.join("image");
    fs::create_dir_all(&place).map_err(text)?;
    let flags = ashlar_sys::filesystem::READ_ONLY;
    ashlar_sys::filesystem::mount("/dev/vda", &place, "erofs", flags, "").map_err(text)?;
    let mut container = Container::new(ground, "erofs")?;
    container.set("/root/path", json!(place));
    container.set("/annotations", json!({"io.ashlar.rootfs.idmap": "true"}));
    container.check(
        &[("owner:/", "0:0"), ("owner:/data", "7:8"), ("write:/x", "Read-only file system")],
        &With::default(),
    )?;
    container.set("/annotations", json!({"io.ashlar.rootfs.idmap": "true", "io.ashlar.rootfs.overlay": "tmpfs"}));
    container.check(
        &[("owner:/data", "7:8"), ("write:/data/x", "done"), ("owner:/data/x", "0:0"), ("write:/x", "done")],
        &With::default(),
    )
}
