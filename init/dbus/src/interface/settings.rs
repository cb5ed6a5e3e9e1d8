//! A unit's settings as interfaces look at them, whatever kind it is of.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use ashlar_config::unit::{Body as Kind, Exec, KillMode, Output, Service, Supervision};
use serde::Serialize;
use serde_json::Value;

use crate::world::UnitView;

/// As a service, whatever kind it is.
pub fn service(unit: &UnitView) -> &Service {
    static NONE: LazyLock<Service> = LazyLock::new(Service::default);
    match &unit.settings.body {
        Kind::Service(service) => service,
        Kind::Mount(mount) => &mount.service,
        _ => &NONE,
    }
}

/// How it is supervised.
pub fn supervision(unit: &UnitView) -> &Supervision {
    &service(unit).supervision
}

/// How it runs on the host, if it does.
pub fn exec_of(unit: &UnitView) -> &Exec {
    static NONE: LazyLock<Exec> = LazyLock::new(Exec::default);
    service(unit).host.as_deref().unwrap_or(&NONE)
}

/// The root of its container; nothing where it has none.
pub fn root(unit: &UnitView) -> String {
    let service = service(unit);
    if service.bundle.is_empty() { String::new() } else { format!("{}/rootfs", service.bundle) }
}

/// Where it writes.
pub fn output(unit: &UnitView) -> &'static str {
    match service(unit).output {
        Output::Journal => "journal",
        Output::Null => "null",
        Output::Tty => "tty",
    }
}

/// A setting's word, which is systemd's.
pub fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Whom a stop is for.
pub fn kill_mode(unit: &UnitView) -> KillMode {
    match &unit.settings.body {
        Kind::Service(service) => service.supervision.kill_mode,
        Kind::Scope(scope) => scope.kill_mode,
        _ => KillMode::default(),
    }
}

/// A list in its container's configuration.
pub fn words(unit: &UnitView, pointer: &str) -> Vec<String> {
    let list = unit.bundle(pointer).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

/// Microseconds since the epoch of a moment that is so long after the kernel started.
pub fn real_of(monotonic: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    now.saturating_sub(ashlar_sys::clock::monotonic()).saturating_add(monotonic)
}
