//! Who a process in a container is, and how others come in.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use ashlar_sys::{process, terminal};
use serde_json::json;

use crate::fixture::{Container, With, reap};
use crate::ground::Ground;
use crate::stories::{Told, text};

pub fn identity(ground: &Ground) -> Told {
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

pub fn filter(ground: &Ground) -> Told {
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

pub fn environment_and_descriptors(ground: &Ground) -> Told {
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

pub fn terminals(ground: &Ground) -> Told {
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

pub fn joining(ground: &Ground) -> Told {
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
