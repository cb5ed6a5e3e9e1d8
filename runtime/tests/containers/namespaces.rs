//! What is a container's own and what is shared.

use std::fs;

use ashlar_runtime::spec::{IdMapping, PrivateUsers};
use serde_json::json;

use crate::fixture::{Container, SKIPPED, With};
use crate::ground::Ground;
use crate::stories::{Told, text};

pub fn namespaces(ground: &Ground) -> Told {
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

pub fn shared_namespaces(ground: &Ground) -> Told {
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

pub fn other_namespaces(ground: &Ground) -> Told {
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
    let (reader, writer) = std::io::pipe().map_err(text)?;
    let mut main = container.start(&["wait"], &With { input: Some(reader.into()), ..With::default() })?;
    main.set_up()?;
    let with = With { join: Some(main.begun.pid), ..With::default() };
    container.check(&[("read:/proc/uptime", "10000*")], &with)?;
    drop(writer);
    main.finish()?;
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

pub fn identity_map(ground: &Ground) -> Told {
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

pub fn private_users(ground: &Ground) -> Told {
    if ground.ids.1 == 1 {
        return Err(format!("{SKIPPED}: only root is somebody else on the host"));
    }
    let mut container = Container::new(ground, "private-users")?;
    container.without_namespace("user").without_namespace("network");
    container.set("/process/user", json!({"uid": 33, "gid": 33, "additionalGids": [50]}));
    container.set("/process/noNewPrivileges", json!(true));
    let range = |first, size| IdMapping { container: first, host: first, size };
    let own = vec![range(0, 1), range(33, 1)];
    let mut users = PrivateUsers { uids: own.clone(), gids: own, may_set_groups: false };
    let rows = [
        ("read:/proc/self/uid_map", "0 0 1 33 33 1"),
        ("read:/proc/self/setgroups", "deny"),
        ("status:Uid", "33 33 33 33"),
        // Who is nobody in there is still in the group that he is in.
        ("status:Groups", "65534"),
        ("status:CapEff", "0000000000000000"),
        ("owner:/", "0:0"),
        ("write:/run/x", "Permission denied"),
        ("write:/tmp/x", "done"),
    ];
    container.check(&rows, &With { private_users: Some(users.clone()), ..With::default() })?;
    // Its root has all rights over itself.
    container.set("/process/user", json!({"uid": 0, "gid": 0})).set("/process/capabilities", json!(null));
    users.may_set_groups = true;
    let rows = [("read:/proc/self/setgroups", "allow"), ("status:CapEff", "000001ffffffffff")];
    container.check(&rows, &With { private_users: Some(users), ..With::default() })
}

pub fn host_user(ground: &Ground) -> Told {
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
