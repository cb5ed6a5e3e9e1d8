//! Unit files and what they come to.

use super::*;
use crate::quantity::Span;
use crate::unit::{Exec, Protect, Restart, Service, ServiceType};

fn unit(name: &str, text: &str) -> Unit {
    let fragment = Text { path: format!("/etc/systemd/system/{name}"), text: text.to_owned() };
    read(&Sources { name: name.into(), fragment: Some(fragment), ..Sources::default() }, &Host::default()).0
}

fn service(text: &str) -> (Unit, Service, Exec) {
    let unit = unit("a.service", text);
    let Body::Service(service) = &unit.body else { panic!("{:?}", unit.source) };
    let (service, exec) = (*service.clone(), *service.host.clone().unwrap());
    (unit, service, exec)
}

#[test]
fn a_service() {
    let (unit, service, exec) = service(
        "[Unit]\nDescription=Some daemon\nAfter=network.target b.service\nConditionPathExists=!/x\n\
         [Service]\nType=notify\nExecStartPre=-/bin/pre\nExecStart=/bin/daemon --flag \"a b\"\nRestart=on-failure\n\
         RestartSec=5\nUser=nobody\nEnvironment=A=1 \"B=x y\"\nEnvironmentFile=-/etc/default/a\nLimitNOFILE=1024:4096\n\
         ProtectSystem=strict\nStateDirectory=a b\nStateDirectoryMode=0700\nMemoryMax=64M\nCPUQuota=50%\n\
         [Install]\nWantedBy=multi-user.target\n",
    );
    assert_eq!(unit.source.problems, [""; 0]);
    assert_eq!((unit.description.as_str(), unit.slice.as_str()), ("Some daemon", "system.slice"));
    assert!(unit.dependencies.after.contains(&"b.service".to_owned()));
    assert!(unit.dependencies.conflicts.contains(&"shutdown.target".to_owned()));
    assert!(unit.conditions[0].negate && unit.conditions[0].kind == "PathExists");
    assert_eq!(service.service_type, ServiceType::Notify);
    assert_eq!(service.commands.start[0].arguments, ["/bin/daemon", "--flag", "a b"]);
    assert!(service.commands.start_pre[0].ignore_failure);
    assert_eq!(
        (service.supervision.restart, service.supervision.restart_delay),
        (Restart::OnFailure, Span::seconds(5))
    );
    assert_eq!(exec.user.as_deref(), Some("nobody"));
    assert_eq!(exec.environment, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "x y".to_owned())]);
    assert_eq!(exec.environment_files, [("/etc/default/a".to_owned(), true)]);
    assert_eq!(exec.rlimits, [("RLIMIT_NOFILE".to_owned(), 1024, 4096)]);
    assert_eq!(exec.seal.system, Protect::Strict);
    assert_eq!(exec.folders.iter().map(|folder| folder.mode).collect::<Vec<_>>(), [0o700, 0o700]);
    assert_eq!(service.resources["unified"]["memory.max"], "67108864");
    assert_eq!(service.resources["cpu"]["quota"], 50_000);
}

#[test]
fn what_is_left_out_is_inferred() {
    let check = |text: &str, expect| assert_eq!(service(text).1.service_type, expect, "{text}");
    check("[Service]\nExecStart=/bin/x", ServiceType::Simple);
    check("[Service]\nExecStop=/bin/x\nType=oneshot", ServiceType::Oneshot);
    check("[Service]\nExecStart=/bin/x\nBusName=org.x", ServiceType::Dbus);
    let instance = unit("a@b.service", "[Service]\nExecStart=/bin/x %i");
    assert_eq!(instance.slice, "system-a.slice");
}

#[test]
fn units_that_cannot_be_loaded_say_why() {
    let check = |name: &str, text: &str, expect: &str| {
        let unit = unit(name, text);
        assert_eq!(unit.source.error, expect, "{text}");
        assert_eq!(unit.source.load, Load::BadSetting);
    };
    check("a.service", "[Unit]\nDescription=x", "Service has neither ExecStart= nor ExecStop= setting.");
    check("a.service", "[Service]\nType=simple", "Service has no ExecStart= setting.");
    check(
        "a.service",
        "[Service]\nExecStart=/bin/x\nExecStart=/bin/y",
        "Service has more than one ExecStart= setting, which is only allowed for Type=oneshot services.",
    );
    check(
        "a.service",
        "[Service]\nExecStart=/bin/x\nRootImage=/x",
        "a.service:3: RootImage= is not supported, and guards something: the unit is refused",
    );
    check(
        "a.service",
        "[Service]\nExecStart=/bin/x\nProtectSystem=maybe",
        "a.service:3: ProtectSystem=maybe: `maybe` is neither yes nor no",
    );
    check(
        "a.socket",
        "[Socket]\nListenStream=1\nAccept=yes",
        "a.socket:3: Accept=yes: it is not supported: the service has to accept connections itself",
    );
    check("a.timer", "[Timer]\nUnit=b.service", "Timer unit lacks value setting.");
    check("a.path", "[Path]\nUnit=b.service", "Path unit lacks path setting.");
    check(
        "srv-x.mount",
        "[Mount]\nWhat=/dev/x\nWhere=/srv/y",
        "Where= setting doesn't match unit name: /srv/y is mounted by srv-y.mount.",
    );
}

#[test]
fn what_is_not_understood_is_told() {
    let (unit, ..) =
        service("[Service]\nExecStart=/bin/x\nRestart=maybe\nFancyNewThing=1\nnonsense\nSendSIGKILL=yes\n[Odd]\nA=1");
    assert_eq!(
        unit.source.problems,
        [
            "a.service:5: this is neither a section nor an assignment",
            "a.service:3: Restart=: `maybe` is not one of its words: ignored",
            "a.service:4: FancyNewThing= in section [Service] is not supported",
            "a.service:8: A= in section [Odd] is not supported",
        ]
    );
}

#[test]
fn drop_ins_change_it() {
    let text = |path: &str, text: &str| Text { path: path.into(), text: text.into() };
    let sources = Sources {
        name: "a.service".into(),
        fragment: Some(text("/etc/a.service", "[Service]\nExecStart=/bin/x\nEnvironment=A=1")),
        drop_ins: vec![text("/etc/a.service.d/1.conf", "[Service]\nExecStart=\nExecStart=/bin/y\nEnvironment=B=2")],
        ..Sources::default()
    };
    let (unit, _) = read(&sources, &Host::default());
    let Body::Service(service) = &unit.body else { panic!() };
    assert_eq!(service.commands.start.iter().map(|c| c.path.as_str()).collect::<Vec<_>>(), ["/bin/y"]);
    assert_eq!(service.host.as_ref().unwrap().environment.len(), 2);
    assert_eq!(unit.source.drop_ins, ["/etc/a.service.d/1.conf"]);
}

#[test]
fn a_container_of_the_image_keeps_its_bundle() {
    let service = Service { bundle: "/b".into(), ..Service::default() };
    let base = Unit { name: "a.service".into(), body: Body::Service(Box::new(service)), ..Unit::default() };
    let drop_in = Text {
        path: "/etc/a.service.d/x.conf".into(),
        text: "[Unit]\nAfter=b.service\n[Service]\nEnvironment=A=1\nMemoryMax=1G\nUser=x".into(),
    };
    let sources = Sources { name: "a.service".into(), base: Some(base), drop_ins: vec![drop_in], ..Sources::default() };
    let (unit, _) = read(&sources, &Host::default());
    let Body::Service(service) = &unit.body else { panic!() };
    assert_eq!((service.bundle.as_str(), service.environment.len()), ("/b", 1));
    assert_eq!(service.resources["unified"]["memory.max"], "1073741824");
    assert_eq!(unit.dependencies.after, ["b.service"]);
    assert_eq!(unit.source.problems.len(), 1);
}

#[test]
fn other_kinds() {
    let Body::Socket { service, sockets } =
        unit("a.socket", "[Socket]\nListenStream=/run/a\nListenDatagram=53\nSocketMode=0600").body
    else {
        panic!()
    };
    assert_eq!((service.as_str(), sockets.len()), ("a.service", 2));
    assert_eq!(sockets[1].mode.as_deref(), Some("0600"));
    let Body::Timer { service, timer } =
        unit("a.timer", "[Timer]\nOnCalendar=daily\nOnBootSec=5min\nPersistent=yes\nUnit=b.service").body
    else {
        panic!()
    };
    assert_eq!((service.as_str(), timer.persistent), ("b.service", true));
    let Body::Path(watched) = unit("a.path", "[Path]\nPathExists=/x\nPathChanged=/y/").body else { panic!() };
    assert_eq!(watched.paths[1], ("PathChanged".to_owned(), "/y".to_owned()));
    let Body::Mount(mount) = unit("srv-x.mount", "[Mount]\nWhat=/dev/x\nType=ext4").body else { panic!() };
    assert_eq!(mount.place, "/srv/x");
}
