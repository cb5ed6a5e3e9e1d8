//! Units for tests, written in a line: `NAME key=value…`.

use ashlar_config::quantity::Span;
use ashlar_config::unit::{
    Accept, Body, Command, Commands, Condition, Dependencies, KillMode, OomPolicy, Restart, Scope, Service,
    ServiceType, Slice, Socket, Supervision, Timer, Unit,
};

/// A target: `NAME after=A,B wants=C…`.
pub fn target(line: &str) -> Unit {
    unit(line, Body::Target)
}

/// A service, socket, timer, scope or slice, by its suffix; a target otherwise. `type=`, `restart=`, `pre=` (number of commands),
/// `reload`, `remain`, `condition=`, `watchdog=` (µs), `burst=`, `kill=`, `oom=`, `every=` (timer, µs).
pub fn any(line: &str) -> Unit {
    let name = line.split(' ').next().unwrap();
    let service = |suffix| format!("{}.service", name.strip_suffix(suffix).unwrap());
    if name.ends_with(".service") {
        unit(line, Body::Service(Box::new(self::service(line))))
    } else if name.ends_with(".socket") {
        let accept = value(line, "accept").map(|most| Accept { most: most.parse().unwrap(), ..Accept::default() });
        let service = if accept.is_some() { service("").replace(".socket", "@") } else { service(".socket") };
        unit(line, Body::Socket { service, sockets: vec![Socket::default()], accept })
    } else if name.ends_with(".timer") {
        let every = value(line, "every").map(|text| Span(text.parse().unwrap()));
        let timer = Timer { on_active: every, on_unit_active: every, ..Timer::default() };
        unit(line, Body::Timer { service: service(".timer"), timer })
    } else if name.ends_with(".scope") {
        let timeout_stop = Span(value(line, "stop").map_or(90_000_000, |text| text.parse().unwrap()));
        let runtime_max = value(line, "max").map(|text| Span(text.parse().unwrap()));
        unit(line, Body::Scope(Box::new(Scope { timeout_stop, runtime_max, ..Scope::default() })))
    } else if name.ends_with(".slice") {
        unit(line, Body::Slice(Slice::default()))
    } else {
        target(line)
    }
}

fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split(' ').skip(1).find_map(|word| match word.split_once('=') {
        Some((k, v)) => (k == key).then_some(v),
        None => (word == key).then_some(""),
    })
}

fn list(line: &str, key: &str) -> Vec<String> {
    value(line, key).map(|v| v.split(',').map(Into::into).collect()).unwrap_or_default()
}

fn parsed<T: serde::de::DeserializeOwned + Default>(line: &str, key: &str) -> T {
    value(line, key).map(|v| serde_json::from_str(&format!("\"{v}\"")).unwrap()).unwrap_or_default()
}

fn service(line: &str) -> Service {
    let supervision = Supervision {
        restart: parsed::<Restart>(line, "restart"),
        restart_direct: value(line, "direct").is_some(),
        remain_after_exit: value(line, "remain").is_some(),
        watchdog: value(line, "watchdog").map(|v| Span(v.parse().unwrap())),
        kill_mode: parsed::<KillMode>(line, "kill"),
        send_sighup: value(line, "hangup").is_some(),
        send_sigkill: value(line, "spare").is_none(),
        oom_policy: parsed::<OomPolicy>(line, "oom"),
        start_limit_burst: value(line, "burst").map_or(5, |v| v.parse().unwrap()),
        ..Supervision::default()
    };
    let command = |path: &str| Command::of(&[path.to_owned()]);
    let commands = |key| vec![command("/x"); value(line, key).map_or(0, |v| v.parse().unwrap())];
    let pre = value(line, "pre").map_or(0, |v| v.parse().unwrap());
    Service {
        service_type: parsed::<ServiceType>(line, "type"),
        bundle: "/bundle".into(),
        commands: Commands {
            condition: commands("ask"),
            start_pre: vec![command("/pre"); pre],
            start: commands("mains"),
            start_post: commands("post"),
            reload: value(line, "reload").map(|_| command("/reload")).into_iter().collect(),
            stop: commands("stop-command"),
            stop_post: commands("stop-post"),
        },
        supervision,
        ..Service::default()
    }
}

fn unit(line: &str, body: Body) -> Unit {
    Unit {
        name: line.split(' ').next().unwrap().into(),
        dependencies: Dependencies {
            requires: list(line, "requires"),
            wants: list(line, "wants"),
            upholds: list(line, "upholds"),
            binds_to: list(line, "binds-to"),
            part_of: list(line, "part-of"),
            conflicts: list(line, "conflicts"),
            after: list(line, "after"),
            before: list(line, "before"),
            requisite: list(line, "requisite"),
            on_failure: list(line, "on-failure"),
            propagates_reload_to: list(line, "reloads"),
            reload_propagated_from: list(line, "reloaded-by"),
            ..Dependencies::default()
        },
        wanted_by: list(line, "wanted-by"),
        conditions: value(line, "condition").map(Condition::path_exists).into_iter().collect(),
        transient: value(line, "transient").is_some(),
        job_timeout: value(line, "job-timeout").map(|text| Span(text.parse().unwrap())),
        job_timeout_action: value(line, "job-action").unwrap_or_default().into(),
        stop_when_unneeded: value(line, "unneeded").is_some(),
        ignore_on_isolate: value(line, "stays").map(|_| true),
        failure_action: value(line, "failure-action").unwrap_or_default().into(),
        success_action: value(line, "success-action").unwrap_or_default().into(),
        start_limit_action: value(line, "limit-action").unwrap_or_default().into(),
        collect_failed: value(line, "collect").is_some(),
        body,
        ..Unit::default()
    }
}
