//! org.freedesktop.systemd1.Unit: what all kinds of units have.

use ashlar_config::unit::{Body as Kind, Condition, FOLDERS};
use ashlar_control::message::{JobKind, JobMode};
use ashlar_control::status::Stamp;
use zbus::Variant;

use super::{
    Call, Interface, Property, absent, emits, fixed, job, manages, none_of, object, reads, silent, text, texts,
};
use crate::actions::{self, enqueue, mode_of};
use crate::cgroup::NONE;
use crate::fault::{self, Fault};
use crate::path;
use crate::wire::Body;
use crate::world::{UnitView, World};

/// Where the image has its units.
const UNITS: &str = "/usr/lib/ashlar/units";
/// Where PID 1 writes down what was made meanwhile.
const TRANSIENT: &str = "/run/systemd/transient";

pub static INTERFACE: Interface<UnitView> = Interface {
    name: "org.freedesktop.systemd1.Unit",
    properties: &[STATE, TIMES, EDGES, OTHERS, absent::UNIT],
    methods: &[
        manages("Start", "s", "o", |world, call| start(world, call, JobKind::Start)),
        manages("Stop", "s", "o", |world, call| start(world, call, JobKind::Stop)),
        manages("Reload", "s", "o", |world, call| start(world, call, JobKind::Reload)),
        manages("Restart", "s", "o", |world, call| start(world, call, JobKind::Restart)),
        manages("TryRestart", "s", "o", |world, call| start(world, call, JobKind::TryRestart)),
        manages("ReloadOrRestart", "s", "o", |world, call| start(world, call, JobKind::ReloadOrRestart)),
        manages("ReloadOrTryRestart", "s", "o", |world, call| start(world, call, JobKind::TryReloadOrRestart)),
        manages("EnqueueJob", "ss", job::QUEUED, |world, call| {
            let (kind, mode): (String, String) = call.arguments()?;
            job::queued(world, call.unit(), &kind, &mode)
        }),
        manages("Kill", "si", "", |world, call| {
            let (whom, signal): (String, i32) = call.arguments()?;
            actions::kill(world, call.unit(), &whom, signal)
        }),
        manages("QueueSignal", "sii", "", |world, call| {
            let (whom, signal, _): (String, i32, i32) = call.arguments()?;
            actions::kill(world, call.unit(), &whom, signal)
        }),
        manages("ResetFailed", "", "", |world, call| actions::reset_failed(world, call.unit())),
        manages("SetProperties", "ba(sv)", "", |world, call| {
            let (runtime, properties): (bool, Vec<(String, Variant<'_>)>) =
                call.message.body.borrow().ok_or_else(|| Fault::invalid("the properties cannot be read"))?;
            actions::set_properties(world, call.unit(), runtime, &properties)
        }),
        reads("Ref", "", "", |world, call| actions::hold(world, call.caller, call.unit(), true)),
        reads("Unref", "", "", |world, call| actions::hold(world, call.caller, call.unit(), false)),
        manages("Clean", "as", "", |world, call| {
            let (what,): (Vec<String>,) = call.arguments()?;
            actions::clean(world, call.unit(), what)
        }),
        manages("Freeze", "", "", |world, call| actions::freeze(world, call.unit(), true)),
        manages("Thaw", "", "", |world, call| actions::freeze(world, call.unit(), false)),
    ],
    signals: &[],
};

fn start(world: &mut World, call: &Call<'_>, kind: JobKind) -> Result<Body, Fault> {
    let (mode,): (String,) = call.arguments()?;
    let mode: JobMode = mode_of(&mode)?;
    enqueue(world, call.unit(), kind, mode)
}

/// The property `Job`.
pub fn job_property(id: u32) -> Variant<'static> {
    let path = if id == 0 { "/".to_owned() } else { path::job(id) };
    Variant::new((id, object(path)))
}

macro_rules! stamps {
    ($($real:literal $monotonic:literal = $get:expr;)*) => {
        [$(
            emits($real, "t", |unit: &UnitView| { let get: fn(&UnitView) -> Stamp = $get; Variant::U64(get(unit).real) }),
            emits($monotonic, "t", |unit: &UnitView| {
                let get: fn(&UnitView) -> Stamp = $get;
                Variant::U64(get(unit).monotonic)
            }),
        )*]
    };
}

macro_rules! edges {
    ($($name:literal)*) => { [$(silent($name, "as", |unit: &UnitView| texts(unit.edges($name))),)*] };
}

const fn no(name: &'static str) -> Property<UnitView> {
    fixed(name, "b", |_| Variant::Bool(false))
}

const fn yes(name: &'static str) -> Property<UnitView> {
    fixed(name, "b", |_| Variant::Bool(true))
}

const fn never(name: &'static str) -> Property<UnitView> {
    fixed(name, "as", |_| none_of("s"))
}

static STATE: &[Property<UnitView>] = &[
    fixed("Id", "s", |unit: &UnitView| text(&unit.status.name)),
    silent("Names", "as", |unit| texts([&unit.status.name].into_iter().chain(&unit.status.aliases))),
    fixed("Following", "s", |_| text("")),
    fixed("Description", "s", |unit| text(&unit.status.description)),
    fixed("Documentation", "as", |unit| texts(&unit.settings.documentation)),
    fixed("LoadState", "s", |unit| text(&unit.status.load)),
    emits("ActiveState", "s", |unit| text(&unit.status.active)),
    emits("SubState", "s", |unit| text(&unit.status.sub)),
    emits("FreezerState", "s", |unit| text(if unit.group().is_frozen() { "frozen" } else { "running" })),
    fixed("FragmentPath", "s", |unit| text(fragment(unit))),
    fixed("SourcePath", "s", |unit| text(&unit.settings.source.made_from)),
    fixed("DropInPaths", "as", |unit| texts(&unit.settings.source.drop_ins)),
    fixed("UnitFileState", "s", |unit| text(file_state(unit))),
    // There are no presets: what can be enabled is to be.
    fixed("UnitFilePreset", "s", |unit| {
        text(if ["enabled", "disabled"].contains(&file_state(unit).as_str()) { "enabled" } else { "" })
    }),
    silent("Job", "(uo)", |unit| job_property(unit.job)),
    fixed("LoadError", "(ss)", load_error),
    emits("InvocationID", "ay", |unit| Variant::new(bytes_of(&unit.status.invocation_id))),
    fixed("Transient", "b", |unit| Variant::Bool(unit.status.transient)),
    fixed("Perpetual", "b", |unit| Variant::Bool(is_perpetual(&unit.status.name))),
    fixed("CanStart", "b", |unit| Variant::Bool(unit.status.load == "loaded")),
    fixed("CanStop", "b", |unit| Variant::Bool(unit.status.load == "loaded" && !is_perpetual(&unit.status.name))),
    fixed("CanReload", "b", |unit| Variant::Bool(can_reload(unit))),
    fixed("CanIsolate", "b", |unit| Variant::Bool(can_isolate(unit))),
    fixed("CanFreeze", "b", |unit| Variant::Bool(has_group(unit))),
    fixed("CanLiveMount", "b", |unit| Variant::Bool(has_own_mounts(unit))),
    fixed("CanClean", "as", can_clean),
    emits("ConditionResult", "b", |unit| Variant::Bool(unit.status.condition)),
    emits("AssertResult", "b", |_| Variant::Bool(true)),
    silent("Conditions", "a(sbbsi)", |unit| conditions(unit, "Condition", &unit.settings.conditions)),
    silent("Asserts", "a(sbbsi)", |unit| conditions(unit, "Assert", &unit.settings.asserts)),
    fixed("CollectMode", "s", |unit| {
        text(if unit.settings.collect_failed { "inactive-or-failed" } else { "inactive" })
    }),
    fixed("OnSuccessJobMode", "s", |unit| text(word_or(&unit.settings.follow_modes[1], "fail"))),
    fixed("OnFailureJobMode", "s", |unit| text(word_or(&unit.settings.follow_modes[0], "replace"))),
    fixed("JobTimeoutUSec", "t", |unit| Variant::U64(unit.settings.job_timeout.map_or(NONE, |span| span.0))),
    fixed("JobRunningTimeoutUSec", "t", |_| Variant::U64(NONE)),
    fixed("JobTimeoutAction", "s", |unit| text(word_or(&unit.settings.job_timeout_action, "none"))),
    fixed("JobTimeoutRebootArgument", "s", |_| text("")),
    fixed("FailureAction", "s", |unit| text(word_or(&unit.settings.failure_action, "none"))),
    fixed("FailureActionExitStatus", "i", |_| Variant::I32(-1)),
    fixed("SuccessAction", "s", |unit| text(word_or(&unit.settings.success_action, "none"))),
    fixed("SuccessActionExitStatus", "i", |_| Variant::I32(-1)),
    fixed("RebootArgument", "s", |_| text("")),
    fixed("StartLimitIntervalUSec", "t", |unit| Variant::U64(start_limit(unit).0)),
    fixed("StartLimitBurst", "u", |unit| Variant::U32(start_limit(unit).1)),
    fixed("StartLimitAction", "s", |unit| text(word_or(&unit.settings.start_limit_action, "none"))),
    silent("Refs", "as", |_| none_of("s")),
    fixed("ActivationDetails", "a(ss)", |_| none_of("(ss)")),
    fixed("RequiresMountsFor", "as", |_| none_of("s")),
    fixed("WantsMountsFor", "as", |_| none_of("s")),
];

static TIMES: &[Property<UnitView>] = &stamps! {
            "StateChangeTimestamp" "StateChangeTimestampMonotonic" = |unit| unit.status.changes.state;
            "InactiveExitTimestamp" "InactiveExitTimestampMonotonic" = |unit| unit.status.changes.inactive_exit;
            "ActiveEnterTimestamp" "ActiveEnterTimestampMonotonic" = |unit| unit.status.changes.active_enter;
            "ActiveExitTimestamp" "ActiveExitTimestampMonotonic" = |unit| unit.status.changes.active_exit;
            "InactiveEnterTimestamp" "InactiveEnterTimestampMonotonic" = |unit| unit.status.changes.inactive_enter;
            "ConditionTimestamp" "ConditionTimestampMonotonic" = |unit| unit.status.changes.condition;
            "AssertTimestamp" "AssertTimestampMonotonic" = |_| Stamp::default();
};

static EDGES: &[Property<UnitView>] = &edges! {
                "Requires" "Wants" "BindsTo" "PartOf" "RequiredBy" "WantedBy" "BoundBy" "ConsistsOf" "Conflicts"
                "Before" "After" "Upholds" "UpheldBy"
};

static OTHERS: &[Property<UnitView>] = &[
    silent("ConflictedBy", "as", |unit: &UnitView| texts(unit.edges("Conflicts"))),
    silent("TriggeredBy", "as", |unit| texts(unit.edges("TriggeredBy"))),
    silent("Triggers", "as", |unit| texts(triggers(unit))),
    silent("Requisite", "as", |unit| texts(&unit.settings.dependencies.requisite)),
    never("RequisiteOf"),
    silent("OnFailure", "as", |unit| texts(&unit.settings.dependencies.on_failure)),
    never("OnFailureOf"),
    silent("OnSuccess", "as", |unit| texts(&unit.settings.dependencies.on_success)),
    never("OnSuccessOf"),
    silent("PropagatesReloadTo", "as", |unit| texts(&unit.settings.dependencies.propagates_reload_to)),
    silent("ReloadPropagatedFrom", "as", |unit| texts(&unit.settings.dependencies.reload_propagated_from)),
    silent("PropagatesStopTo", "as", |unit| texts(&unit.settings.dependencies.propagates_stop_to)),
    silent("StopPropagatedFrom", "as", |unit| texts(&unit.settings.dependencies.stop_propagated_from)),
    never("JoinsNamespaceOf"),
    silent("SliceOf", "as", |_| none_of("s")),
    fixed("StopWhenUnneeded", "b", |unit| Variant::Bool(unit.settings.stop_when_unneeded)),
    fixed("RefuseManualStart", "b", |unit| Variant::Bool(unit.settings.refuse.start)),
    fixed("RefuseManualStop", "b", |unit| Variant::Bool(unit.settings.refuse.stop)),
    fixed("AllowIsolate", "b", |unit| Variant::Bool(can_isolate(unit))),
    yes("DefaultDependencies"),
    no("SurviveFinalKillSignal"),
    fixed("IgnoreOnIsolate", "b", |unit| Variant::Bool(stays_on_isolate(unit))),
    silent("NeedDaemonReload", "b", |unit| Variant::Bool(unit.file.as_ref().is_some_and(|file| file.changed))),
];

fn fragment(unit: &UnitView) -> String {
    let ours = unit.status.name.starts_with("ashlar-") && host_program(unit);
    let in_image = matches!(&unit.settings.body, Kind::Service(_) | Kind::Socket { .. } | Kind::Timer { .. });
    if unit.status.transient {
        return format!("{TRANSIENT}/{}", unit.status.name);
    }
    if !unit.settings.source.fragment.is_empty() {
        return unit.settings.source.fragment.clone();
    }
    if unit.status.load != "loaded" || ours || !in_image {
        return String::new();
    }
    format!("{UNITS}/{}.json", unit.status.name)
}

fn host_program(unit: &UnitView) -> bool {
    matches!(&unit.settings.body, Kind::Service(service) if service.host.is_some())
}

/// What is said of its file.
pub fn file_state(unit: &UnitView) -> String {
    match &unit.file {
        _ if unit.status.transient => "transient".to_owned(),
        Some(file) => file.state.clone(),
        None => String::new(),
    }
}

fn can_isolate(unit: &UnitView) -> bool {
    unit.settings.refuse.isolate.unwrap_or(unit.status.name.ends_with(".target"))
}

fn word_or<'a>(said: &'a str, own: &'a str) -> &'a str {
    if said.is_empty() { own } else { said }
}

fn stays_on_isolate(unit: &UnitView) -> bool {
    let own = || ["slice", "scope", "mount"].contains(&unit.settings.kind());
    unit.settings.ignore_on_isolate.unwrap_or_else(own)
}

fn is_perpetual(name: &str) -> bool {
    ["-.slice", "system.slice", "user.slice", "machine.slice", "init.scope"].contains(&name)
}

fn has_group(unit: &UnitView) -> bool {
    matches!(&unit.settings.body, Kind::Service(_) | Kind::Scope(_) | Kind::Slice(_))
}

fn can_reload(unit: &UnitView) -> bool {
    use ashlar_config::unit::ServiceType;
    let Kind::Service(service) = &unit.settings.body else { return false };
    service.service_type == ServiceType::NotifyReload || !service.commands.reload.is_empty()
}

/// A container has, and a command on the host whose settings need it.
fn has_own_mounts(unit: &UnitView) -> bool {
    let Kind::Service(service) = &unit.settings.body else { return false };
    service.host.as_ref().is_none_or(|exec| exec.seal.has_own_mounts())
}

/// systemctl(1), clean --what=
fn can_clean(unit: &UnitView) -> Variant<'static> {
    let Kind::Service(service) = &unit.settings.body else { return none_of("s") };
    let kinds = FOLDERS.iter().filter(|(kind, ..)| service.folders(*kind).next().is_some());
    let store = (service.supervision.fd_store > 0).then_some("fdstore");
    texts(kinds.map(|(kind, ..)| kind.name()).chain(store))
}

fn start_limit(unit: &UnitView) -> (u64, u32) {
    match &unit.settings.body {
        Kind::Service(service) => (service.supervision.start_limit_interval.0, service.supervision.start_limit_burst),
        _ => (10_000_000, 5),
    }
}

fn triggers(unit: &UnitView) -> Vec<String> {
    match &unit.settings.body {
        Kind::Socket { service, accept: None, .. } | Kind::Timer { service, .. } => vec![service.clone()],
        Kind::Path(watched) => vec![watched.unit.clone()],
        _ => Vec::new(),
    }
}

fn load_error(unit: &UnitView) -> Variant<'static> {
    let name = &unit.status.name;
    Variant::new(match unit.status.load.as_str() {
        "not-found" => (fault::NO_SUCH_UNIT.to_owned(), format!("Unit {name} not found.")),
        "masked" => (fault::UNIT_MASKED.to_owned(), format!("Unit {name} is masked.")),
        "bad-setting" => (fault::BAD_UNIT.to_owned(), unit.settings.source.error.clone()),
        "error" => (fault::FAILED.to_owned(), unit.settings.source.error.clone()),
        _ => (String::new(), String::new()),
    })
}

fn conditions(unit: &UnitView, word: &str, list: &[Condition]) -> Variant<'static> {
    if list.is_empty() {
        return none_of("(sbbsi)");
    }
    let result = match unit.status.changes.condition.monotonic {
        0 => 0,
        _ if unit.status.condition => 1,
        _ => -1,
    };
    let row = |c: &Condition| (format!("{word}{}", c.kind), c.trigger, c.negate, c.parameter.clone(), result);
    Variant::new(list.iter().map(row).collect::<Vec<_>>())
}

/// The bytes of hexadecimal digits.
pub fn bytes_of(digits: &str) -> Vec<u8> {
    let byte = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..digits.len() / 2).filter_map(|index| byte(index * 2)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::{kinds, manager, service};

    /// A property of a wrong type fails a whole call of sd-bus: what is said must be what is there.
    #[test]
    fn properties_have_the_types_that_are_said() {
        let check = |interface: &Interface<UnitView>| {
            for property in interface.properties.iter().copied().flatten() {
                let value = (property.get)(&UnitView::default());
                let got = value.value_signature().to_string();
                assert_eq!(got, property.signature, "{}.{}", interface.name, property.name);
            }
            let mut names: Vec<&str> =
                interface.properties.iter().copied().flatten().map(|property| property.name).collect();
            names.sort_unstable();
            let all = names.len();
            names.dedup();
            assert_eq!(names.len(), all, "{} has a property twice", interface.name);
        };
        check(&INTERFACE);
        check(&service::INTERFACE);
        kinds::INTERFACES.iter().for_each(|(_, interface)| check(interface));
    }

    /// What systemd 257.13 has, by its vtables: interfaces in brackets, then their properties and types.
    #[test]
    fn nothing_is_missing() {
        let (mut interfaces, mut missing) = (Vec::new(), Vec::new());
        for line in include_str!("properties.txt").lines() {
            if let Some(names) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                interfaces = names.split(' ').map(|name| format!("org.freedesktop.systemd1.{name}")).collect();
                continue;
            }
            for (name, signature) in line.split(' ').filter_map(|word| word.split_once(':')) {
                let lacks = |interface: &&String| !properties(interface).contains(&(name, signature));
                missing
                    .extend(interfaces.iter().filter(lacks).map(|interface| format!("{interface}.{name}:{signature}")));
            }
        }
        assert_eq!(missing, Vec::<String>::new());
    }

    fn properties(interface: &str) -> Vec<(&'static str, &'static str)> {
        fn of<S>(interface: &Interface<S>) -> Vec<(&'static str, &'static str)> {
            interface.all().map(|property| (property.name, property.signature)).collect()
        }
        if interface == manager::INTERFACE.name {
            return of(&manager::INTERFACE);
        }
        if interface == job::INTERFACE.name {
            return of(&job::INTERFACE);
        }
        let kinds = kinds::INTERFACES.iter().map(|(_, interface)| *interface);
        let mut all = [&INTERFACE, &service::INTERFACE].into_iter().chain(kinds);
        all.find(|one| one.name == interface).map(of).unwrap_or_default()
    }

    #[test]
    fn hexadecimal_digits() {
        assert_eq!(bytes_of("00ff10"), [0, 255, 16]);
        assert_eq!(bytes_of(""), [0; 0]);
    }
}
