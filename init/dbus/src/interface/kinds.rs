//! The kinds of units beside services, and what those with control groups share.

use std::net::IpAddr;

use ashlar_config::unit::{Accept, Body as Kind, Mountable, Prefix, Socket, Timer, Watched};
use serde::Deserialize;
use serde_json::Value;
use zbus::Variant;

use super::settings::{kill_mode, real_of, word};
use super::{Interface, Method, Property, absent, emits, exec, fixed, manages, none_of, reads, silent, text, texts};
use crate::actions;
use crate::cgroup::NONE;
use crate::world::UnitView;

/// The kernel's own limit is 8,192.
const MOST_PROCESSORS: usize = 8191;

/// By suffix.
pub static INTERFACES: [(&str, &Interface<UnitView>); 10] = [
    ("scope", &SCOPE),
    ("slice", &SLICE),
    ("socket", &SOCKET),
    ("timer", &TIMER),
    ("target", &Interface { name: "org.freedesktop.systemd1.Target", properties: &[], methods: &[], signals: &[] }),
    ("path", &PATH),
    ("mount", &MOUNT),
    (
        "automount",
        &Interface { name: "org.freedesktop.systemd1.Automount", properties: &[], methods: &[], signals: &[] },
    ),
    ("swap", &Interface { name: "org.freedesktop.systemd1.Swap", properties: &[], methods: &[], signals: &[] }),
    ("device", &Interface { name: "org.freedesktop.systemd1.Device", properties: &[], methods: &[], signals: &[] }),
];

const PROCESSES: Method = reads("GetProcesses", "", "a(sus)", |world, call| actions::processes(world, call.unit()));
const ATTACH: Method = manages("AttachProcesses", "sau", "", |world, call| {
    let (below, processes): (String, Vec<u32>) = call.arguments()?;
    actions::attach(world, call.unit(), &below, processes)
});

static SCOPE: Interface<UnitView> = Interface {
    name: "org.freedesktop.systemd1.Scope",
    properties: &[
        &[
            fixed("Controller", "s", |_| text("")),
            emits("Result", "s", |unit| text(&unit.status.result)),
            fixed("TimeoutStopUSec", "t", |unit| Variant::U64(scope(unit, |scope| scope.timeout_stop.0))),
            fixed("RuntimeMaxUSec", "t", |unit| {
                Variant::U64(scope(unit, |scope| scope.runtime_max.map_or(NONE, |span| span.0)))
            }),
            fixed("RuntimeRandomizedExtraUSec", "t", |_| Variant::U64(0)),
            fixed("OOMPolicy", "s", |unit| text(scope(unit, |scope| word(&scope.oom_policy)))),
        ],
        KILL,
        ACCOUNTING,
        LIMITS,
        absent::RESOURCES,
    ],
    methods: &[manages("Abandon", "", "", |world, call| actions::abandon(world, call.unit())), PROCESSES, ATTACH],
    signals: &[("RequestStop", "")],
};

static SLICE: Interface<UnitView> = Interface {
    name: "org.freedesktop.systemd1.Slice",
    properties: &[ACCOUNTING, LIMITS, absent::RESOURCES],
    methods: &[PROCESSES, ATTACH],
    signals: &[],
};

static SOCKET: Interface<UnitView> = Interface {
    name: "org.freedesktop.systemd1.Socket",
    properties: &[
        LISTENING,
        absent::SOCKET,
        exec::CONTEXT,
        exec::SEAL,
        exec::RLIMITS,
        absent::EXEC,
        KILL,
        ACCOUNTING,
        LIMITS,
        absent::RESOURCES,
    ],
    methods: &[],
    signals: &[],
};

static LISTENING: &[Property<UnitView>] = &[
    fixed("Listen", "a(ss)", listen),
    emits("Result", "s", |unit| text(&unit.status.result)),
    fixed("Accept", "b", |unit| Variant::Bool(accept(unit).is_some())),
    fixed("MaxConnections", "u", |unit| Variant::U32(accept(unit).unwrap_or_default().most)),
    fixed("MaxConnectionsPerSource", "u", |unit| Variant::U32(accept(unit).unwrap_or_default().most_per_source)),
    fixed("FileDescriptorName", "s", |unit| text(first_socket(unit).name.unwrap_or_default())),
    fixed("SocketUser", "s", |unit| text(first_socket(unit).user.unwrap_or_default())),
    fixed("SocketGroup", "s", |unit| text(first_socket(unit).group.unwrap_or_default())),
    fixed("SocketMode", "u", |unit| {
        let mode = first_socket(unit).mode.and_then(|mode| u32::from_str_radix(&mode, 8).ok());
        Variant::U32(mode.unwrap_or(0o666))
    }),
    fixed("PassCredentials", "b", |unit| Variant::Bool(first_socket(unit).pass_credentials)),
    fixed("PassSecurity", "b", |unit| Variant::Bool(first_socket(unit).pass_security)),
    fixed("SendBuffer", "t", |unit| Variant::U64(first_socket(unit).send_buffer.map_or(0, |size| size.0))),
    fixed("Backlog", "u", |unit| Variant::U32(first_socket(unit).backlog.unwrap_or(u32::MAX))),
    fixed("BindIPv6Only", "s", |unit| text(if first_socket(unit).ipv6_only { "ipv6-only" } else { "default" })),
    fixed("FreeBind", "b", |unit| Variant::Bool(first_socket(unit).free_bind)),
    fixed("Transparent", "b", |unit| Variant::Bool(first_socket(unit).transparent)),
    fixed("ReusePort", "b", |unit| Variant::Bool(first_socket(unit).reuse_port)),
    fixed("KeepAlive", "b", |unit| Variant::Bool(first_socket(unit).keep_alive)),
    fixed("KeepAliveTimeUSec", "t", |unit| Variant::U64(first_socket(unit).keep_alive_time.map_or(0, |span| span.0))),
    fixed("KeepAliveIntervalUSec", "t", |unit| {
        Variant::U64(first_socket(unit).keep_alive_interval.map_or(0, |span| span.0))
    }),
    fixed("KeepAliveProbes", "u", |unit| Variant::U32(first_socket(unit).keep_alive_probes.unwrap_or(0))),
    fixed("Timestamping", "s", |unit| text(if first_socket(unit).timestamping { "us" } else { "off" })),
    fixed("Symlinks", "as", |unit| texts(first_socket(unit).symlinks)),
    fixed("NoDelay", "b", |unit| Variant::Bool(first_socket(unit).no_delay)),
    fixed("Broadcast", "b", |unit| Variant::Bool(first_socket(unit).broadcast)),
    fixed("PassPacketInfo", "b", |unit| Variant::Bool(first_socket(unit).pass_packet_info)),
    fixed("Priority", "i", |unit| Variant::I32(first_socket(unit).priority.map_or(-1, |n| n as i32))),
    fixed("Mark", "i", |unit| Variant::I32(first_socket(unit).mark.map_or(-1, |n| n as i32))),
    fixed("DeferAcceptUSec", "t", |unit| Variant::U64(first_socket(unit).defer_accept.map_or(0, |span| span.0))),
    fixed("ReceiveBuffer", "t", |unit| Variant::U64(first_socket(unit).receive_buffer.map_or(0, |size| size.0))),
    silent("NConnections", "u", |unit| Variant::U32(unit.status.connections)),
    silent("NAccepted", "u", |unit| Variant::U32(unit.status.accepted)),
    silent("NRefused", "u", |unit| Variant::U32(unit.status.refused)),
    emits("ControlPID", "u", |_| Variant::U32(0)),
];

static PATH: Interface<UnitView> = Interface {
    name: "org.freedesktop.systemd1.Path",
    properties: &[&[
        fixed("Unit", "s", |unit| text(watched(unit).unit)),
        fixed("Paths", "a(ss)", |unit| match watched(unit).paths {
            list if list.is_empty() => none_of("(ss)"),
            list => Variant::new(list),
        }),
        fixed("MakeDirectory", "b", |unit| Variant::Bool(watched(unit).make_directory.is_some())),
        fixed("DirectoryMode", "u", |unit| Variant::U32(watched(unit).make_directory.unwrap_or(0o755))),
        fixed("TriggerLimitIntervalUSec", "t", |_| Variant::U64(0)),
        fixed("TriggerLimitBurst", "u", |_| Variant::U32(0)),
        emits("Result", "s", |unit| text(&unit.status.result)),
    ]],
    methods: &[],
    signals: &[],
};

static MOUNT: Interface<UnitView> = Interface {
    name: "org.freedesktop.systemd1.Mount",
    properties: &[
        &[
            fixed("Where", "s", |unit| text(mount(unit).place)),
            fixed("What", "s", |unit| text(mount(unit).what)),
            fixed("Options", "s", |unit| text(mount(unit).options)),
            fixed("Type", "s", |unit| text(mount(unit).kind)),
            fixed("TimeoutUSec", "t", |unit| Variant::U64(mount(unit).timeout.map_or(90_000_000, |span| span.0))),
            emits("ControlPID", "u", |unit| Variant::U32(unit.status.control_pid.max(unit.status.main_pid))),
            fixed("DirectoryMode", "u", |unit| Variant::U32(mount(unit).directory_mode.unwrap_or(0o755))),
            fixed("LazyUnmount", "b", |unit| Variant::Bool(mount(unit).lazy)),
            fixed("SloppyOptions", "b", |_| Variant::Bool(false)),
            fixed("ForceUnmount", "b", |_| Variant::Bool(false)),
            fixed("ReadWriteOnly", "b", |_| Variant::Bool(false)),
            silent("ExecMount", "a(sasbttttuii)", |_| none_of("(sasbttttuii)")),
            silent("ExecUnmount", "a(sasbttttuii)", |_| none_of("(sasbttttuii)")),
            silent("ExecRemount", "a(sasbttttuii)", |_| none_of("(sasbttttuii)")),
            emits("UID", "u", |_| Variant::U32(u32::MAX)),
            emits("GID", "u", |_| Variant::U32(u32::MAX)),
            emits("Result", "s", |unit| text(&unit.status.result)),
        ],
        exec::CONTEXT,
        exec::SEAL,
        exec::RLIMITS,
        absent::EXEC,
        KILL,
        ACCOUNTING,
        LIMITS,
        absent::RESOURCES,
    ],
    methods: &[PROCESSES, ATTACH],
    signals: &[],
};

static TIMER: Interface<UnitView> = Interface {
    name: "org.freedesktop.systemd1.Timer",
    properties: &[&[
        fixed("Unit", "s", |unit| match &unit.settings.body {
            Kind::Timer { service, .. } => text(service),
            _ => text(""),
        }),
        silent("TimersMonotonic", "a(stt)", timers),
        silent("TimersCalendar", "a(sst)", calendars),
        fixed("OnClockChange", "b", |_| Variant::Bool(false)),
        fixed("OnTimezoneChange", "b", |_| Variant::Bool(false)),
        silent("NextElapseUSecRealtime", "t", |unit| {
            Variant::U64(if unit.status.next_real == 0 { NONE } else { unit.status.next_real })
        }),
        silent("NextElapseUSecMonotonic", "t", |unit| {
            // One by the calendar is said in the other clock's time.
            Variant::U64(match unit.status.next_elapse {
                at if at == 0 || unit.status.next_real != 0 => NONE,
                at => at,
            })
        }),
        emits("LastTriggerUSec", "t", |unit| {
            Variant::U64(match unit.status.fired.real {
                0 if unit.status.fired.monotonic != 0 => real_of(unit.status.fired.monotonic),
                at => at,
            })
        }),
        emits("LastTriggerUSecMonotonic", "t", |unit| Variant::U64(unit.status.fired.monotonic)),
        emits("Result", "s", |unit| text(&unit.status.result)),
        fixed("AccuracyUSec", "t", |_| Variant::U64(0)),
        fixed("RandomizedDelayUSec", "t", |unit| Variant::U64(timer(unit).randomized_delay.map_or(0, |span| span.0))),
        fixed("FixedRandomDelay", "b", |_| Variant::Bool(true)),
        fixed("Persistent", "b", |unit| Variant::Bool(timer(unit).persistent)),
        fixed("WakeSystem", "b", |_| Variant::Bool(false)),
        fixed("RemainAfterElapse", "b", |_| Variant::Bool(true)),
        fixed("DeferReactivation", "b", |_| Variant::Bool(false)),
    ]],
    methods: &[],
    signals: &[],
};

fn scope<T: Default>(unit: &UnitView, get: impl Fn(&ashlar_config::unit::Scope) -> T) -> T {
    match &unit.settings.body {
        Kind::Scope(scope) => get(scope),
        _ => T::default(),
    }
}

fn first_socket(unit: &UnitView) -> Socket {
    match &unit.settings.body {
        Kind::Socket { sockets, .. } => sockets.first().cloned().unwrap_or_default(),
        _ => Socket::default(),
    }
}

fn accept(unit: &UnitView) -> Option<Accept> {
    match &unit.settings.body {
        Kind::Socket { accept, .. } => accept.clone(),
        _ => None,
    }
}

fn timer(unit: &UnitView) -> Timer {
    match &unit.settings.body {
        Kind::Timer { timer, .. } => timer.clone(),
        _ => Timer::default(),
    }
}

fn watched(unit: &UnitView) -> Watched {
    match &unit.settings.body {
        Kind::Path(watched) => watched.clone(),
        _ => Watched::default(),
    }
}

fn mount(unit: &UnitView) -> Mountable {
    match &unit.settings.body {
        Kind::Mount(mount) => (**mount).clone(),
        _ => Mountable::default(),
    }
}

fn calendars(unit: &UnitView) -> Variant<'static> {
    let next = unit.status.next_real;
    let rows: Vec<(String, String, u64)> =
        timer(unit).on_calendar.into_iter().map(|text| ("OnCalendar".to_owned(), text, next)).collect();
    if rows.is_empty() { none_of("(sst)") } else { Variant::new(rows) }
}

fn listen(unit: &UnitView) -> Variant<'static> {
    let Kind::Socket { sockets, .. } = &unit.settings.body else { return none_of("(ss)") };
    let row = |socket: &Socket| {
        let keys = [
            ("Stream", &socket.listen_stream),
            ("Datagram", &socket.listen_datagram),
            ("SequentialPacket", &socket.listen_sequential_packet),
            ("Netlink", &socket.listen_netlink),
            ("FIFO", &socket.listen_fifo),
        ];
        keys.into_iter().find_map(|(kind, address)| Some((kind.to_owned(), address.clone()?))).unwrap_or_default()
    };
    Variant::new(sockets.iter().map(row).collect::<Vec<_>>())
}

fn timers(unit: &UnitView) -> Variant<'static> {
    let timer = timer(unit);
    let rows = [
        ("OnBootUSec", timer.on_boot),
        ("OnActiveUSec", timer.on_active),
        ("OnUnitActiveUSec", timer.on_unit_active),
        ("OnUnitInactiveUSec", timer.on_unit_inactive),
    ];
    let next = unit.status.next_elapse;
    let rows: Vec<(String, u64, u64)> =
        rows.into_iter().filter_map(|(name, span)| Some((name.to_owned(), span?.0, next))).collect();
    if rows.is_empty() { none_of("(stt)") } else { Variant::new(rows) }
}

/// How it is stopped.
pub static KILL: &[Property<UnitView>] = &[
    fixed("KillMode", "s", |unit| text(word(&kill_mode(unit)))),
    fixed("KillSignal", "i", |unit| {
        Variant::I32(match &unit.settings.body {
            Kind::Service(service) => service.supervision.kill_signal.0,
            Kind::Scope(scope) => scope.kill_signal.0,
            _ => 15,
        })
    }),
    fixed("RestartKillSignal", "i", |unit| {
        Variant::I32(match &unit.settings.body {
            Kind::Service(service) => service.supervision.kill_signal.0,
            _ => 15,
        })
    }),
    fixed("FinalKillSignal", "i", |_| Variant::I32(9)),
    fixed("SendSIGKILL", "b", |unit| {
        Variant::Bool(match &unit.settings.body {
            Kind::Service(service) => service.supervision.send_sigkill,
            Kind::Scope(scope) => scope.send_sigkill,
            _ => true,
        })
    }),
    fixed("SendSIGHUP", "b", |unit| Variant::Bool(scope(unit, |scope| scope.send_sighup))),
    fixed("WatchdogSignal", "i", |_| Variant::I32(6)),
];

/// What it uses.
pub static ACCOUNTING: &[Property<UnitView>] = &[
    fixed("Slice", "s", |unit| text(&unit.settings.slice)),
    emits("ControlGroup", "s", |unit| text(&unit.status.control_group)),
    silent("ControlGroupId", "t", |unit| Variant::U64(unit.group().id())),
    silent("MemoryCurrent", "t", |unit| Variant::U64(unit.group().number("memory.current"))),
    silent("MemoryPeak", "t", |unit| Variant::U64(unit.group().number("memory.peak"))),
    silent("MemorySwapCurrent", "t", |unit| Variant::U64(unit.group().number("memory.swap.current"))),
    silent("MemorySwapPeak", "t", |unit| Variant::U64(unit.group().number("memory.swap.peak"))),
    silent("MemoryZSwapCurrent", "t", |unit| Variant::U64(unit.group().number("memory.zswap.current"))),
    silent("MemoryAvailable", "t", |_| Variant::U64(NONE)),
    silent("EffectiveMemoryMax", "t", |unit| Variant::U64(unit.group().number("memory.max"))),
    silent("EffectiveTasksMax", "t", |unit| Variant::U64(unit.group().number("pids.max"))),
    silent("CPUUsageNSec", "t", |unit| {
        Variant::U64(match unit.group().keyed("cpu.stat", "usage_usec") {
            NONE => NONE,
            usec => usec.saturating_mul(1000),
        })
    }),
    silent("TasksCurrent", "t", |unit| Variant::U64(unit.group().number("pids.current"))),
    silent("IPIngressBytes", "t", |_| Variant::U64(NONE)),
    silent("IPIngressPackets", "t", |_| Variant::U64(NONE)),
    silent("IPEgressBytes", "t", |_| Variant::U64(NONE)),
    silent("IPEgressPackets", "t", |_| Variant::U64(NONE)),
    silent("IOReadBytes", "t", |unit| Variant::U64(unit.group().disks("rbytes"))),
    silent("IOReadOperations", "t", |unit| Variant::U64(unit.group().disks("rios"))),
    silent("IOWriteBytes", "t", |unit| Variant::U64(unit.group().disks("wbytes"))),
    silent("IOWriteOperations", "t", |unit| Variant::U64(unit.group().disks("wios"))),
    fixed("Delegate", "b", |unit| {
        Variant::Bool(match &unit.settings.body {
            Kind::Service(service) => service.delegate,
            Kind::Scope(scope) => scope.delegate,
            _ => false,
        })
    }),
    fixed("DelegateControllers", "as", |_| none_of("s")),
    fixed("DelegateSubgroup", "s", |unit| {
        text(match &unit.settings.body {
            Kind::Service(service) => service.delegate_subgroup.clone().unwrap_or_default(),
            _ => String::new(),
        })
    }),
    fixed("CPUAccounting", "b", |_| Variant::Bool(true)),
    fixed("MemoryAccounting", "b", |_| Variant::Bool(true)),
    fixed("IOAccounting", "b", |_| Variant::Bool(true)),
    fixed("TasksAccounting", "b", |_| Variant::Bool(true)),
    fixed("IPAccounting", "b", |_| Variant::Bool(false)),
];

/// Its limits, as the kernel has them: what was written there by others counts, too.
pub static LIMITS: &[Property<UnitView>] = &[
    silent("MemoryMin", "t", |unit| Variant::U64(lower(unit, "memory.min"))),
    silent("MemoryLow", "t", |unit| Variant::U64(lower(unit, "memory.low"))),
    silent("MemoryHigh", "t", |unit| Variant::U64(unit.group().number("memory.high"))),
    silent("MemoryMax", "t", |unit| Variant::U64(unit.group().number("memory.max"))),
    silent("MemorySwapMax", "t", |unit| Variant::U64(unit.group().number("memory.swap.max"))),
    silent("MemoryZSwapMax", "t", |unit| Variant::U64(unit.group().number("memory.zswap.max"))),
    silent("TasksMax", "t", |unit| Variant::U64(unit.group().number("pids.max"))),
    silent("CPUWeight", "t", |unit| Variant::U64(weight(unit, "cpu.weight"))),
    silent("IOWeight", "t", |unit| Variant::U64(weight(unit, "io.weight"))),
    silent("CPUQuotaPerSecUSec", "t", |unit| Variant::U64(quota(unit))),
    silent("CPUQuotaPeriodUSec", "t", |unit| Variant::U64(resource(unit, "/cpu/period").unwrap_or(NONE))),
    silent("AllowedCPUs", "ay", |unit| Variant::new(mask(unit, "cpuset.cpus"))),
    silent("EffectiveMemoryHigh", "t", |unit| Variant::U64(unit.group().number("memory.high"))),
    silent("EffectiveCPUs", "ay", |unit| Variant::new(mask(unit, "cpuset.cpus.effective"))),
    silent("AllowedMemoryNodes", "ay", |unit| Variant::new(mask(unit, "cpuset.mems"))),
    silent("EffectiveMemoryNodes", "ay", |unit| Variant::new(mask(unit, "cpuset.mems.effective"))),
    fixed("DevicePolicy", "s", |unit| text(if has_devices(unit) { "strict" } else { "auto" })),
    fixed("DeviceAllow", "a(ss)", |_| none_of("(ss)")),
    silent("IPAddressAllow", "a(iayu)", |unit| addresses(unit, "addressAllow")),
    silent("IPAddressDeny", "a(iayu)", |unit| addresses(unit, "addressDeny")),
];

/// Ranges of addresses: family, bytes, how many bits of them.
fn addresses(unit: &UnitView, name: &str) -> Variant<'static> {
    let said = resources(unit).and_then(|resources| resources.get(name));
    let ranges = said.and_then(|said| Vec::<Prefix>::deserialize(said).ok()).unwrap_or_default();
    let row = |prefix: Prefix| match prefix.address {
        IpAddr::V4(v4) => (2i32, v4.octets().to_vec(), u32::from(prefix.bits)),
        IpAddr::V6(v6) => (10i32, v6.octets().to_vec(), u32::from(prefix.bits)),
    };
    if ranges.is_empty() { none_of("(iayu)") } else { Variant::new(ranges.into_iter().map(row).collect::<Vec<_>>()) }
}

fn lower(unit: &UnitView, file: &str) -> u64 {
    match unit.group().number(file) {
        NONE if unit.status.control_group.is_empty() => 0,
        bytes => bytes,
    }
}

/// A weight that was set; the kernel's own counts as none.
fn weight(unit: &UnitView, file: &str) -> u64 {
    let group = unit.group();
    let weight = if file == "io.weight" { group.keyed(file, "default") } else { group.number(file) };
    if weight == 100 { NONE } else { weight }
}

/// A list of the kernel's as a bit mask, its first byte the lowest.
fn mask(unit: &UnitView, file: &str) -> Vec<u8> {
    let mut mask = Vec::new();
    for part in unit.group().text(file).trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) else { continue };
        for bit in first..=last.min(MOST_PROCESSORS) {
            if mask.len() <= bit / 8 {
                mask.resize(bit / 8 + 1, 0u8);
            }
            mask[bit / 8] |= 1 << (bit % 8);
        }
    }
    mask
}

fn quota(unit: &UnitView) -> u64 {
    let (quota, period) = (resource(unit, "/cpu/quota"), resource(unit, "/cpu/period").unwrap_or(100_000));
    quota.map_or(NONE, |quota| quota.saturating_mul(1_000_000) / period.max(1))
}

/// A number of the limits that the unit was made with.
fn resource(unit: &UnitView, pointer: &str) -> Option<u64> {
    let bundle = || unit.bundle(&format!("/linux/resources{pointer}"));
    resources(unit)?.pointer(pointer).or_else(bundle).and_then(Value::as_u64)
}

fn resources(unit: &UnitView) -> Option<&Value> {
    match &unit.settings.body {
        Kind::Service(service) => Some(&service.resources),
        Kind::Mount(mount) => Some(&mount.service.resources),
        Kind::Scope(scope) => Some(&scope.resources),
        Kind::Slice(slice) => Some(&slice.resources),
        _ => None,
    }
}

fn has_devices(unit: &UnitView) -> bool {
    let resources = match &unit.settings.body {
        Kind::Service(service) if service.host.is_none() => {
            return unit.bundle("/linux/resources/devices").is_some();
        }
        Kind::Service(service) => &service.resources,
        Kind::Scope(scope) => &scope.resources,
        _ => return false,
    };
    resources.get("deviceAllow").is_some()
}
