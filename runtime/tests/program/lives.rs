//! From `create` to `delete`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fixture::{Place, Said, finish, is_root};

fn await_status(place: &Place, id: &str, expect: &str) {
    let end = Instant::now() + Duration::from_secs(10);
    while place.status(id) != expect {
        assert!(Instant::now() < end, "{id} is {}, not {expect}", place.status(id));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_life() {
    let Some(mut place) = Place::new() else { return };
    let created = place.create("a", &["sleep", "60"]);
    assert_eq!(created.code, 0, "{created:?}");
    assert_eq!(place.status("a"), "created");
    // Until it is the container's, the process is hidden from its own user, too.
    let entered = place.call(&["exec", "a", "sh", "-c", "exit 3"]).code;
    assert_eq!(entered, if is_root() { 3 } else { 1 }, "a created one can be entered by root");
    assert_eq!(place.call(&["start", "a"]).code, 0);
    assert_eq!(place.status("a"), "running");
    assert!(place.call(&["start", "a"]).err.contains("cannot start container `a`: it is running"));
    let said =
        place.call(&["exec", "--env", "X=y", "--cwd", "/tmp", "a", "sh", "-c", "echo $X $PWD; cat /proc/1/comm"]);
    assert_eq!(said, Said { code: 0, out: "y /tmp\nsleep\n".into(), err: String::new() });
    let list: Value = serde_json::from_str(&place.call(&["list", "--format", "json"]).out).unwrap();
    assert_eq!((list[0]["id"].as_str(), list[0]["status"].as_str()), (Some("a"), Some("running")));
    assert!(place.call(&["delete", "a"]).err.contains("cannot delete container `a`: it is running"));
    assert_eq!(place.call(&["kill", "a", "KILL"]).code, 0);
    await_status(&place, "a", "stopped");
    assert!(place.call(&["kill", "a", "KILL"]).err.contains("container not running"));
    assert!(place.call(&["exec", "a", "true"]).err.contains("it is stopped"));
    assert_eq!(place.call(&["delete", "a"]).code, 0);
    assert!(place.status("a").contains("container `a` does not exist"));
}

/// As an engine without root runs all of its containers: it has made one user namespace, and they make none.
#[test]
fn a_life_under_root_of_a_user_namespace() {
    let Some(mut place) = Place::new().filter(|_| is_root()) else { return };
    for mount in place.config["mounts"].as_array_mut().unwrap() {
        // A group that has no number in there.
        mount["options"].as_array_mut().unwrap().retain(|option| option != "gid=5");
    }
    place.arguments(&["sleep", "60"]).write();
    let program = place.command(&[], &[]);
    let words: Vec<&str> =
        [program.get_program()].into_iter().chain(program.get_args()).map(|w| w.to_str().unwrap()).collect();
    let call = words.join(" ");
    let mut engine = std::process::Command::new("unshare");
    engine.args(["--user", "--map-root-user", "--mount", "sh", "-ec"]).current_dir(place.bundle()).arg(format!(
        "{call} create u > /dev/null 2> ../errors; {call} start u; {call} exec u cat /proc/1/comm; {call} delete -f u"
    ));
    assert_eq!(finish(engine), Said { code: 0, out: "sleep\n".into(), err: String::new() });
}

#[test]
fn ends_of_programs() {
    let Some(mut place) = Place::new() else { return };
    let check = |place: &mut Place, script: &str, expect: i32| {
        assert_eq!(place.run("b", &["sh", "-c", script]).code, expect, "{script}");
        assert_eq!(place.call(&["list", "-q"]).out, "", "{script}: it is still there");
    };
    check(&mut place, "exit 0", 0);
    check(&mut place, "exit 42", 42);
    // A shell that is process 1 has no default actions.
    check(&mut place, "sh -c 'kill -9 $$'", 137);
}

#[test]
fn its_version() {
    let Some(place) = Place::new() else { return };
    // Docker reads it by these words.
    let said = place.call(&["--version"]);
    assert!(said.out.starts_with("ashlar-runtime version "), "{said:?}");
}

#[test]
fn a_process_with_a_terminal_does_not_hold_the_callers_output() {
    let Some(mut place) = Place::new().filter(|_| is_root()) else { return };
    let (console, output) = (place.folder.join("console"), place.folder.join("output"));
    let _listener = std::os::unix::net::UnixListener::bind(&console).unwrap();
    place.set("/process/terminal", json!(true)).arguments(&["true"]).write();
    let file = || std::fs::File::options().create(true).append(true).open(&output).unwrap();
    let mut create = place.command(&["create", "t", "--console-socket"], &[console.to_str().unwrap()]);
    assert!(create.stdout(file()).stderr(file()).status().unwrap().success());
    let state: Value = serde_json::from_str(&place.call(&["state", "t"]).out).unwrap();
    assert_eq!(state["status"], "created");
    let files = std::fs::read_dir(format!("/proc/{}/fd", state["pid"])).unwrap();
    let mut held = files.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    // Who makes it, as containerd does, waits until nobody has them.
    assert!(held.all(|target| target != output));
    assert_eq!(place.call(&["delete", "t"]).code, 0);
}

#[test]
fn hooks_in_their_order() {
    let Some(mut place) = Place::new() else { return };
    let log = place.folder.join("log");
    // They find the bundle, and the root in it, by the path that the state tells.
    let bundle = place.bundle().display().to_string();
    let hook = |word: &str| {
        // The root is read-only, but for hooks.
        let there = format!("test -f {bundle}/config.json && touch {bundle}/rootfs/tmp/{word}");
        let script = format!("{there} && echo {word} >> {}", log.display());
        json!([{"path": "/bin/sh", "args": ["sh", "-c", script]}])
    };
    place.set(
        "/hooks",
        json!({
            "prestart": hook("prestart"), "createRuntime": hook("createRuntime"), "createContainer": hook("createContainer"),
            "poststart": hook("poststart"), "poststop": hook("poststop"),
        }),
    );
    let read = || std::fs::read_to_string(&log).unwrap_or_default().replace('\n', " ");
    assert_eq!(place.create("c", &["true"]).code, 0);
    assert_eq!(read(), "prestart createRuntime createContainer ");
    assert_eq!(place.call(&["start", "c"]).code, 0);
    assert_eq!(read(), "prestart createRuntime createContainer poststart ");
    await_status(&place, "c", "stopped");
    assert_eq!(place.call(&["delete", "c"]).code, 0);
    assert_eq!(read(), "prestart createRuntime createContainer poststart poststop ");
}

#[test]
fn a_later_configuration_is_none_of_a_container() {
    let Some(mut place) = Place::new() else { return };
    let file = place.folder.join("bundle/rootfs/tmp/said");
    assert_eq!(place.create("d", &["sh", "-c", "echo first > /tmp/said || echo read-only"]).code, 0);
    place.set("/root/readonly", json!(true));
    let bad = place.create("other", &["false"]);
    assert_eq!(bad.code, 0, "{bad:?}");
    assert_eq!(place.call(&["start", "d"]).code, 0);
    await_status(&place, "d", "stopped");
    // The root of `spec` is read-only.
    assert!(!file.exists());
}

#[test]
fn descriptors_are_passed_or_closed() {
    let Some(mut place) = Place::new() else { return };
    let said = place.run("e", &["ls", "/proc/self/fd"]);
    // 3 is the folder that is read.
    assert_eq!(said.out, "0\n1\n2\n3\n", "{said:?}");
    // What this test was started with itself is passed on, and nothing of the runtime's own.
    let plain = std::process::Command::new("ls").arg("/proc/self/fd").output().unwrap();
    let said = place.call(&["run", "--preserve-fds", "20", "e"]);
    let low = |line: &&str| line.parse::<u32>().is_ok_and(|number| number < 23);
    let plain = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert_eq!(said.out.lines().collect::<Vec<_>>(), plain.lines().filter(low).collect::<Vec<_>>(), "{said:?}");
}

#[test]
fn devices_that_are_read_only_are_all_there() {
    let Some(mut place) = Place::new() else { return };
    let mounts = place.config["mounts"].as_array_mut().unwrap();
    let devices = mounts.iter_mut().find(|mount| mount["destination"] == "/dev").unwrap();
    devices["options"].as_array_mut().unwrap().push(json!("ro"));
    let script = "test -c /dev/null && test -d /dev/pts && ! touch /dev/new 2> /dev/null";
    assert_eq!(place.run("r", &["sh", "-c", script]), Said { code: 0, out: String::new(), err: String::new() });
}

#[test]
fn what_lies_under_a_new_file_system_is_copied_up() {
    let Some(mut place) = Place::new() else { return };
    std::fs::write(place.rootfs().join("etc/name"), "below\n").unwrap();
    let mount = |options: serde_json::Value| json!({"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": options});
    let check = |place: &mut Place, options: serde_json::Value, expect: &str| {
        place.config["mounts"].as_array_mut().unwrap().retain(|mount| mount["destination"] != "/etc");
        place.config["mounts"].as_array_mut().unwrap().push(mount(options));
        let said = place.run("u", &["sh", "-c", "cat /etc/name; echo x > /etc/new && ls /etc"]);
        assert_eq!(said.out, expect, "{said:?}");
    };
    check(&mut place, json!(["rprivate", "nosuid", "nodev", "tmpcopyup"]), "below\nname\nnew\n");
    check(&mut place, json!(["mode=0755"]), "new\n");
    assert_eq!(std::fs::read_dir(place.rootfs().join("etc")).unwrap().count(), 1);
}
