//! How starts fail, who is told of them, and what holds a container within limits.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::fixture::{Container, SKIPPED, With, reap};
use crate::ground::Ground;
use crate::stories::{Told, text};

pub fn failures(ground: &Ground) -> Told {
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
        "cannot mount /no/where at /data: no such file or directory",
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
        "/nothing: no such file or directory",
    )?;
    check(
        "no-directory",
        &|c| {
            c.set("/process/cwd", json!("/not/here"));
        },
        "cannot change the directory to /not/here: no such file or directory",
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
        "cannot mount tmpfs at /data: tmpfs: Unknown parameter 'nonsense'",
    )?;
    check(
        "no-json",
        &|c| {
            c.set("/mounts", json!(5));
        },
        "config.json: invalid type: integer `5`",
    )
}

/// The last hook is in the container while its process still is the runtime's, which it must not be able to look into.
pub fn hooks(ground: &Ground) -> Told {
    if !Path::new("/bin/sh").exists() {
        return Err(format!("{SKIPPED}: there is no shell for hooks"));
    }
    let mut container = Container::new(ground, "hooks")?;
    let out = container.folder.join("said");
    let hook = |script: &str| json!([{"path": "/bin/sh", "args": ["sh", "-c", script], "timeout": 5}]);
    container.set(
        "/hooks",
        json!({
            "prestart": hook(&format!("cat > {0}.first; echo prestart >> {0}", out.display())),
            "createRuntime": hook(&format!("cat > {0}.state; echo runtime >> {0}", out.display())),
            "createContainer": hook("test -e /proc/1"),
            "startContainer": hook("test -e /probe && test $PPID = 1 && ! ls /proc/1/fd"),
        }),
    );
    container.ask(&["pid"], &With::default())?;
    let said = fs::read_to_string(&out).map_err(text)?;
    let state = fs::read_to_string(format!("{}.state", out.display())).map_err(text)?;
    let first = fs::read_to_string(format!("{}.first", out.display())).map_err(text)?;
    let told = |state: &str, status: &str| state.contains(&format!(r#""id":"test","status":"{status}""#));
    if said != "prestart\nruntime\n" || !told(&first, "created") || !told(&state, "creating") {
        return Err(format!("hooks said {said:?} {first:?} {state:?}"));
    }
    container.set("/hooks/startContainer", hook("exit 4"));
    match container.ask(&["pid"], &With::default()) {
        Err(reason) if reason == "cannot run hook /bin/sh: it ended with exit status: 4" => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

pub fn group(ground: &Ground) -> Told {
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
