//! Unit files and what they come to.

use super::*;
use crate::quantity::Span;
use crate::unit::{
    CredentialSource, Exec, IoClass, Policy, PrivateUsers, Protect, Restart, Service, ServiceType, Stream,
};

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
fn how_it_is_given_the_processor_and_disks() {
    let check = |text: &str, expect: (Option<Policy>, u32)| {
        let scheduling = service(&format!("[Service]\nExecStart=/bin/x\n{text}")).2.scheduling;
        assert_eq!((scheduling.policy, scheduling.priority), expect, "{text}");
    };
    check("", (None, 0));
    check("CPUSchedulingPolicy=batch", (Some(Policy::Batch), 0));
    check("CPUSchedulingPolicy=rr", (Some(Policy::Rr), 1));
    check("CPUSchedulingPolicy=fifo\nCPUSchedulingPriority=50", (Some(Policy::Fifo), 50));
    check("CPUSchedulingPolicy=idle\nCPUSchedulingPriority=50", (Some(Policy::Idle), 0));
    check("CPUSchedulingPolicy=rr\nCPUSchedulingPolicy=", (None, 0));
    let check = |text: &str, expect| {
        assert_eq!(service(&format!("[Service]\nExecStart=/bin/x\n{text}")).2.io_priority, expect, "{text}");
    };
    check("IOSchedulingClass=idle", Some((IoClass::Idle, 4)));
    check("IOSchedulingPriority=7", Some((IoClass::BestEffort, 7)));
    check("IOSchedulingClass=realtime\nIOSchedulingPriority=0", Some((IoClass::Realtime, 0)));
    check("IOSchedulingPriority=8", None);
    check("IOSchedulingClass=idle\nIOSchedulingClass=", None);
    let (unit, service, exec) = service(
        "[Unit]\nSuccessAction=reboot-force\nOnFailureJobMode=replace-irreversibly\nReloadPropagatedFrom=b.service\n\
         JobTimeoutSec=30min\nJobTimeoutAction=poweroff-force\nIgnoreOnIsolate=yes\nStopWhenUnneeded=yes\n\
         [Service]\nType=oneshot\nSendSIGKILL=no\nCPUAffinity=0-1 3\nCPUAffinity=5\nSyslogFacility=cron\n\
         StandardOutput=journal+console\nNonBlocking=yes\nPrivateUsers=identity\nAppArmorProfile=-x\n\
         PermissionsStartOnly=yes\nExecStartPre=/bin/pre\nExecStart=/bin/x",
    );
    assert_eq!(unit.source.problems, [""; 0]);
    assert_eq!((unit.success_action.as_str(), unit.follow_modes[0].as_str()), ("reboot-force", "replace-irreversibly"));
    assert_eq!((unit.ignore_on_isolate, unit.stop_when_unneeded), (Some(true), true));
    assert_eq!(unit.dependencies.reload_propagated_from, ["b.service"]);
    assert_eq!((unit.job_timeout, unit.job_timeout_action.as_str()), (Some(Span::seconds(1800)), "poweroff-force"));
    assert!(!service.supervision.send_sigkill && exec.non_blocking);
    assert!(service.commands.start_pre[0].privileged && !service.commands.start[0].privileged);
    assert_eq!((exec.processors, exec.syslog_facility), (vec![0, 1, 3, 5], Some(9)));
    assert_eq!((exec.streams[1].clone(), exec.seal.private_users), (Stream::JournalAndConsole, PrivateUsers::Identity));
    assert_eq!(exec.seal.apparmor_profile, Some(("x".to_owned(), true)));
}

#[test]
fn credentials() {
    use CredentialSource::{Import, Path, Store, Value};
    let check = |text: &str, expect: &[(&str, CredentialSource)]| {
        let exec = service(&format!("[Service]\nExecStart=/bin/x\n{text}")).2;
        let got: Vec<_> = exec.credentials.into_iter().map(|one| (one.name, one.source)).collect();
        let expect: Vec<_> = expect.iter().map(|(name, source)| ((*name).to_owned(), source.clone())).collect();
        assert_eq!(got, expect, "{text}");
    };
    check("LoadCredential=a:/x/y", &[("a", Path("/x/y".into()))]);
    check("LoadCredential=a", &[("a", Store("a".into()))]);
    check("LoadCredential=a:b.c", &[("a", Store("b.c".into()))]);
    check("LoadCredential=a:b/c\nLoadCredential=../a", &[]);
    check(r"SetCredential=a:x\ny %n:z", &[("a", Value("x\ny a.service:z".into()))]);
    check("ImportCredential=x.*\nImportCredential=y.*:z.", &[("x.*", Import("".into())), ("y.*", Import("z.".into()))]);
    check("SetCredential=a:1\nLoadCredential=a:/x\nSetCredential=", &[("a", Path("/x".into()))]);
}

#[test]
fn what_is_left_out_is_inferred() {
    let check = |text: &str, expect| assert_eq!(service(text).1.service_type, expect, "{text}");
    check("[Service]\nExecStart=/bin/x", ServiceType::Simple);
    check("[Service]\nExecStop=/bin/x\nType=oneshot", ServiceType::Oneshot);
    check("[Service]\nExecStart=/bin/x\nBusName=org.x", ServiceType::Dbus);
    // All that it does is what it brings with it.
    check("[Unit]\nSuccessAction=soft-reboot-force", ServiceType::Oneshot);
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
        "[Socket]\nListenStream=1\nAccept=yes\nService=b.service",
        "Explicit service configuration for accepting socket units not supported.",
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
    let Body::Socket { service, sockets, accept: None } =
        unit("a.socket", "[Socket]\nListenStream=/run/a\nListenDatagram=53\nSocketMode=0600").body
    else {
        panic!()
    };
    assert_eq!((service.as_str(), sockets.len()), ("a.service", 2));
    assert_eq!(sockets[1].mode.as_deref(), Some("0600"));
    let options = "KeepAlive=yes\nNoDelay=yes\nBacklog=5\nBindIPv6Only=ipv6-only\nDeferAcceptSec=1min\nSendBuffer=8M";
    let body = unit("a.socket", &format!("[Socket]\nListenStream=80\n{options}")).body;
    let Body::Socket { sockets, .. } = body else { panic!() };
    let socket = &sockets[0];
    assert!(socket.keep_alive && socket.no_delay && socket.ipv6_only);
    assert_eq!((socket.backlog, socket.defer_accept), (Some(5), Some(Span::seconds(60))));
    assert_eq!(socket.send_buffer.map(|size| size.0), Some(8 << 20));
    let accepting = unit("a.socket", "[Socket]\nListenStream=1\nAccept=yes\nMaxConnections=2").body;
    let Body::Socket { service, accept: Some(accept), .. } = accepting else { panic!() };
    assert_eq!((service.as_str(), accept.most, accept.most_per_source), ("a@.service", 2, 0));
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
